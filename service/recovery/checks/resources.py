"""Whether each resource's own row is what its history says, above all its newest snapshot."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from gitstore.errors import NotUnderstood
from gitstore.read.inspection import Objects
from service.domain.resource_kinds import PLACE_FIELDS
from service.recovery import resource_rows
from service.recovery.checks.deletions import Past
from service.recovery.checks.findings import Code, Finding
from service.recovery.checks.main_branch import Facts, Main, Named
from service.recovery.checks.trailers import Author, subject
from service.recovery.resource_rows import Key, PastResource, read_snapshot
from sql.queries.resources import ResourceRow


@dataclass(frozen=True, slots=True)
class Correction:
    """What columns of a row have to be; all where there is no row."""

    key: Key
    author: Author
    values: dict[str, Any]
    is_new: bool = False


class Difference(NamedTuple):
    """A finding, and what puts it right where git tells that."""

    finding: Finding
    correction: Correction | None


@dataclass(frozen=True, slots=True)
class _Told:
    """What git says of a resource; `row` is None where it lies in nothing that git has."""

    key: Key
    author: Author
    past: PastResource
    row: dict[str, Any] | None
    depth: int

    def correction(self, *columns: str) -> Correction | None:
        """What these columns have to be."""
        if self.row is None:
            return None
        values = {column: self.row[column] for column in columns if column in self.row}
        return Correction(self.key, self.author, values)


def differences(
    subscription_id: UUID, facts: Facts, main: Main, past: Past, objects: Objects, *, untold: Collection[UUID]
) -> Iterator[Difference]:
    """Rows that differ, of resources that are not `untold`, a parent before what lies in it."""
    rows = {(row.resource_type, row.resource_id): row for row in facts.resources}
    for told in _all_told(main, past, objects):
        if told.key[1] not in untold:
            for code, expected, found, correction in _compared(told, rows.get(told.key)):
                yield Difference(
                    _finding(code, subscription_id, told.key, expected=expected, found=found), correction
                )
    known = {_key(named) for named in main.named.values()}
    for key, row in rows.items():
        if row.resource_id in untold:
            continue
        if key not in known:
            expected = "a commit of its first version"
            yield Difference(
                _finding(Code.RESOURCE_WITHOUT_COMMIT, subscription_id, key, expected=expected), None
            )
        elif key in past.gone:
            found = f"the row of {row.name}, which was deleted for good"
            yield Difference(_finding(Code.RESOURCE_UNEXPECTED, subscription_id, key, found=found), None)


def _all_told(main: Main, past: Past, objects: Objects) -> list[_Told]:
    """What git says of each resource, but for those that were deleted for good."""
    firsts: dict[Key, Named] = {}
    newest: dict[Key, Named] = {}
    for named in main.named.values():
        key = _key(named)
        if key in past.gone:
            continue
        if key not in firsts or named.line.number < firsts[key].line.number:
            firsts[key] = named
        if key not in newest or named.line.number > newest[key].line.number:
            newest[key] = named
    found = {
        key: _past(key, first, newest[key], past.deleted_at.get(key), objects)
        for key, first in firsts.items()
    }
    pasts = {key: each for key, each in found.items() if each is not None}
    told = [_told(key, firsts[key], pasts) for key in pasts]
    return sorted((each for each in told if each is not None), key=lambda each: each.depth)


def _past(
    key: Key, first: Named, newest: Named, deleted_at: datetime | None, objects: Objects
) -> PastResource | None:
    """None where not all of it is known; a blob that can't be read is told of its version."""
    made, changed = first.told, newest.told
    if made.author is None or made.time is None or changed.time is None or newest.blob_id is None:
        return None
    content = objects.blob(newest.blob_id) if made.is_record and changed.is_record else None
    if content is None:
        return None
    try:
        snapshot = read_snapshot(key, newest.blob_id, content)
    except NotUnderstood:
        return None
    return PastResource(snapshot, made.author.user_id, made.time, changed.time, deleted_at=deleted_at)


def _told(key: Key, first: Named, pasts: Mapping[Key, PastResource]) -> _Told | None:
    author = first.told.author
    if author is None:
        return None
    try:
        depth, row = resource_rows.row(key, pasts)
    except NotUnderstood:
        return _Told(key, author, pasts[key], None, 0)
    return _Told(key, author, pasts[key], row, depth)


def _compared(
    told: _Told, row: ResourceRow | None
) -> Iterator[tuple[Code, object, object, Correction | None]]:
    past, snapshot = told.past, told.past.snapshot
    if row is None:
        whole = None
        if told.row is not None:
            whole = Correction(told.key, told.author, told.row, is_new=True)
        yield Code.RESOURCE_MISSING, f"the row of {snapshot.name}", None, whole
        return
    if row.name != snapshot.name:
        yield Code.RESOURCE_NAME_DIFFERS, snapshot.name, row.name, told.correction("name")
    if row.description != snapshot.description:
        fix = told.correction("description")
        yield Code.RESOURCE_DESCRIPTION_DIFFERS, snapshot.description, row.description, fix
    parent = None if row.parent_id is None else str(row.parent_id)
    if parent != snapshot.parent_id:
        fix = told.correction(*sorted(PLACE_FIELDS[told.key[0]]))
        yield Code.RESOURCE_PARENT_DIFFERS, snapshot.parent_id, parent, fix
    if row.created_by != past.created_by:
        yield Code.RESOURCE_AUTHOR_DIFFERS, past.created_by, row.created_by, told.correction("created_by")
    if (row.created_at, row.updated_at) != (past.created_at, past.updated_at):
        expected = f"made {past.created_at}, changed {past.updated_at}"
        found = f"made {row.created_at}, changed {row.updated_at}"
        yield Code.RESOURCE_TIME_DIFFERS, expected, found, told.correction("created_at", "updated_at")
    if row.deleted_at != past.deleted_at:
        fix = told.correction("deleted_at")
        yield Code.RESOURCE_DELETION_DIFFERS, _since(past.deleted_at), _since(row.deleted_at), fix


def _since(deleted_at: datetime | None) -> str:
    return "it lives" if deleted_at is None else f"deleted {deleted_at}"


def _key(named: Named) -> Key:
    return named.line.kind, named.line.resource_id


def _finding(
    code: Code,
    subscription_id: UUID,
    key: tuple[str, UUID],
    *,
    expected: object = None,
    found: object = None,
) -> Finding:
    return Finding(
        code=code,
        subscription_id=subscription_id,
        subject=subject(*key),
        expected=None if expected is None else str(expected),
        found=None if found is None else str(found),
    )
