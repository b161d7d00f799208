"""Whether `published` tells the publications that rows tell, and its tree is exactly what is published."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from gitstore.read.branch_log import WalkedCommit
from service.committer.step import path_of
from service.recovery.checks.findings import Code
from service.recovery.checks.main_branch import Facts, Main, check_parents
from service.recovery.checks.trailers import Line, Told, subject, told_by

# A version and the instant at which it was published, or ceased to be.
_Event = tuple[UUID, datetime | None]


def read_published(facts: Facts, main: Main, commits: Iterable[WalkedCommit]) -> Main:
    """Compare the rows of publications with the commits of `published`, the oldest first."""
    branch = Main(main.subscription_id)
    begun: Counter[_Event] = Counter((each.version_id, each.published_at) for each in facts.publications)
    ended: Counter[_Event] = Counter(
        (each.version_id, each.unpublished_at) for each in facts.publications if each.unpublished_at
    )
    tree: dict[str, str] = {}
    previous = None
    for commit in commits:
        check_parents(branch, commit, previous)
        previous = commit.commit_id
        for path, blob in commit.changes.items():
            if blob is None:
                tree.pop(path, None)
            else:
                tree[path] = blob
        _check_commit(branch, commit.commit_id, told_by(commit.message), begun, ended)
    versions = {version.version_id: version for version in facts.versions}
    for (version_id, at), count in begun.items():
        if count > 0 and (version := versions.get(version_id)) is not None:
            branch.touched.add(version.resource_id)
            branch.tell(
                Code.PUBLICATION_WITHOUT_COMMIT,
                subject(version.resource_type, version.resource_id, version.version_number),
                expected=f"a commit of {at} on published",
            )
    _check_tree(branch, facts, main, tree)
    return branch


def _check_commit(
    branch: Main, commit_id: str, told: Told, begun: Counter[_Event], ended: Counter[_Event]
) -> None:
    if not told.published and not told.unpublished:
        branch.tell(Code.COMMIT_WITHOUT_ROW, commit_id, found="a commit that names no publication")
    for lines, events, what in (
        (told.published, begun, "published"),
        (told.unpublished, ended, "unpublished"),
    ):
        for line in lines:
            if told.deletion is not None:
                deletion_id = UUID(told.deletion.deletion_id)
                branch.withdrawn.append((deletion_id, line.resource_id, line.version_id))
            event = (line.version_id, told.time)
            if events[event] > 0:
                events[event] -= 1
            else:
                _tell_rowless(branch, line, commit_id, f"a row that says it {what} at {told.time}")


def _tell_rowless(branch: Main, line: Line, commit_id: str, expected: str) -> None:
    branch.touched.add(line.resource_id)
    branch.tell(
        Code.COMMIT_WITHOUT_ROW, line.subject, expected=expected, found=f"commit {commit_id} on published"
    )


def _check_tree(branch: Main, facts: Facts, main: Main, tree: dict[str, str]) -> None:
    standing = {each.version_id for each in facts.publications if each.unpublished_at is None}
    expected, subjects = {}, {}
    touched = set()
    for version in facts.versions:
        path = path_of(version)
        subjects[path] = subject(version.resource_type, version.resource_id)
        if version.resource_id in branch.touched | main.touched:
            touched.add(path)
        if version.version_id in standing:
            expected[path] = main.blob_of(version)
    for path in sorted({*expected, *tree} - touched):
        if expected.get(path) != tree.get(path):
            branch.tell(
                Code.PUBLISHED_TREE_DIFFERS,
                subjects.get(path, path),
                expected=expected.get(path),
                found=tree.get(path),
            )
