"""Compare the row of each resource with its history, above all with its newest snapshot."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gitstore.errors import NotUnderstood
from service.domain.resource_kinds import PLACE_FIELDS
from service.recovery import resource_rows
from service.recovery.checks.findings import Code, Finding, RowDifference
from service.recovery.checks.main_branch import Facts
from service.recovery.history import History, ReadBlob, ReadResource, read_resources
from service.recovery.resource_rows import Key, PastResource
from service.recovery.trailers import CommitAuthor, subject
from sql.queries.resources import ResourceRow


@dataclass(frozen=True, slots=True)
class ResourceCorrection:
    """The right values of columns of a row; of all columns if the row is missing."""

    key: Key
    author: CommitAuthor
    values: dict[str, Any]
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class _Expected:
    """A resource as git has it; `row` is None if git does not have its parent."""

    key: Key
    author: CommitAuthor
    resource: PastResource
    row: dict[str, Any] | None
    depth: int

    def correction(self, *columns: str) -> ResourceCorrection | None:
        """Return the right values of these columns; None if git does not have the parent."""
        if self.row is None:
            return None
        values = {column: self.row[column] for column in columns if column in self.row}
        return ResourceCorrection(self.key, self.author, values)


def differences(
    subscription_id: UUID, facts: Facts, history: History, read_blob: ReadBlob, *, untold: Collection[UUID]
) -> Iterator[RowDifference[ResourceCorrection]]:
    """Yield the differences of resources, a parent before its children; skips the resources in `untold`."""
    rows = {(row.resource_type, row.resource_id): row for row in facts.resources}
    for each in _expected(history, read_blob):
        if each.key[1] not in untold:
            for code, expected, found, correction in _compared(each, rows.get(each.key)):
                finding = Finding.of(
                    code, subscription_id, subject(*each.key), expected=expected, found=found
                )
                yield RowDifference(finding, correction)
    for key, row in rows.items():
        if row.resource_id in untold:
            continue
        if key not in history.newest:
            expected = "a commit of its first version"
            yield RowDifference(
                Finding.of(Code.RESOURCE_WITHOUT_COMMIT, subscription_id, subject(*key), expected=expected),
                None,
            )
        elif key in history.purged:
            found = f"the row of {row.name}, which was deleted for good"
            yield RowDifference(
                Finding.of(Code.RESOURCE_UNEXPECTED, subscription_id, subject(*key), found=found), None
            )


def _expected(history: History, read_blob: ReadBlob) -> list[_Expected]:
    """Return the resources that git has, a parent before its children."""
    read = read_resources(history, read_blob)
    resources = {key: each.resource for key, each in read.items()}
    found = [_with_row(key, each, resources) for key, each in read.items()]
    return sorted(found, key=lambda each: each.depth)


def _with_row(key: Key, read: ReadResource, resources: Mapping[Key, PastResource]) -> _Expected:
    try:
        depth, row = resource_rows.row(key, resources)
    except NotUnderstood:
        return _Expected(key, read.author, read.resource, None, 0)
    return _Expected(key, read.author, read.resource, row, depth)


def _compared(
    expected: _Expected, row: ResourceRow | None
) -> Iterator[tuple[Code, object, object, ResourceCorrection | None]]:
    """Yield the code, git's value, the row's value and the correction of each difference."""
    past, snapshot = expected.resource, expected.resource.snapshot
    if row is None:
        whole = None
        if expected.row is not None:
            whole = ResourceCorrection(expected.key, expected.author, expected.row, is_new=True)
        yield Code.RESOURCE_MISSING, f"the row of {snapshot.name}", None, whole
        return
    if row.name != snapshot.name:
        yield Code.RESOURCE_NAME_DIFFERS, snapshot.name, row.name, expected.correction("name")
    if row.description != snapshot.description:
        fix = expected.correction("description")
        yield Code.RESOURCE_DESCRIPTION_DIFFERS, snapshot.description, row.description, fix
    parent = None if row.parent_id is None else str(row.parent_id)
    if parent != snapshot.parent_id:
        fix = expected.correction(*sorted(PLACE_FIELDS[expected.key[0]]))
        yield Code.RESOURCE_PARENT_DIFFERS, snapshot.parent_id, parent, fix
    if row.created_by != past.created_by:
        fix = expected.correction("created_by")
        yield Code.RESOURCE_AUTHOR_DIFFERS, past.created_by, row.created_by, fix
    if (row.created_at, row.updated_at) != (past.created_at, past.updated_at):
        right = f"made {past.created_at}, changed {past.updated_at}"
        found = f"made {row.created_at}, changed {row.updated_at}"
        yield Code.RESOURCE_TIME_DIFFERS, right, found, expected.correction("created_at", "updated_at")
    if row.deleted_at != past.deleted_at:
        fix = expected.correction("deleted_at")
        right, found = _since(past.deleted_at), _since(row.deleted_at)
        yield Code.RESOURCE_DELETION_DIFFERS, right, found, fix


def _since(deleted_at: object) -> str:
    return "it lives" if deleted_at is None else f"deleted {deleted_at}"
