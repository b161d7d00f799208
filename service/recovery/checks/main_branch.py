"""Whether each commit of `main` has its rows and each row its commit, with its number, place and blob."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from gitstore.read.branch_log import WalkedCommit
from service.recovery.checks.findings import Code, Finding
from service.recovery.checks.trailers import Author, Line, Told, subject, told_by
from sql.queries.rebuild import PastDeletion
from sql.queries.reconcile import PublicationFact, TagFact, VersionFact
from sql.queries.repositories import Tips
from sql.queries.resources import ResourceRow

_SHOWN_NUMBERS = 20


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rows of a subscription say, all of one instant."""

    tips: Tips
    versions: list[VersionFact]
    tags: list[TagFact]
    publications: list[PublicationFact]
    deletions: list[PastDeletion]
    resources: list[ResourceRow]


Value = str | int | UUID | datetime | None


@dataclass(frozen=True, slots=True)
class Correction:
    """What a column of a version's row has to be: what git says, and who that is where it is somebody."""

    version_id: UUID
    column: str
    value: Value
    author: Author | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """A version as its commit has it: `place` counts from 1, the blob is None where nothing stands."""

    line: Line
    told: Told
    commit_id: str
    place: int
    blob_id: str | None


@dataclass(frozen=True, slots=True)
class Turn:
    """A commit that deletes or restores: `place` counts from 1; the paths that it takes away, and adds."""

    told: Told
    commit_id: str
    place: int
    removed: tuple[str, ...]
    added: tuple[str, ...]


Found = tuple[Finding, Correction | None]


@dataclass(slots=True)
class Main:
    """The branch as it was read: the version that each commit names, and where its rows differ."""

    subscription_id: UUID
    found: list[Found] = field(default_factory=list)
    named: dict[UUID, Named] = field(default_factory=dict)
    commits: set[str] = field(default_factory=set)
    newest: str | None = None
    turns: list[Turn] = field(default_factory=list)
    # Of `published`: by which deletion which version of which resource ceased to be.
    withdrawn: list[tuple[UUID, UUID, UUID]] = field(default_factory=list)
    # The blobs in the newest tree by path, None for what was removed.
    tree: dict[str, str | None] = field(default_factory=dict)
    is_linear: bool = True
    # Resources of which something is wrong that would be told again by what is derived from it.
    touched: set[UUID] = field(default_factory=set)

    def blob_of(self, version: VersionFact) -> str:
        """The blob of a version: the one in its commit's tree where that is known."""
        named = self.named.get(version.version_id)
        return version.git_blob_id if named is None or named.blob_id is None else named.blob_id

    def commit_of(self, version: VersionFact) -> str:
        """The commit of a version: the one that names it where that is known."""
        named = self.named.get(version.version_id)
        return version.git_commit_hash if named is None else named.commit_id

    def tell(
        self,
        code: Code,
        about: str,
        *,
        expected: object = None,
        found: object = None,
        correction: Correction | None = None,
    ) -> None:
        """Add a finding."""
        finding = Finding(
            code=code,
            subscription_id=self.subscription_id,
            subject=about,
            expected=None if expected is None else str(expected),
            found=None if found is None else str(found),
        )
        self.found.append((finding, correction))


def read_main(
    subscription_id: UUID,
    facts: Facts,
    commits: Iterable[WalkedCommit],
    *,
    exists: Callable[[str], bool],
) -> Main:
    """Compare the rows of versions with the commits, the oldest first; `exists` tells of a commit's id."""
    main = Main(subscription_id)
    _read_commits(main, commits)
    _check_commits(main, facts)
    for version in facts.versions:
        _check_row(main, version, exists)
    _check_numbers(main, facts)
    return main


def check_parents(main: Main, commit: WalkedCommit, previous: str | None) -> None:
    """Each commit has the one before it as its only parent."""
    expected = () if previous is None else (previous,)
    if commit.parents != expected:
        main.is_linear = False
        main.tell(
            Code.PARENTS_NOT_LINEAR,
            commit.commit_id,
            expected=previous or "no parent",
            found=", ".join(commit.parents) or "no parent",
        )


def _read_commits(main: Main, commits: Iterable[WalkedCommit]) -> None:
    previous = None
    for place, commit in enumerate(commits, 1):
        check_parents(main, commit, previous)
        previous = main.newest = commit.commit_id
        main.commits.add(commit.commit_id)
        told = told_by(commit.message)
        if told.deletion is not None or told.restored is not None:
            main.turns.append(_turn(main, commit, told, place))
        main.tree |= commit.changes
        if not told.versions and told.deletion is None and told.restored is None:
            main.tell(Code.COMMIT_WITHOUT_ROW, commit.commit_id, found="a commit that names no version")
        for line in told.versions:
            main.named[line.version_id] = Named(line, told, commit.commit_id, place, main.tree.get(line.path))


def _turn(main: Main, commit: WalkedCommit, told: Told, place: int) -> Turn:
    removed = tuple(path for path, blob in commit.changes.items() if blob is None)
    added = (path for path, blob in commit.changes.items() if blob and main.tree.get(path) is None)
    return Turn(told, commit.commit_id, place, removed, tuple(added))


def _check_commits(main: Main, facts: Facts) -> None:
    rows = {version.version_id for version in facts.versions}
    for version_id, named in main.named.items():
        if version_id not in rows:
            main.touched.add(named.line.resource_id)
            main.tell(
                Code.COMMIT_WITHOUT_ROW,
                named.line.subject,
                expected=f"a row of version {version_id}",
                found=f"commit {named.commit_id}",
            )
    if main.is_linear and facts.tips.commits != len(main.commits):
        main.tell(Code.COMMIT_COUNT_DIFFERS, "main", expected=len(main.commits), found=facts.tips.commits)


def _check_row(main: Main, version: VersionFact, exists: Callable[[str], bool]) -> None:
    about = subject(version.resource_type, version.resource_id, version.version_number)
    named = main.named.get(version.version_id)
    if named is None:
        main.touched.add(version.resource_id)
        commit = version.git_commit_hash
        if commit in main.commits:
            found = f"commit {commit} does not name it"
        else:
            found = f"commit {commit} is not on main" if exists(commit) else f"commit {commit} is missing"
        main.tell(
            Code.ROW_WITHOUT_COMMIT, about, expected=f"a commit of version {version.version_id}", found=found
        )
        return
    line = named.line
    if (line.kind, line.resource_id) != (version.resource_type, version.resource_id):
        main.touched |= {line.resource_id, version.resource_id}
        main.tell(Code.RESOURCE_DIFFERS, about, expected=line.subject, found=about)
        return
    if line.number != version.version_number:
        main.touched.add(version.resource_id)
    for code, column, right, value in _columns(named, version, is_linear=main.is_linear):
        if right != value:
            author = named.told.author if column == "created_by" else None
            main.tell(
                code,
                about,
                expected=right,
                found=value,
                correction=Correction(version.version_id, column, right, author),
            )
    if named.blob_id is None:
        main.tell(Code.BLOB_DIFFERS, about, found=version.git_blob_id)


def _columns(
    named: Named, version: VersionFact, *, is_linear: bool
) -> Iterator[tuple[Code, str, Value, Value]]:
    """What git says of a version, and its row, column by column."""
    yield Code.NUMBER_DIFFERS, "version_number", named.line.number, version.version_number
    yield Code.COMMIT_DIFFERS, "git_commit_hash", named.commit_id, version.git_commit_hash
    if named.blob_id is not None:
        yield Code.BLOB_DIFFERS, "git_blob_id", named.blob_id, version.git_blob_id
    if is_linear:
        yield Code.COMMIT_NUMBER_DIFFERS, "commit_number", named.place, version.commit_number
    told = named.told
    if told.author is None or not told.is_record:
        return
    yield Code.AUTHOR_DIFFERS, "created_by", told.author.user_id, version.created_by
    yield Code.TIME_DIFFERS, "created_at", told.time, version.created_at
    # A commit of many has one description or none: it is not said of which.
    if len(told.versions) == 1 or told.description is None:
        yield Code.DESCRIPTION_DIFFERS, "version_description", told.description, version.version_description


def _check_numbers(main: Main, facts: Facts) -> None:
    """The versions of each resource are numbered from 1 on, counting those that git alone knows."""
    numbers: dict[tuple[str, UUID], set[int]] = defaultdict(set)
    for named in main.named.values():
        numbers[named.line.kind, named.line.resource_id].add(named.line.number)
    for version in facts.versions:
        if version.version_id not in main.named:
            numbers[version.resource_type, version.resource_id].add(version.version_number)
    for (kind, resource_id), found in numbers.items():
        last = max(found)
        if len(found) < last:
            missing = list(_first_missing(found, last))
            main.tell(
                Code.NUMBER_GAP,
                subject(kind, resource_id),
                expected=f"versions 1 to {last}",
                found=f"without {', '.join(map(str, missing))}",
            )


def _first_missing(found: set[int], last: int) -> Iterator[int]:
    shown = 0
    for number in range(1, last):
        if number not in found:
            yield number
            shown += 1
            if shown == _SHOWN_NUMBERS:
                return
