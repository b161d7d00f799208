"""Deleted and restored resources and their records, in the model of the deletion machine."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from tests.machines import versioning_model
from tests.machines.versioning_model import Json, Text, User, Version, instant
from tests.support.api import COLLECTIONS


@dataclass(slots=True, eq=False)
class Resource(versioning_model.Resource):
    """A resource; `deletion` is its record while it is deleted, and stays after a deletion for good.

    `changes` is the number of its changes in the history.
    """

    deletion: "Record | None" = None
    is_gone: bool = False
    changes: int = 1
    # The user who has it checked out, and the end of the lease.
    held: tuple[User, datetime] | None = None

    @property
    def lives(self) -> bool:
        """True if the resource is not deleted."""
        return self.deletion is None

    @property
    def collection(self) -> str:
        """The collection that its path names."""
        return f"{self.kind}s"

    @property
    def place(self) -> "tuple[str, versioning_model.Resource | None, str]":
        """The kind, parent and name, which no two undeleted resources share."""
        return self.kind, self.parent, self.name

    def row(self) -> Json:
        """Make the item that a list has for it, with the fields that this model knows."""
        return {
            "resource_type": self.kind,
            "resource_id": self.resource_id,
            "name": self.name,
            "parent_id": None if self.parent is None else self.parent.resource_id,
            "workspace_id": self.line()[-1].resource_id,
            "current_version": self.current.number,
            "git_commit_hash": self.current.commit,
            "deleted_at": None if self.deletion is None else self.deletion.at,
        }


@dataclass(slots=True, eq=False)
class Record:
    """A resource's deletion, by itself or with its parent; `until` is None if it was for good."""

    deletion_id: str
    root: "Record | None"
    resource: Resource
    name: str
    parent: versioning_model.Resource | None
    level: int
    counts: dict[str, int]
    by: User
    reason: Text
    at: str
    until: Text
    commit: str
    published: Version | None
    restored: Text = None
    purged: Text = None

    def can_be_restored(self, at: datetime) -> bool:
        """True if the deletion can be undone at an instant."""
        open_until = None if self.restored or self.purged else self.until
        return open_until is not None and instant(open_until) > at

    def part(self) -> Json:
        """Make the entry that names the record in answers about restores."""
        return {
            "resource_type": self.resource.kind,
            "resource_id": self.resource.resource_id,
            "resource_name": self.name,
            "deletion_id": self.deletion_id,
        }

    def shown(self, at: datetime) -> Json:
        """Make the record as the API shows it at an instant, except for the user and time of its restore."""
        parent = self.parent
        return self.part() | {
            "root_deletion_id": (self.root or self).deletion_id,
            "parent_resource_type": None if parent is None else parent.kind,
            "parent_resource_id": None if parent is None else parent.resource_id,
            "cascade_level": self.level,
            "counts": self.counts,
            "deleted_by": self.by.user_id,
            "deleted_by_username": self.by.name,
            "deletion_reason": self.reason,
            "is_soft_delete": self.until is not None,
            "can_be_restored": self.can_be_restored(at),
            "restore_expiry_at": self.until,
            "deleted_at": self.at,
            "git_commit_hash": self.commit,
            "restored_commit_hash": self.restored,
            "purged_at": self.purged,
        }


@dataclass(frozen=True, slots=True)
class Resolve:
    """The way in which a restore resolves conflicts."""

    rename: Text = None
    new_parent: Resource | None = None
    keep_restored: bool = False

    def body(self) -> Json:
        """Make the body of the request."""
        new_parent_id = None if self.new_parent is None else self.new_parent.resource_id
        return {"rename": self.rename, "new_parent_id": new_parent_id, "keep_restored": self.keep_restored}


@dataclass(slots=True)
class Reach:
    """The reach of a restore: records that are restored, and records that are not.

    `parts` are restored; `missing` were deleted for good, and `kept` were restored before.
    """

    parts: list[Record] = field(default_factory=list)
    missing: list[Record] = field(default_factory=list)
    kept: list[Record] = field(default_factory=list)

    def lists(self) -> Json:
        return {
            "missing": [each.part() for each in self.missing],
            "kept": [each.part() for each in self.kept],
        }


def counted(resources: Iterable[Resource]) -> dict[str, int]:
    """Count the resources of each collection."""
    found = Counter(each.collection for each in resources)
    return {collection: found[collection] for collection in COLLECTIONS}
