"""Comments on versions."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from sql import bulk
from sql.database import OF_SUBSCRIPTION, Transaction
from sql.models import TABLES

_COMMENTS, _ACTORS = TABLES["version_comments"], TABLES["actors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewComment:
    """A comment to be added."""

    comment_id: UUID
    version_id: UUID
    comment_text: str
    commented_by: UUID
    commented_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentRow(NewComment):
    """A comment with its author's name."""

    commented_by_username: str


_INSERT = bulk.insertion(
    _COMMENTS,
    *(field.name for field in fields(NewComment)),
    subscription_id=OF_SUBSCRIPTION,
)


def insert_rows(tx: Transaction, subscription_id: UUID, rows: Sequence[NewComment]) -> None:
    """Add comments."""
    bulk.execute(tx, _INSERT, rows, of_subscription=subscription_id)


def page(
    tx: Transaction, subscription_id: UUID, version_id: UUID, *, before: UUID | None, limit: int
) -> list[CommentRow]:
    """At most `limit` comments on a version with ids below `before`, newest first."""
    query = (
        select(
            _COMMENTS.c.comment_id,
            _COMMENTS.c.version_id,
            _COMMENTS.c.comment_text,
            _COMMENTS.c.commented_by,
            _COMMENTS.c.commented_at,
            _ACTORS.c.username.label("commented_by_username"),
        )
        .join(_ACTORS, _ACTORS.c.user_id == _COMMENTS.c.commented_by)
        .where(_COMMENTS.c.subscription_id == subscription_id, _COMMENTS.c.version_id == version_id)
        .order_by(_COMMENTS.c.comment_id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(_COMMENTS.c.comment_id < before)
    return [CommentRow(**row._mapping) for row in tx.execute(query)]
