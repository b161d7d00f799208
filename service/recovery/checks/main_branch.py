"""Compare the rows of versions with the commits of `main`: number, place, blob, author, time, description."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gitstore.read.branch_log import BranchCommit
from service.recovery.checks.findings import Code, Finding, RowDifference
from service.recovery.history import History, NamedVersion, ReadBlob
from service.recovery.trailers import CommitAuthor, subject
from sql.queries.rebuild import PastDeletion
from sql.queries.reconcile import PublicationFact, TagFact, VersionFact
from sql.queries.repositories import Tips
from sql.queries.resources import ResourceRow

_SHOWN_NUMBERS = 20


@dataclass(frozen=True, slots=True)
class Facts:
    """The rows of a subscription, all read as of one instant."""

    tips: Tips
    versions: list[VersionFact]
    tags: list[TagFact]
    publications: list[PublicationFact]
    deletions: list[PastDeletion]
    resources: list[ResourceRow]


Value = str | int | UUID | datetime | None


@dataclass(frozen=True, slots=True)
class VersionCorrection:
    """The value that git has for a column of a version's row; `author` is set if the value is a user."""

    version_id: UUID
    column: str
    value: Value
    author: CommitAuthor | None = None


class BranchCheck:
    """The differences between the commits of a branch and the rows."""

    def __init__(self, subscription_id: UUID) -> None:
        self.differences: list[RowDifference[VersionCorrection]] = []
        self.is_linear = True
        # Resources that other checks have to skip, since they would report the same damage again.
        self.touched: set[UUID] = set()
        self._subscription_id = subscription_id
        self._previous: str | None = None

    def report(
        self,
        code: Code,
        about: str,
        *,
        expected: object = None,
        found: object = None,
        correction: VersionCorrection | None = None,
    ) -> None:
        """Add a finding."""
        finding = Finding.of(code, self._subscription_id, about, expected=expected, found=found)
        self.differences.append(RowDifference(finding, correction))

    def check_parents(self, commit: BranchCommit) -> None:
        """Report the next commit unless the one before it is its only parent."""
        previous, self._previous = self._previous, commit.commit_id
        if commit.parents != (() if previous is None else (previous,)):
            self.is_linear = False
            self.report(
                Code.PARENTS_NOT_LINEAR,
                commit.commit_id,
                expected=previous or "no parent",
                found=", ".join(commit.parents) or "no parent",
            )


class MainCheck(BranchCheck):
    """The differences of `main`, and its history."""

    def __init__(self, subscription_id: UUID, read_blob: ReadBlob) -> None:
        super().__init__(subscription_id)
        self.history = History(read_blob)
        self.commits: set[str] = set()
        self.newest: str | None = None

    def read(self, commits: Iterable[BranchCommit]) -> None:
        """Read the commits, the oldest first."""
        for commit in commits:
            self.check_parents(commit)
            self.newest = commit.commit_id
            self.commits.add(commit.commit_id)
            trailers = self.history.add(commit).trailers
            if not trailers.versions and trailers.deletion is None and trailers.restored is None:
                self.report(Code.COMMIT_WITHOUT_ROW, commit.commit_id, found="a commit that names no version")

    def blob_of(self, version: VersionFact) -> str:
        """Return the id of a version's blob: from the tree of its commit if known, or else from its row."""
        named = self.history.named.get(version.version_id)
        return version.git_blob_id if named is None or named.blob_id is None else named.blob_id


def check_main(
    subscription_id: UUID,
    facts: Facts,
    commits: Iterable[BranchCommit],
    *,
    exists: Callable[[str], bool],
    read_blob: ReadBlob,
) -> MainCheck:
    """Compare the rows of versions with the commits; `exists` says whether a commit's id is in git."""
    main = MainCheck(subscription_id, read_blob)
    main.read(commits)
    _check_commits(main, facts)
    for version in facts.versions:
        _check_row(main, version, exists)
    _check_numbers(main, facts)
    return main


def _check_commits(main: MainCheck, facts: Facts) -> None:
    rows = {version.version_id for version in facts.versions}
    for version_id, named in main.history.named.items():
        if version_id not in rows:
            main.touched.add(named.line.resource_id)
            main.report(
                Code.COMMIT_WITHOUT_ROW,
                named.line.subject,
                expected=f"a row of version {version_id}",
                found=f"commit {named.commit_id}",
            )
    if main.is_linear and facts.tips.commits != len(main.commits):
        main.report(Code.COMMIT_COUNT_DIFFERS, "main", expected=len(main.commits), found=facts.tips.commits)


def _check_row(main: MainCheck, version: VersionFact, exists: Callable[[str], bool]) -> None:
    about = subject(version.resource_type, version.resource_id, version.version_number)
    named = main.history.named.get(version.version_id)
    if named is None:
        main.touched.add(version.resource_id)
        commit = version.git_commit_hash
        if commit in main.commits:
            found = f"commit {commit} does not name it"
        else:
            found = f"commit {commit} is not on main" if exists(commit) else f"commit {commit} is missing"
        main.report(
            Code.ROW_WITHOUT_COMMIT, about, expected=f"a commit of version {version.version_id}", found=found
        )
        return
    line = named.line
    if line.key != (version.resource_type, version.resource_id):
        main.touched |= {line.resource_id, version.resource_id}
        main.report(Code.RESOURCE_DIFFERS, about, expected=line.subject, found=about)
        return
    if line.number != version.version_number:
        main.touched.add(version.resource_id)
    for code, column, right, value in _columns(named, version, is_linear=main.is_linear):
        if right != value:
            author = named.trailers.author if column == "created_by" else None
            main.report(
                code,
                about,
                expected=right,
                found=value,
                correction=VersionCorrection(version.version_id, column, right, author),
            )
    if named.blob_id is None:
        main.report(Code.BLOB_DIFFERS, about, found=version.git_blob_id)


def _columns(
    named: NamedVersion, version: VersionFact, *, is_linear: bool
) -> Iterator[tuple[Code, str, Value, Value]]:
    """Yield each column of a version: the code of a difference, the name, git's value and the row's value."""
    yield Code.NUMBER_DIFFERS, "version_number", named.line.number, version.version_number
    yield Code.COMMIT_DIFFERS, "git_commit_hash", named.commit_id, version.git_commit_hash
    if named.blob_id is not None:
        yield Code.BLOB_DIFFERS, "git_blob_id", named.blob_id, version.git_blob_id
    if is_linear:
        yield Code.COMMIT_NUMBER_DIFFERS, "commit_number", named.place, version.commit_number
    trailers = named.trailers
    if trailers.author is None or not trailers.is_record:
        return
    yield Code.AUTHOR_DIFFERS, "created_by", trailers.author.user_id, version.created_by
    yield Code.TIME_DIFFERS, "created_at", trailers.time, version.created_at
    # A commit of many versions does not say to which of them its description belongs.
    if len(trailers.versions) == 1 or trailers.description is None:
        yield (
            Code.DESCRIPTION_DIFFERS,
            "version_description",
            trailers.description,
            version.version_description,
        )


def _check_numbers(main: MainCheck, facts: Facts) -> None:
    """Report gaps in the numbers of versions, which begin at 1; versions that only git has count too."""
    named = main.history.named
    numbers: dict[tuple[str, UUID], set[int]] = defaultdict(set)
    for each in named.values():
        numbers[each.line.key].add(each.line.number)
    for version in facts.versions:
        if version.version_id not in named:
            numbers[version.resource_type, version.resource_id].add(version.version_number)
    for (kind, resource_id), found in numbers.items():
        last = max(found)
        if len(found) < last:
            missing = list(_first_missing(found, last))
            main.report(
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
