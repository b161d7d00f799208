"""Compare the rows of deletions with the commits of `main`, and its tree with the living resources."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from uuid import UUID

from service.committer.step import path_of
from service.recovery.checks.findings import Code, Finding, RowDifference
from service.recovery.checks.main_branch import Facts, MainCheck
from service.recovery.history import History
from service.recovery.trailers import CommitAuthor, subject
from sql.database import Transaction
from sql.queries import rebuild, reconcile
from sql.queries.rebuild import PastDeletion
from sql.queries.reconcile import VersionFact


@dataclass(frozen=True, slots=True)
class DeletionRepair:
    """A repair of rows of the resource at a path, valid until a commit deletes, restores or changes it.

    `put` returns a description of the repair.
    """

    path: str
    authors: tuple[CommitAuthor, ...]
    put: Callable[[Transaction, UUID], str]


def differences(
    subscription_id: UUID,
    facts: Facts,
    main: MainCheck,
    *,
    knows_published: bool,
    untold: Collection[UUID],
    other_data: Collection[UUID],
    now: datetime,
) -> Iterator[RowDifference[DeletionRepair]]:
    """Yield the differences between rows and git, which is right; skips the resources in `untold`.

    `other_data` are deletions whose document differs from that of their version. The version that a deletion
    withdrew is compared only if `published` could be read.
    """
    history = main.history
    report = partial(Finding.of, subscription_id=subscription_id)
    for about, why in history.strange:
        yield RowDifference(report(Code.NOT_VERIFIED, subject=about, found=why), None)
    rows = {row.deletion_id: row for row in facts.deletions if row.resource_id not in untold}
    expected = {
        deletion_id: row
        for deletion_id, row in history.deletions.rows.items()
        if row.resource_id not in untold
    }
    for deletion_id, right in expected.items():
        about, found = f"deletion {deletion_id}", rows.get(deletion_id)
        if found is None:
            shown = f"the row of {subject(right.resource_type, right.resource_id)}"
            finding = report(Code.DELETION_MISSING, subject=about, expected=shown)
            yield RowDifference(finding, _repair(history, right, partial(_insert, right)))
            continue
        columns = _columns(right, found, now, knows_published=knows_published)
        if columns:
            values = {name: getattr(right, name) for name in columns}
            shown, was = _shown(right, columns), _shown(found, columns)
            finding = report(Code.DELETION_DIFFERS, subject=about, expected=shown, found=was)
            yield RowDifference(finding, _repair(history, right, partial(_correct, deletion_id, values)))
        elif deletion_id in other_data:
            shown, was = "the document of the version that fell", "another value in resource_data"
            finding = report(Code.DELETION_DATA_DIFFERS, subject=about, expected=shown, found=was)
            yield RowDifference(finding, _repair(history, right, partial(_refill, deletion_id)))
    for deletion_id, row in rows.items():
        if deletion_id not in expected:
            about, at = f"deletion {deletion_id}", f"commit {row.git_commit_hash}"
            expectation = "a commit that tells it"
            finding = report(Code.DELETION_WITHOUT_COMMIT, subject=about, expected=expectation, found=at)
            yield RowDifference(finding, None)
    for version in facts.versions:
        changes = history.changes.get(version.version_id, version.unversioned_changes)
        if changes != version.unversioned_changes and version.resource_id not in untold:
            yield _miscounted(subscription_id, version, changes)
    if main.is_linear:
        for path, blob, there in _tree(history, untold):
            finding = report(Code.MAIN_TREE_DIFFERS, subject=path, expected=blob, found=there)
            yield RowDifference(finding, None)


def _miscounted(subscription_id: UUID, version: VersionFact, right: int) -> RowDifference[DeletionRepair]:
    about = subject(version.resource_type, version.resource_id, version.version_number)
    finding = Finding.of(
        Code.CHANGES_DIFFER, subscription_id, about, expected=right, found=version.unversioned_changes
    )
    return RowDifference(
        finding, DeletionRepair(path_of(version), (), partial(_recount, version.version_id, right))
    )


def _tree(history: History, untold: Collection[UUID]) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield each path at which the tree of `main` is wrong, with the right blob and the present one."""
    expected: dict[str, str | None] = {}
    skipped = set()
    for named in sorted(history.named.values(), key=lambda each: each.place):
        line = named.line
        expected[line.path] = None if line.key in history.deleted_at else named.blob_id
        if line.resource_id in untold:
            skipped.add(line.path)
    tree = history.branch.tree
    for path in sorted({*expected, *tree} - skipped):
        if expected.get(path) != tree.get(path):
            yield path, expected.get(path), tree.get(path)


def _columns(right: PastDeletion, found: PastDeletion, now: datetime, *, knows_published: bool) -> list[str]:
    """The columns that differ from git."""
    columns = [each.name for each in fields(right) if getattr(right, each.name) != getattr(found, each.name)]
    if not knows_published and "published_version_id" in columns:
        columns.remove("published_version_id")
    until = right.restore_expiry_at
    # Once a deletion has expired, its row may already say that it can't be restored.
    if "can_be_restored" in columns and not found.can_be_restored and until is not None and until <= now:
        columns.remove("can_be_restored")
    return columns


def _repair(history: History, right: PastDeletion, put: Callable[[Transaction, UUID], str]) -> DeletionRepair:
    by = (right.deleted_by, right.restored_by)
    authors = tuple(history.authors[each] for each in by if each is not None)
    return DeletionRepair(path_of(right), authors, put)


def _insert(row: PastDeletion, tx: Transaction, subscription_id: UUID) -> str:
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
