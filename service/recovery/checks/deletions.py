"""Whether rows tell the deletions and restores that `main` tells, and its tree is exactly what lives."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import partial
from uuid import UUID

from gitstore.commit_messages import DeletionLine
from gitstore.errors import NotUnderstood
from gitstore.read.inspection import Objects
from service.committer.step import path_of
from service.recovery import resource_rows
from service.recovery.checks.findings import Code, Finding
from service.recovery.checks.main_branch import Facts, Main, Named, Turn
from service.recovery.checks.trailers import Author, subject
from service.recovery.deletion_rows import Moment, PastDeletions, Standing
from service.recovery.resource_rows import Key, read_snapshot
from sql.database import Transaction
from sql.queries import rebuild, reconcile
from sql.queries.rebuild import PastDeletion


@dataclass(slots=True)
class Past:
    """What git says of what fell: since when, what of it went for good, and its changes without a version.

    `strange` are commits that can't have done what they say, `untold` resources of theirs.
    """

    deletions: PastDeletions = field(default_factory=PastDeletions)
    deleted_at: dict[Key, datetime] = field(default_factory=dict)
    gone: set[Key] = field(default_factory=set)
    # By version.
    changes: dict[UUID, int] = field(default_factory=dict)
    authors: dict[UUID, Author] = field(default_factory=dict)
    strange: list[tuple[str, str]] = field(default_factory=list)
    untold: set[UUID] = field(default_factory=set)
    knows_published: bool = True


@dataclass(frozen=True, slots=True)
class Fix:
    """What puts rows right unless the resource at that path fell or rose meanwhile; says what was done."""

    path: str
    authors: tuple[Author, ...]
    put: Callable[[Transaction, UUID], str]


Difference = tuple[Finding, Fix | None]


def read_past(main: Main, branch: Main | None, objects: Objects) -> Past:
    """What the commits of `main` and, if it could be read, of `published` tell."""
    reading = _Reading(objects)
    turns = iter(main.turns)
    turn = next(turns, None)
    for named in sorted(main.named.values(), key=lambda each: each.place):
        # A restore comes before the version that it makes.
        while turn is not None and turn.place <= named.place:
            reading.take(turn)
            turn = next(turns, None)
        reading.add(named)
    while turn is not None:
        reading.take(turn)
        turn = next(turns, None)
    past = reading.past
    past.knows_published = branch is not None
    for deletion_id, resource_id, version_id in branch.withdrawn if branch is not None else ():
        try:
            past.deletions.withdraw(deletion_id, resource_id, version_id)
        except NotUnderstood as error:
            past.strange.append(("published", str(error)))
    return past


class _Reading:
    def __init__(self, objects: Objects) -> None:
        self.past = Past()
        self._objects = objects
        self._newest: dict[Key, Named] = {}
        self._by_path: dict[str, Key] = {}
        self._changes: dict[Key, int] = {}

    def add(self, named: Named) -> None:
        """Take in a version."""
        key = named.line.kind, named.line.resource_id
        self._newest[key] = named
        self._by_path[named.line.path] = key
        self.past.changes[named.line.version_id] = self._changes.get(key, 0)

    def take(self, turn: Turn) -> None:
        """Take in a deletion or a restore."""
        try:
            self._carry_out(turn)
        except NotUnderstood as error:
            self.past.strange.append((turn.commit_id, str(error)))
            paths = (*turn.removed, *turn.added)
            self.past.untold |= {self._by_path[path][1] for path in paths if path in self._by_path}

    def _carry_out(self, turn: Turn) -> None:
        told, past = turn.told, self.past
        if told.author is None or told.time is None:
            raise NotUnderstood(f"commit {turn.commit_id}: it does not say by whom it is, or of when")
        moment = Moment(turn.commit_id, turn.place, told.author.user_id, told.time)
        past.authors.setdefault(told.author.user_id, told.author)
        if told.deletion is not None:
            self._count(self._fall(told.deletion, turn, moment))
        if told.restored is not None:
            back = [self._at(path, turn) for path in turn.added]
            past.deletions.rise(told.restored, moment, [resource_id for _, resource_id in back])
            for key in back:
                del past.deleted_at[key]
            self._count(back)

    def _fall(self, line: DeletionLine, turn: Turn, moment: Moment) -> list[Key]:
        past, about = self.past, turn.told.about
        if line.until is not None:
            fallen = [self._at(path, turn) for path in turn.removed]
            past.deletions.fall(line, moment, [self._standing(key) for key in fallen])
            past.deleted_at |= dict.fromkeys(fallen, moment.at)
            return fallen
        if about is None:
            raise NotUnderstood(f"commit {turn.commit_id}: it does not say what it deletes for good")
        fallen = past.deletions.purge(line, moment, about)
        past.gone |= set(fallen)
        return fallen

    def _count(self, keys: Collection[Key]) -> None:
        for key in keys:
            self._changes[key] = self._changes.get(key, 0) + 1
            self.past.changes[self._newest[key].line.version_id] = self._changes[key]

    def _at(self, path: str, turn: Turn) -> Key:
        if path not in self._by_path:
            raise NotUnderstood(f"commit {turn.commit_id}: nothing was ever at {path}")
        return self._by_path[path]

    def _standing(self, key: Key) -> Standing:
        named = self._newest[key]
        content = None if named.blob_id is None else self._objects.blob(named.blob_id)
        if named.blob_id is None or content is None:
            raise NotUnderstood(f"{named.line.subject} has no blob")
        snapshot = read_snapshot(key, named.blob_id, content)
        parent = resource_rows.parent(key, snapshot, self._newest)
        return Standing(key, snapshot.name, parent, named.line.version_id)


# -- what differs -------------------------------------------------------------------------------------


def differences(
    subscription_id: UUID,
    facts: Facts,
    main: Main,
    past: Past,
    *,
    untold: Collection[UUID],
    other_data: Collection[UUID],
    now: datetime,
) -> Iterator[Difference]:
    """What differs of resources that are not `untold`; `other_data` are deletions that hold another document.

    Git tells what is right.
    """
    tell = partial(_finding, subscription_id)
    for about, why in past.strange:
        yield tell(Code.NOT_VERIFIED, about, found=why), None
    rows = {row.deletion_id: row for row in facts.deletions if row.resource_id not in untold}
    expected = {
        deletion_id: row for deletion_id, row in past.deletions.rows.items() if row.resource_id not in untold
    }
    for deletion_id, right in expected.items():
        about, found = f"deletion {deletion_id}", rows.get(deletion_id)
        if found is None:
            shown = f"the row of {subject(right.resource_type, right.resource_id)}"
            yield tell(Code.DELETION_MISSING, about, expected=shown), _fix(past, right, partial(_make, right))
            continue
        columns = _columns(right, found, now, knows_published=past.knows_published)
        if columns:
            values = {name: getattr(right, name) for name in columns}
            put = partial(_correct, deletion_id, values)
            shown, was = _shown(right, columns), _shown(found, columns)
            yield tell(Code.DELETION_DIFFERS, about, expected=shown, found=was), _fix(past, right, put)
        elif deletion_id in other_data:
            shown, was = "the document of the version that fell", "another value in resource_data"
            put = partial(_refill, deletion_id)
            yield tell(Code.DELETION_DATA_DIFFERS, about, expected=shown, found=was), _fix(past, right, put)
    for deletion_id, row in rows.items():
        if deletion_id not in expected:
            about, at = f"deletion {deletion_id}", f"commit {row.git_commit_hash}"
            yield tell(Code.DELETION_WITHOUT_COMMIT, about, expected="a commit that tells it", found=at), None
    yield from _miscounted(tell, facts, past, untold)
    if main.is_linear:
        yield from _tree(tell, main, past, untold)


def _miscounted(
    tell: Callable[..., Finding], facts: Facts, past: Past, untold: Collection[UUID]
) -> Iterator[Difference]:
    for version in facts.versions:
        right = past.changes.get(version.version_id)
        if right is None or version.resource_id in untold or right == version.unversioned_changes:
            continue
        about = subject(version.resource_type, version.resource_id, version.version_number)
        finding = tell(Code.CHANGES_DIFFER, about, expected=right, found=version.unversioned_changes)
        path = path_of(version)
        yield finding, Fix(path, (), partial(_recount, version.version_id, right))


def _tree(
    tell: Callable[..., Finding], main: Main, past: Past, untold: Collection[UUID]
) -> Iterator[Difference]:
    expected: dict[str, str | None] = {}
    skipped = set()
    for named in sorted(main.named.values(), key=lambda each: each.place):
        line = named.line
        expected[line.path] = None if (line.kind, line.resource_id) in past.deleted_at else named.blob_id
        if line.resource_id in untold:
            skipped.add(line.path)
    for path in sorted({*expected, *main.tree} - skipped):
        if expected.get(path) != main.tree.get(path):
            right, found = expected.get(path), main.tree.get(path)
            yield tell(Code.MAIN_TREE_DIFFERS, path, expected=right, found=found), None


def _columns(right: PastDeletion, found: PastDeletion, now: datetime, *, knows_published: bool) -> list[str]:
    """The columns that are not as git says."""
    columns = [each.name for each in fields(right) if getattr(right, each.name) != getattr(found, each.name)]
    if not knows_published and "published_version_id" in columns:
        columns.remove("published_version_id")
    until = right.restore_expiry_at
    # Whoever says of what has expired that it can't come back is right as well.
    if "can_be_restored" in columns and not found.can_be_restored and until is not None and until <= now:
        columns.remove("can_be_restored")
    return columns


def _fix(past: Past, right: PastDeletion, put: Callable[[Transaction, UUID], str]) -> Fix:
    by = (right.deleted_by, right.restored_by)
    authors = tuple(past.authors[each] for each in by if each is not None)
    path = path_of(right)
    return Fix(path, authors, put)


def _make(row: PastDeletion, tx: Transaction, subscription_id: UUID) -> str:
    rebuild.insert_deletions(tx, subscription_id, [row])
    return "made again as git says"


def _correct(deletion_id: UUID, values: dict[str, object], tx: Transaction, subscription_id: UUID) -> str:
    reconcile.correct_deletion(tx, subscription_id, deletion_id, values)
    return f"{', '.join(values)} set to what git says"


def _refill(deletion_id: UUID, tx: Transaction, subscription_id: UUID) -> str:
    reconcile.refill_deletion(tx, subscription_id, deletion_id)
    return "written again from the version"


def _recount(version_id: UUID, right: int, tx: Transaction, subscription_id: UUID) -> str:
    reconcile.correct(tx, subscription_id, version_id, "unversioned_changes", right)
    return "unversioned_changes was set to what git says"


def _shown(row: PastDeletion, columns: list[str]) -> str:
    return ", ".join(f"{name} {getattr(row, name)}" for name in columns)


def _finding(
    subscription_id: UUID, code: Code, about: str, *, expected: object = None, found: object = None
) -> Finding:
    return Finding(
        code=code,
        subscription_id=subscription_id,
        subject=about,
        expected=None if expected is None else str(expected),
        found=None if found is None else str(found),
    )
