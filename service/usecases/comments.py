"""Comments on versions: they are added and listed, never changed."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import events
from service.audit.events import Subject
from service.committer.refusals import check_match, resource_deleted
from service.committer.step import version_state
from service.domain.actions import Action
from service.domain.callers import Member
from service.domain.etags import Match
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, mint
from service.domain.pagination import Page, Paging, uuid_position
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from service.usecases.retries import run_once
from service.usecases.versions import find, lock_resource, reading
from sql.database import Transaction
from sql.queries import comments, versions
from sql.queries.comments import CommentRow, NewComment
from sql.queries.versions import VersionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment on a version."""

    comment_id: UUID
    version_id: UUID
    version_number: int
    text: str
    commented_by: UUID
    commented_by_username: str
    commented_at: datetime


_COMMENT = TypeAdapter(Comment)


def add(
    context: Context,
    author: Member,
    kind: Kind,
    resource_id: UUID,
    ref: str,
    text: str,
    *,
    if_match: Match | None,
    once: Attempt | None,
) -> Comment:
    """Comment on the version that `ref` names.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef, ResourceDeleted, StaleVersion.
    """
    subscription_id = author.subscription_id

    def work(tx: Transaction) -> Comment:
        at = context.clock()
        resource = lock_resource(tx, subscription_id, kind, resource_id)
        # The version is looked up first, so that a missing version is reported rather than a conflict.
        version = find(tx, subscription_id, kind, resource_id, ref, at)
        if resource.deleted_at is not None:
            raise resource_deleted(kind)
        current = versions.current(tx, subscription_id, kind, [resource_id], at=at)[resource_id]
        check_match(kind, current, if_match)
        row = NewComment(
            comment_id=mint(),
            version_id=version.version_id,
            comment_text=text,
            commented_by=author.user_id,
            commented_at=at,
        )
        comments.insert_rows(tx, subscription_id, [row])
        events.record(
            tx,
            author,
            subscription_id,
            Subject.of(resource),
            Action.COMMENT,
            at,
            new=version_state(version) | {"comment_id": row.comment_id},
        )
        return Comment(
            comment_id=row.comment_id,
            version_id=version.version_id,
            version_number=version.version_number,
            text=text,
            commented_by=author.user_id,
            commented_by_username=author.username,
            commented_at=at,
        )

    return run_once(context, subscription_id, once, _COMMENT, work)


def page(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    ref: str,
    paging: Paging,
    *,
    purged: bool,
) -> Page[Comment]:
    """The comments on the version that `ref` names, newest first.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef.
    """
    with reading(context, subscription_id, kind, resource_id, purged=purged) as tx:
        version = find(tx, subscription_id, kind, resource_id, ref, context.clock())
        return of_version(tx, subscription_id, version, paging)


def of_version(
    tx: Transaction, subscription_id: SubscriptionId, version: VersionRow, paging: Paging
) -> Page[Comment]:
    """The comments on a version, newest first."""
    filters = {"list": "comments", "of": version.version_id}
    before = uuid_position(paging.position(filters))
    rows = comments.page(tx, subscription_id, version.version_id, before=before, limit=paging.limit + 1)
    shown = [_shown(row, version.version_number) for row in rows]
    return paging.page(shown, filters, lambda item: [str(item.comment_id)])


def _shown(row: CommentRow, number: int) -> Comment:
    return Comment(
        comment_id=row.comment_id,
        version_id=row.version_id,
        version_number=number,
        text=row.comment_text,
        commented_by=row.commented_by,
        commented_by_username=row.commented_by_username,
        commented_at=row.commented_at,
    )
