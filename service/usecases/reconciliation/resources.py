"""Whether each resource's own row is what its history says, above all its newest snapshot."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from gitstore.errors import NotUnderstood
from gitstore.inspection import Objects
from service import past_resources
from service.kinds import PLACE_FIELDS
from service.past_resources import Key, PastResource, read_snapshot
from service.usecases.reconciliation.findings import Code, Finding
from service.usecases.reconciliation.history import Facts, Main, Named
from service.usecases.reconciliation.trailers import Author, subject
from sql.queries.resources import ResourceRow


@dataclass(frozen=True, slots=True)
class Correction:
    """What columns of a row have to be while version `number` is the newest; all where there is no row."""

    key: Key
    number: int
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
    number: int
    past: PastResource
    row: dict[str, Any] | None
    depth: int

    def correction(self, *columns: str) -> Correction | None:
        """What these columns have to be."""
        if self.row is None:
            return None
        values = {column: self.row[column] for column in columns if column in self.row}
        return Correction(self.key, self.number, self.author, values)


def differences(
    subscription_id: UUID, facts: Facts, main: Main, objects: Objects, *, untold: Collection[UUID]
) -> Iterator[Difference]:
    """Rows that differ, of resources that are not `untold`, a parent before what lies in it."""
    rows = {(row.resource_type, row.resource_id): row for row in facts.resources}
    for told in _all_told(main, objects):
        if told.key[1] not in untold:
            for code, expected, found, correction in _compared(told, rows.get(told.key)):
                yield Difference(
                    _finding(code, subscription_id, told.key, expected=expected, found=found), correction
                )
    known = {_key(named) for named in main.named.values()}
    for key, row in rows.items():
        if key not in known and row.resource_id not in untold:
            expected = "a commit of its first version"
            yield Difference(
                _finding(Code.RESOURCE_WITHOUT_COMMIT, subscription_id, key, expected=expected), None
            )


def _all_told(main: Main, objects: Objects) -> list[_Told]:
    """What git says of each resource that it has a file of: of one that was deleted it is not asked."""
    firsts: dict[Key, Named] = {}
    newest: dict[Key, Named] = {}
    for named in main.named.values():
        key = _key(named)
        if main.tree.get(named.line.path) is None:
            continue
        if key not in firsts or named.line.number < firsts[key].line.number:
            firsts[key] = named
        if key not in newest or named.line.number > newest[key].line.number:
            newest[key] = named
    found = {key: _past(key, first, newest[key], objects) for key, first in firsts.items()}
    pasts = {key: past for key, past in found.items() if past is not None}
    told = [_told(key, firsts[key], newest[key], pasts) for key in pasts]
    return sorted((each for each in told if each is not None), key=lambda each: each.depth)


def _past(key: Key, first: Named, newest: Named, objects: Objects) -> PastResource | None:
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
    return PastResource(snapshot, made.author.user_id, made.time, changed.time)


def _told(key: Key, first: Named, newest: Named, pasts: Mapping[Key, PastResource]) -> _Told | None:
    author = first.told.author
    if author is None:
        return None
    try:
        depth, row = past_resources.row(key, pasts)
    except NotUnderstood:
        return _Told(key, author, newest.line.number, pasts[key], None, 0)
    return _Told(key, author, newest.line.number, pasts[key], row, depth)


def _compared(
    told: _Told, row: ResourceRow | None
) -> Iterator[tuple[Code, object, object, Correction | None]]:
    past, snapshot = told.past, told.past.snapshot
    if row is None:
        whole = None
        if told.row is not None:
            whole = Correction(told.key, told.number, told.author, told.row, is_new=True)
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
    # A deletion is a change too, and no version.
    changed = past.updated_at if row.deleted_at is None else row.updated_at
    if (row.created_at, row.updated_at) != (past.created_at, changed):
        expected = f"made {past.created_at}, changed {changed}"
        found = f"made {row.created_at}, changed {row.updated_at}"
        columns = ("created_at",) if row.deleted_at is not None else ("created_at", "updated_at")
        yield Code.RESOURCE_TIME_DIFFERS, expected, found, told.correction(*columns)


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
