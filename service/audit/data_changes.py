"""Rows of the data change history, made in the transaction of the change that they record."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import orjson

from gitstore.read.blob_reader import Blob, content_of
from service.audit import events
from service.audit.events import MAX_NAME, MAX_TEXT_BYTES, Author, Subject
from service.documents.structural_diff import document_patch
from service.domain.actions import Action
from service.domain.ids import mint
from sql.database import Transaction
from sql.queries import data_changes
from sql.queries.audit_logs import Values
from sql.queries.data_changes import NewDataChange

# The tables whose rows have a history.
TableName = Literal[
    "workspaces",
    "folders",
    "jobs",
    "workflows",
    "jobpackages",
    "connectors",
    "subscriptions",
    "users",
    "api_keys",
    "audit_policies",
    "legal_holds",
]


class RecordRef(NamedTuple):
    """A changed record: its table, its id, and its name at that time."""

    table_name: str
    record_id: UUID
    name: str | None


class RecordState(NamedTuple):
    """A created or deleted record: its state at that time, and the number of this data change."""

    table_name: str
    record_id: UUID
    name: str
    state: Values
    number: int


# Diffs of documents may be cut to this size, because git has the whole documents.
MAX_DIFF_BYTES = 1024 * 1024


def record(
    tx: Transaction,
    author: Author,
    subscription_id: UUID,
    subject: Subject,
    action: Action,
    at: datetime,
    *,
    table: TableName,
    record_id: UUID,
    old: Values | None = None,
    new: Values | None = None,
) -> None:
    """Write an audit event and the data change of a record of `table`, with the record's next number.

    Another transaction that changes the same record waits until this one ends.
    """
    events.record(tx, author, subscription_id, subject, action, at, old=old, new=new)
    changed = RecordRef(table, record_id, subject.name)
    key = (changed.table_name, str(record_id))
    number = data_changes.next_numbers(tx, subscription_id, {key: 1})[key]
    row = row_of(author, subscription_id, changed, at, old=old, new=new, number=number)
    data_changes.insert_rows(tx, [row])


def row_of(
    author: Author,
    subscription_id: UUID,
    changed: RecordRef,
    at: datetime,
    *,
    old: Values | None,
    new: Values | None,
    number: int,
    diff: bytes | None = None,
    reason: str | None = None,
) -> NewDataChange:
    """Make the row of a data change.

    A `diff`, made by `document_diff`, replaces that of the two states; a `reason` replaces the reason in the
    request's header.
    """
    before = None if old is None else events.plain(old)
    after = None if new is None else events.plain(new)
    why = reason or author.origin.reason
    return NewDataChange(
        change_id=mint(),
        changed_at=at,
        subscription_id=subscription_id,
        table_name=changed.table_name,
        record_id=str(changed.record_id),
        record_name=events.name(changed.name, MAX_NAME),
        change_type="INSERT" if before is None else "DELETE" if after is None else "UPDATE",
        old_data=events.state(before),
        new_data=events.state(after),
        diff=events.operations(events.changes(before, after), MAX_DIFF_BYTES, (before, after))
        if diff is None
        else orjson.Fragment(diff),
        changed_by=None if author.user_id is None else str(author.user_id),
        change_reason=events.text(why, MAX_TEXT_BYTES),
        version_number=number,
        request_id=author.origin.request_id,
    )


def document_diff(old: Blob, new: bytes) -> bytes:
    """Compute the operations between two snapshots, masked and cut for a log, as JSON.

    Raises RepositoryMissing and ObjectMissing.
    """
    patch = document_patch(content_of(old), new)
    return orjson.dumps(events.operations(patch.operations, MAX_DIFF_BYTES, (patch.before, patch.after)))


def rows_of(
    author: Author,
    subscription_id: UUID,
    records: Sequence[RecordState],
    at: datetime,
    *,
    change_type: Literal["INSERT", "DELETE"],
    reason: str | None,
) -> list[NewDataChange]:
    """Make the rows of many records that are created or deleted at once, each as `row_of` would."""
    is_insert = change_type == "INSERT"
    plain = events.plain_all([record.state for record in records])
    names = events.names([record.name for record in records], MAX_NAME)
    states = events.states(plain)
    operations = [events.changes(None, each) if is_insert else events.changes(each, None) for each in plain]
    diffs = events.patches([each or [] for each in operations], MAX_DIFF_BYTES)
    why = events.text(reason or author.origin.reason, MAX_TEXT_BYTES)
    return [
        NewDataChange(
            change_id=mint(),
            changed_at=at,
            subscription_id=subscription_id,
            table_name=record.table_name,
            record_id=str(record.record_id),
            record_name=name,
            change_type=change_type,
            old_data=None if is_insert else state,
            new_data=state if is_insert else None,
            diff=diff,
            changed_by=None if author.user_id is None else str(author.user_id),
            change_reason=why,
            version_number=record.number,
            request_id=author.origin.request_id,
        )
        for record, name, state, diff in zip(records, names, states, diffs, strict=True)
    ]
