"""The documents on both sides of a logged change, read from git, which alone keeps them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import orjson

from gitstore.errors import ObjectMissing
from service.domain import ids
from service.domain.actions import Action, EventOrigin
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page
from service.usecases.audit_logs import AuditEvent
from service.usecases.context import Context
from service.usecases.data_changes import DataChange
from service.usecases.documents import snapshot_bytes
from sql.queries import deletions, versions
from sql.queries.versions import DocumentRow

RowT = TypeVar("RowT", AuditEvent, DataChange)

# Documents of so many bytes go with a page; those of one row always do.
MAX_PAGE_BYTES = 16 * 1024 * 1024


# For the description of the API: a page without `expand` has no such fields.
_SOMETIMES = {"sometimes": True}


class Absence(StrEnum):
    """The reason why a row comes without documents."""

    NOT_VERSIONED = "not_versioned"
    PURGED = "purged"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandedEvent(AuditEvent):
    """An event with the snapshots before and after, or with the reason why it comes without them."""

    old: dict[str, Any] | None = field(default=None, metadata=_SOMETIMES)
    new: dict[str, Any] | None = field(default=None, metadata=_SOMETIMES)
    absent: Absence | None = field(default=None, metadata=_SOMETIMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandedChange(DataChange):
    """A data change with the snapshots before and after, or with the reason why it comes without them."""

    old: dict[str, Any] | None = field(default=None, metadata=_SOMETIMES)
    new: dict[str, Any] | None = field(default=None, metadata=_SOMETIMES)
    absent: Absence | None = field(default=None, metadata=_SOMETIMES)


@dataclass(frozen=True, slots=True)
class _Sides:
    """The versions that a row names, and the deletion whose version is the old or the new one."""

    resource_id: str
    old: UUID | None
    new: UUID | None
    deletion_id: UUID | None = None
    is_restore: bool = False

    def version_ids(self, deleted: Mapping[UUID, UUID]) -> tuple[UUID | None, UUID | None]:
        """The old and the new version; `deleted` has the versions of deletions."""
        other = None if self.deletion_id is None else deleted.get(self.deletion_id)
        return (self.old, self.new or other) if self.is_restore else (self.old or other, self.new)


# The sides of a row that a platform posted: its states are its own.
_NOTHING = _Sides("", None, None)


async def of_events(
    context: Context, subscription_id: SubscriptionId, page: Page[AuditEvent], *, purged: bool
) -> Page[dict[str, Any]]:
    """Add the documents to a page of the audit log; with `purged`, also those of purged resources."""
    return await _expanded(context, subscription_id, page, _sides_of_event, purged=purged)


async def of_changes(
    context: Context, subscription_id: SubscriptionId, page: Page[DataChange], *, purged: bool
) -> Page[dict[str, Any]]:
    """Add the documents to a page of the change history; with `purged`, also those of purged resources."""
    return await _expanded(context, subscription_id, page, _sides_of_change, purged=purged)


async def _expanded(
    context: Context,
    subscription_id: SubscriptionId,
    page: Page[RowT],
    sides_of: Callable[[RowT], _Sides],
    *,
    purged: bool,
) -> Page[dict[str, Any]]:
    sides = [sides_of(row) for row in page.items]
    read = partial(_documents, context, subscription_id, sides, purged=purged)
    # In the threads of diffs, since large documents take as long.
    found = await context.diffs.run(subscription_id, read)
    items = [
        {field.name: getattr(row, field.name) for field in fields(row)} | documents
        for row, documents in zip(page.items, found, strict=True)
    ]
    return Page(items, page.next_cursor)


def _documents(
    context: Context, subscription_id: SubscriptionId, sides: Sequence[_Sides], *, purged: bool
) -> list[dict[str, Any]]:
    """Read the documents of each row, until those of the page have MAX_PAGE_BYTES."""
    with context.database.transaction(subscription_id) as tx:
        deletion_ids = {each.deletion_id for each in sides if each.deletion_id is not None}
        deleted = deletions.versions_of(tx, subscription_id, deletion_ids)
        named = [each.version_ids(deleted) for each in sides]
        version_ids = {each for pair in named for each in pair if each is not None}
        rows = versions.documents(tx, subscription_id, version_ids)
    reading = _Reading(context, subscription_id)
    return [
        reading.of_row([_own(rows, version_id, each.resource_id) for version_id in pair], purged=purged)
        for each, pair in zip(sides, named, strict=True)
    ]


def _own(rows: Mapping[UUID, DocumentRow], version_id: UUID | None, resource_id: str) -> DocumentRow | None:
    """The version of the row's own resource: a platform could have changed what a state names."""
    row = None if version_id is None else rows.get(version_id)
    return None if row is None or str(row.resource_id) != resource_id else row


class _Reading:
    """The documents of a page; one that several rows name is read once."""

    def __init__(self, context: Context, subscription_id: SubscriptionId) -> None:
        self._context = context
        self._subscription_id = subscription_id
        self._left: int | None = None
        self._read: dict[str, bytes] = {}

    def of_row(self, pair: Sequence[DocumentRow | None], *, purged: bool) -> dict[str, Any]:
        """Make the fields of one row from its old and its new version."""
        if not any(pair):
            return _without(Absence.NOT_VERSIONED)
        if not purged and any(row is not None and row.is_purged for row in pair):
            return _without(Absence.PURGED)
        if self._left is not None and self._left <= 0:
            return _without(Absence.TOO_LARGE)
        try:
            old, new = (None if row is None else self._bytes(row.git_blob_id) for row in pair)
        except ObjectMissing:
            # `annals verify` reports it. The other rows of the page are as good as ever.
            return _without(Absence.UNREADABLE)
        size = len(old or b"") + len(new or b"")
        if self._left is not None and size > self._left:
            self._left = 0
            return _without(Absence.TOO_LARGE)
        self._left = (MAX_PAGE_BYTES if self._left is None else self._left) - size
        return {"old": _json(old), "new": _json(new), "absent": None}

    def _bytes(self, blob_id: str) -> bytes:
        if blob_id not in self._read:
            self._read[blob_id] = snapshot_bytes(self._context, self._subscription_id, blob_id)
        return self._read[blob_id]


def _without(reason: Absence) -> dict[str, Any]:
    return {"old": None, "new": None, "absent": reason}


def _json(snapshot: bytes | None) -> orjson.Fragment | None:
    return None if snapshot is None else orjson.Fragment(snapshot.rstrip())


def _sides_of_change(row: DataChange) -> _Sides:
    if row.origin == EventOrigin.POSTED:
        return _NOTHING
    return _Sides(row.record_id, _id_in(row.old_data, "version_id"), _id_in(row.new_data, "version_id"))


def _sides_of_event(row: AuditEvent) -> _Sides:
    if row.origin == EventOrigin.POSTED:
        return _NOTHING
    return _Sides(
        row.resource_id or "",
        _id_in(row.old_values, "version_id"),
        _id_in(row.new_values, "version_id"),
        _id_in(row.new_values, "deletion_id"),
        is_restore=row.action == Action.RESTORE,
    )


def _id_in(state: Mapping[str, Any] | None, name: str) -> UUID | None:
    value = None if state is None else state.get(name)
    return ids.parse(value) if isinstance(value, str) else None
