"""The kinds of damage between rows and repositories, and the record of a repair."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, NamedTuple, Self, TypeVar
from uuid import UUID

from service.audit import events
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Machine, Origin
from service.runtime.clock import Clock
from sql.database import PLATFORM, Database, Scope, Transaction

ACTOR = "system:reconcile"
# The length of the column in `audit_logs`.
_SUBJECT_CHARACTERS = 500


class Code(StrEnum):
    """The kinds of damage; the names are stable."""

    REPOSITORY_MISSING = "repository_missing"
    REPOSITORY_UNEXPECTED = "repository_unexpected"
    NOT_VERIFIED = "not_verified"

    REF_BEHIND = "ref_behind"
    REF_AHEAD = "ref_ahead"
    REF_DIVERGED = "ref_diverged"
    REF_MISSING = "ref_missing"
    REF_DIFFERS = "ref_differs"
    REF_UNEXPECTED = "ref_unexpected"
    REF_BROKEN = "ref_broken"
    HEAD_DIFFERS = "head_differs"
    TIP_MISSING = "tip_missing"
    TIP_BEHIND = "tip_behind"
    TAG_OBJECT_DIFFERS = "tag_object_differs"

    COMMIT_WITHOUT_ROW = "commit_without_row"
    ROW_WITHOUT_COMMIT = "row_without_commit"
    PARENTS_NOT_LINEAR = "parents_not_linear"
    RESOURCE_DIFFERS = "resource_differs"
    NUMBER_DIFFERS = "number_differs"
    NUMBER_GAP = "number_gap"
    CHANGES_DIFFER = "changes_differ"
    COMMIT_DIFFERS = "commit_differs"
    COMMIT_NUMBER_DIFFERS = "commit_number_differs"
    COMMIT_COUNT_DIFFERS = "commit_count_differs"
    BLOB_DIFFERS = "blob_differs"
    BLOB_MISSING = "blob_missing"
    DATA_DIFFERS = "data_differs"
    AUTHOR_DIFFERS = "author_differs"
    TIME_DIFFERS = "time_differs"
    DESCRIPTION_DIFFERS = "description_differs"
    NAME_DIFFERS = "name_differs"
    CURRENT_DIFFERS = "current_differs"
    TAG_DIFFERS = "tag_differs"
    PUBLISHED_DIFFERS = "published_differs"
    PUBLISHED_TREE_DIFFERS = "published_tree_differs"
    PUBLICATION_WITHOUT_COMMIT = "publication_without_commit"

    RESOURCE_MISSING = "resource_missing"
    RESOURCE_WITHOUT_COMMIT = "resource_without_commit"
    RESOURCE_NAME_DIFFERS = "resource_name_differs"
    RESOURCE_DESCRIPTION_DIFFERS = "resource_description_differs"
    RESOURCE_PARENT_DIFFERS = "resource_parent_differs"
    RESOURCE_AUTHOR_DIFFERS = "resource_author_differs"
    RESOURCE_TIME_DIFFERS = "resource_time_differs"
    RESOURCE_DELETION_DIFFERS = "resource_deletion_differs"
    RESOURCE_UNEXPECTED = "resource_unexpected"

    DELETION_MISSING = "deletion_missing"
    DELETION_WITHOUT_COMMIT = "deletion_without_commit"
    DELETION_DIFFERS = "deletion_differs"
    DELETION_DATA_DIFFERS = "deletion_data_differs"
    MAIN_TREE_DIFFERS = "main_tree_differs"

    STALE_LOCK = "stale_lock"
    LEFTOVER = "leftover"
    PACK_MISSING = "pack_missing"
    OBJECT_CORRUPT = "object_corrupt"


_REPAIR = "run again with --repair"
_RESTORE = "restore the repository from a back-up that is as new as the database"
_ROWS = (
    "restore the database from a back-up; where there is none, `annals rebuild --from-git` recreates all of "
    "it from the repositories, in an empty database"
)
_OBJECTS = "fetch the object from a clone or a back-up into the repository (`git fsck` names what is missing)"

ADVICE: dict[Code, str] = {
    Code.REPOSITORY_MISSING: f"{_RESTORE}; or is this the wrong data directory?",
    Code.REPOSITORY_UNEXPECTED: "no subscription has it: move it away when you know whose it is",
    Code.NOT_VERIFIED: "see what it says, put that right, and verify again",
    Code.TIP_MISSING: _RESTORE,
    Code.TIP_BEHIND: f"{_REPAIR}; where its history forked, ask which of the two lines is to stand",
    Code.TAG_OBJECT_DIFFERS: "take the tag away and give it again, over the API",
    Code.COMMIT_WITHOUT_ROW: _ROWS,
    Code.ROW_WITHOUT_COMMIT: _RESTORE,
    Code.PARENTS_NOT_LINEAR: "Annals never makes such a commit: find out who wrote to the repository",
    Code.RESOURCE_DIFFERS: "the row was changed by hand: restore it from a back-up of the database",
    Code.NUMBER_GAP: _ROWS,
    Code.BLOB_MISSING: _OBJECTS,
    Code.PUBLISHED_TREE_DIFFERS: "publish, or unpublish, the resource again over the API",
    Code.PUBLICATION_WITHOUT_COMMIT: "publish, or unpublish, the resource again over the API",
    Code.RESOURCE_WITHOUT_COMMIT: f"{_RESTORE}; nothing of this resource is on main",
    Code.RESOURCE_UNEXPECTED: "the row came back by hand, or from a back-up: remove it",
    Code.DELETION_WITHOUT_COMMIT: _RESTORE,
    Code.MAIN_TREE_DIFFERS: "Annals never makes such a tree: find out who wrote to the repository",
    Code.PACK_MISSING: (
        "restore the file from a back-up; or copy a pack with its index from a clone that is as new into the "
        "folder, and remove the index that has no pack"
    ),
    Code.OBJECT_CORRUPT: _OBJECTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One damage: its subscription, its place, and its repair.

    `found` is None if something is missing; `expected` is None if nothing should be there. `failed` says why
    a repair did not succeed.
    """

    code: Code
    subscription_id: UUID | None
    subject: str
    expected: str | None = None
    found: str | None = None
    repaired: str | None = None
    failed: str | None = None

    @classmethod
    def of(
        cls,
        code: Code,
        subscription_id: UUID | None,
        subject: str,
        *,
        expected: object = None,
        found: object = None,
    ) -> Self:
        """Make a finding from values of any type; they become text."""
        return cls(
            code=code,
            subscription_id=subscription_id,
            subject=subject,
            expected=None if expected is None else str(expected),
            found=None if found is None else str(found),
        )

    @property
    def to_do(self) -> str | None:
        """The advice for a person; None after a repair."""
        if self.repaired is not None:
            return None
        return ADVICE.get(self.code, _REPAIR)


CorrectionT = TypeVar("CorrectionT")


class RowDifference(NamedTuple, Generic[CorrectionT]):
    """A finding, and the correction of its row; `correction` is None if git does not have the right value."""

    finding: Finding
    correction: CorrectionT | None


# Records the repair of a damage and makes it; returns a description of the repair.
Repair = Callable[["Recorder"], str]


@dataclass(frozen=True, slots=True)
class Damage:
    """A finding, and its repair; `repair` is None if the truth is not known."""

    finding: Finding
    repair: Repair | None = None


class Recorder:
    """Writes the audit row of one repair: in the transaction that repairs rows, or before a repair of git."""

    def __init__(self, database: Database, clock: Clock, finding: Finding, origin: Origin) -> None:
        self._database = database
        self._clock = clock
        self._finding = finding
        self._author = Machine(username=ACTOR, origin=origin)

    def __call__(self, done: str) -> None:
        """Record a repair in a transaction of its own, before the repair is made."""
        scope: Scope = self._finding.subscription_id or PLATFORM
        with self._database.transaction(scope) as tx:
            self.within(tx, done)

    def within(self, tx: Transaction, done: str) -> None:
        """Record a repair in the transaction that makes it."""
        finding = self._finding
        subject = Subject("repository", finding.subscription_id, finding.subject[:_SUBJECT_CHARACTERS])
        events.record(
            tx,
            self._author,
            finding.subscription_id,
            subject,
            Action.REPAIR,
            self._clock(),
            old={"code": finding.code, "subject": finding.subject, "value": finding.found},
            new={
                "code": finding.code,
                "subject": finding.subject,
                "value": finding.expected,
                "repair": done,
            },
        )


def repaired(finding: Finding, done: str) -> Finding:
    """Return the finding as repaired."""
    return replace(finding, repaired=done)


def failed(finding: Finding, why: str) -> Finding:
    """Return the finding as one whose repair failed."""
    return replace(finding, failed=why)
