"""The tree as it was at a commit of `main` or at an instant: what there was, published, and held."""

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from service.domain import version_refs
from service.domain.ids import SubscriptionId
from service.domain.pagination import Paging, uuid_position
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from sql.queries import as_of
from sql.queries.as_of import CommitRow, PastRow


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOutThen:
    """Who held a resource; `expires_at` is as the lease was last renewed."""

    checked_out_by: UUID
    checked_out_by_username: str
    checked_out_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceThen:
    """A resource by the name and in the place of its version then; `published_version` is a number."""

    resource_type: str
    resource_id: UUID
    resource_name: str
    parent_id: UUID | None
    version_id: UUID
    version_number: int
    git_commit_hash: str
    published_version: int | None
    check_out: CheckOutThen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeThen:
    """A page of the tree as it was, and the commit that `main` was at, None before the first."""

    commit: str | None
    at: datetime
    items: list[ResourceThen]
    next_cursor: str | None


def page(
    context: Context,
    subscription_id: SubscriptionId,
    moment: datetime | str,
    kind: Kind | None,
    paging: Paging,
) -> TreeThen:
    """What there was at an instant, or at a commit by the beginning of its id, newest first.

    Raises CommitNotFound, AmbiguousRef.
    """
    filters = {"list": "past", "of": subscription_id, "moment": moment, "resource_type": kind}
    before = uuid_position(paging.position(filters))
    rows: list[PastRow] = []
    with context.database.transaction(subscription_id) as tx:
        commit: CommitRow | None
        if isinstance(moment, datetime):
            at, commit = moment, as_of.last_commit(tx, subscription_id, moment)
        else:
            commit = version_refs.commit(tx, subscription_id, moment, given_as="moment")
            at = commit.committed_at
        if commit is not None:
            rows = as_of.page(
                tx,
                subscription_id,
                kind,
                number=commit.commit_number,
                at=at,
                before=before,
                limit=paging.limit + 1,
            )
    found = paging.page([_shown(row) for row in rows], filters, lambda item: [str(item.resource_id)])
    return TreeThen(
        commit=None if commit is None else commit.git_commit_hash,
        at=at,
        items=list(found.items),
        next_cursor=found.next_cursor,
    )


def _shown(row: PastRow) -> ResourceThen:
    values = {name: getattr(row, name) for name in ResourceThen.__dataclass_fields__}
    held = row.check_out
    return ResourceThen(**values | {"check_out": None if held is None else CheckOutThen(**asdict(held))})
