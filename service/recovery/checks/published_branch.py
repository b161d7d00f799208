"""Compare the rows of publications with the commits of `published`, and with its tree."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from gitstore.read.branch_log import BranchCommit
from service.committer.step import path_of
from service.recovery.checks.findings import Code
from service.recovery.checks.main_branch import BranchCheck, Facts, MainCheck
from service.recovery.history import BranchReading, HistoryEntry
from service.recovery.trailers import subject

# A version, and the instant at which it was published or unpublished.
_Event = tuple[UUID, datetime | None]


class PublishedCheck(BranchCheck):
    """The differences of `published`.

    Each of `withdrawn` has the ids of a deletion, a resource, and the version that the deletion withdrew.
    """

    def __init__(self, subscription_id: UUID) -> None:
        super().__init__(subscription_id)
        self.withdrawn: list[tuple[UUID, UUID, UUID]] = []


def check_published(
    subscription_id: UUID, facts: Facts, main: MainCheck, commits: Iterable[BranchCommit]
) -> PublishedCheck:
    """Compare the rows of publications with the commits, which are given the oldest first."""
    branch, reading = PublishedCheck(subscription_id), BranchReading()
    begun: Counter[_Event] = Counter((each.version_id, each.published_at) for each in facts.publications)
    ended: Counter[_Event] = Counter(
        (each.version_id, each.unpublished_at) for each in facts.publications if each.unpublished_at
    )
    for commit in commits:
        branch.check_parents(commit)
        _check_commit(branch, reading.read(commit), begun, ended)
    versions = {version.version_id: version for version in facts.versions}
    for (version_id, at), count in begun.items():
        if count > 0 and (version := versions.get(version_id)) is not None:
            branch.touched.add(version.resource_id)
            branch.report(
                Code.PUBLICATION_WITHOUT_COMMIT,
                subject(version.resource_type, version.resource_id, version.version_number),
                expected=f"a commit of {at} on published",
            )
    _check_tree(branch, facts, main, reading.tree)
    return branch


def _check_commit(
    branch: PublishedCheck, entry: HistoryEntry, begun: Counter[_Event], ended: Counter[_Event]
) -> None:
    trailers = entry.trailers
    if not trailers.published and not trailers.unpublished:
        branch.report(Code.COMMIT_WITHOUT_ROW, entry.commit_id, found="a commit that names no publication")
    for lines, events, verb in (
        (trailers.published, begun, "published"),
        (trailers.unpublished, ended, "unpublished"),
    ):
        for line in lines:
            if trailers.deletion is not None:
                deletion_id = UUID(trailers.deletion.deletion_id)
                branch.withdrawn.append((deletion_id, line.resource_id, line.version_id))
            event = (line.version_id, trailers.time)
            if events[event] > 0:
                events[event] -= 1
            else:
                branch.touched.add(line.resource_id)
                branch.report(
                    Code.COMMIT_WITHOUT_ROW,
                    line.subject,
                    expected=f"a row that says it {verb} at {trailers.time}",
                    found=f"commit {entry.commit_id} on published",
                )


def _check_tree(branch: PublishedCheck, facts: Facts, main: MainCheck, tree: dict[str, str | None]) -> None:
    published = {each.version_id for each in facts.publications if each.unpublished_at is None}
    expected, subjects = {}, {}
    touched, skipped = branch.touched | main.touched, set()
    for version in facts.versions:
        path = path_of(version)
        subjects[path] = subject(version.resource_type, version.resource_id)
        if version.resource_id in touched:
            skipped.add(path)
        if version.version_id in published:
            expected[path] = main.blob_of(version)
    for path in sorted({*expected, *tree} - skipped):
        if expected.get(path) != tree.get(path):
            branch.report(
                Code.PUBLISHED_TREE_DIFFERS,
                subjects.get(path, path),
                expected=expected.get(path),
                found=tree.get(path),
            )
