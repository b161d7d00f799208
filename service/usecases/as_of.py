"""The tree at a commit of `main` or at an instant: its resources, publications and check-outs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain import version_refs
from service.domain.ids import SubscriptionId
from service.domain.pagination import Paging, uuid_position
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from sql.queries import as_of
from sql.queries.as_of import CommitRow, ResourceThen, VersionSince

__all__ = ["ResourceThen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeThen:
    """A page of the tree at an instant; `commit` is the tip of `main` then, None before its first commit."""

    commit: str | None
    at: datetime
    items: list[ResourceThen]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """The latest versions that were made since a commit; `more` if there are others."""

    versions: Sequence[VersionSince]
    more: bool


def committed_at(context: Context, subscription_id: SubscriptionId, commit: str) -> datetime:
    """The time of a commit of `main`, by the beginning of its id; raises CommitNotFound, AmbiguousRef."""
    with context.database.transaction(subscription_id) as tx:
        return version_refs.commit(tx, subscription_id, commit, given_as="to").committed_at


def since(context: Context, subscription_id: SubscriptionId, commit: str, limit: int) -> Since:
    """At most `limit` versions that were made since a commit of `main`, newest first.

    Raises CommitNotFound, AmbiguousRef.
    """
    with context.database.transaction(subscription_id) as tx:
        seen = version_refs.commit(tx, subscription_id, commit, given_as="seen")
        rows = as_of.versions_since(tx, subscription_id, seen, limit=limit + 1)
    return Since(versions=rows[:limit], more=len(rows) > limit)


def page(
    context: Context,
    subscription_id: SubscriptionId,
    moment: datetime | str,
    kind: Kind | None,
    paging: Paging,
) -> TreeThen:
    """List the resources as they were at an instant or a commit (a prefix of its id), newest resource first.

    Raises CommitNotFound, AmbiguousRef.
    """
    filters = {"list": "past", "of": subscription_id, "moment": moment, "resource_type": kind}
    before = uuid_position(paging.position(filters))
    rows: list[ResourceThen] = []
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
    found = paging.page(rows, filters, lambda item: [str(item.resource_id)])
    return TreeThen(
        commit=None if commit is None else commit.git_commit_hash,
        at=at,
        items=list(found.items),
        next_cursor=found.next_cursor,
    )
