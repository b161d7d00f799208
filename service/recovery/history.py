"""Read the history of a subscription from its commits: one tolerant reading for rebuild and verify.

Rebuild refuses a history with a fault (`faults.py`), and makes rows from any other (`history_to_rows.py`).
Verify compares the reading with the rows (`checks/`).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gitstore.commit_messages import DeletionLine
from gitstore.errors import NotUnderstood
from gitstore.read.branch_log import BranchCommit
from service.recovery import resource_rows
from service.recovery.deletion_rows import Moment, PastDeletions, ResourceState
from service.recovery.resource_rows import Key, PastResource, read_snapshot
from service.recovery.trailers import CommitAuthor, Line, Trailers, read_trailers

# Returns the content of a blob by its id, or None if the blob can't be read.
ReadBlob = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A commit and its trailers; `place` is its number on its branch, counted from 1.

    `removed` are the paths that it removes; `added` are its paths that were not in the tree before.
    """

    commit: BranchCommit
    place: int
    trailers: Trailers
    removed: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def commit_id(self) -> str:
        """The id of the commit."""
        return self.commit.commit_id


@dataclass(frozen=True, slots=True)
class NamedVersion:
    """A version and the commit that names it; the blob is None if the tree has nothing at its path."""

    line: Line
    trailers: Trailers
    commit_id: str
    place: int
    blob_id: str | None

    @property
    def blob(self) -> str:
        """The id of the version's blob; raises NotUnderstood if the tree has none."""
        if self.blob_id is None:
            raise NotUnderstood(f"{self.line.subject} has no blob")
        return self.blob_id


class BranchReading:
    """Reads the commits of one branch, the oldest first."""

    def __init__(self) -> None:
        # The blobs in the newest tree by path, None for a removed file.
        self.tree: dict[str, str | None] = {}
        self.commits = 0

    def read(self, commit: BranchCommit) -> HistoryEntry:
        """Read the next commit."""
        self.commits += 1
        removed = tuple(path for path, blob in commit.changes.items() if blob is None)
        added = tuple(path for path, blob in commit.changes.items() if blob and self.tree.get(path) is None)
        self.tree |= commit.changes
        return HistoryEntry(commit, self.commits, read_trailers(commit.message), removed, added)


class History:
    """The versions, deletions and restores of `main`.

    `strange` are commits that can't have deleted or restored as they say, each with the reason. `untold` are
    the resources at the paths of these commits: their state is unknown.
    """

    def __init__(self, read_blob: ReadBlob) -> None:
        self.branch = BranchReading()
        self.named: dict[UUID, NamedVersion] = {}
        # By resource: its newest version in the order of commits, and its number of versions.
        self.newest: dict[Key, NamedVersion] = {}
        self.numbers: dict[Key, int] = {}
        # Versions that a second commit names.
        self.repeated: set[UUID] = set()
        self.deletions = PastDeletions()
        self.deleted_at: dict[Key, datetime] = {}
        # Resources that were deleted for good.
        self.purged: set[Key] = set()
        # By version: the number of deletions and restores of its resource up to the next version.
        self.changes: dict[UUID, int] = {}
        self.authors: dict[UUID, CommitAuthor] = {}
        self.strange: list[tuple[str, str]] = []
        self.untold: set[UUID] = set()
        self._read_blob = read_blob
        self._by_path: dict[str, Key] = {}
        self._changes_of: dict[Key, int] = {}

    def add(self, commit: BranchCommit) -> HistoryEntry:
        """Read the next commit of `main`, the oldest first."""
        entry = self.branch.read(commit)
        trailers = entry.trailers
        if trailers.deletion is not None or trailers.restored is not None:
            try:
                self._delete_or_restore(entry)
            except NotUnderstood as error:
                self.strange.append((entry.commit_id, str(error)))
                paths = (*entry.removed, *entry.added)
                self.untold |= {self._by_path[path][1] for path in paths if path in self._by_path}
        # A restore comes before the version that the same commit makes.
        for line in trailers.versions:
            self._add_version(line, entry)
        return entry

    def withdraw(self, withdrawn: Collection[tuple[UUID, UUID, UUID]]) -> None:
        """Note versions that deletions withdrew from `published`: ids of deletion, resource and version."""
        for deletion_id, resource_id, version_id in withdrawn:
            try:
                self.deletions.withdraw(deletion_id, resource_id, version_id)
            except NotUnderstood as error:
                self.strange.append(("published", str(error)))

    def key_at(self, path: str) -> Key | None:
        """Find the resource whose snapshots are at a path."""
        return self._by_path.get(path)

    def _add_version(self, line: Line, entry: HistoryEntry) -> None:
        key, blob_id = line.key, self.branch.tree.get(line.path)
        if line.version_id in self.named:
            self.repeated.add(line.version_id)
        named = NamedVersion(line, entry.trailers, entry.commit_id, entry.place, blob_id)
        self.named[line.version_id] = self.newest[key] = named
        self.numbers[key] = self.numbers.get(key, 0) + 1
        self._by_path[line.path] = key
        self.changes[line.version_id] = self._changes_of.get(key, 0)

    def _delete_or_restore(self, entry: HistoryEntry) -> None:
        trailers = entry.trailers
        if trailers.author is None or trailers.time is None:
            raise NotUnderstood(f"commit {entry.commit_id}: it does not say by whom it is, or of when")
        moment = Moment(entry.commit_id, entry.place, trailers.author.user_id, trailers.time)
        self.authors.setdefault(trailers.author.user_id, trailers.author)
        if trailers.deletion is not None:
            self._count_change(self._delete(trailers.deletion, entry, moment))
        if trailers.restored is not None:
            restored = [self._at(path, entry) for path in entry.added]
            ids = [resource_id for _, resource_id in restored]
            self.deletions.restore(trailers.restored, moment, ids)
            for key in restored:
                del self.deleted_at[key]
            self._count_change(restored)

    def _delete(self, line: DeletionLine, entry: HistoryEntry, moment: Moment) -> list[Key]:
        if line.until is not None:
            deleted = [self._at(path, entry) for path in entry.removed]
            self.deletions.delete(line, moment, [self._state(key) for key in deleted])
            self.deleted_at |= dict.fromkeys(deleted, moment.at)
            return deleted
        root = entry.trailers.purged
        if root is None:
            raise NotUnderstood(f"commit {entry.commit_id}: it does not say what it deletes for good")
        purged = self.deletions.purge(line, moment, root)
        self.purged |= set(purged)
        return purged

    def _count_change(self, keys: Collection[Key]) -> None:
        for key in keys:
            self._changes_of[key] = self._changes_of.get(key, 0) + 1
            self.changes[self.newest[key].line.version_id] = self._changes_of[key]

    def _at(self, path: str, entry: HistoryEntry) -> Key:
        if path not in self._by_path:
            raise NotUnderstood(f"commit {entry.commit_id}: nothing was ever at {path}")
        return self._by_path[path]

    def _state(self, key: Key) -> ResourceState:
        named = self.newest[key]
        content = self._read_blob(named.blob)
        if content is None:
            raise NotUnderstood(f"{named.line.subject} has no blob")
        snapshot = read_snapshot(key, named.blob, content)
        parent = resource_rows.parent(key, snapshot, self.newest)
        return ResourceState(key, snapshot.name, parent, named.line.version_id)


@dataclass(frozen=True, slots=True)
class ReadResource:
    """A resource, read from its first and its newest commit, and the author of the first commit."""

    resource: PastResource
    author: CommitAuthor


def read_resources(history: History, read_blob: ReadBlob) -> dict[Key, ReadResource]:
    """Read every resource that was not deleted for good, in the order of their first commits.

    Leaves out a resource whose first or newest commit can't be read in full. Also leaves out a resource whose
    newest blob can't be read, which `checks/documents.py` reports for the version.
    """
    firsts: dict[Key, NamedVersion] = {}
    newest: dict[Key, NamedVersion] = {}
    for named in history.named.values():
        key = named.line.key
        if key in history.purged:
            continue
        if key not in firsts or named.line.number < firsts[key].line.number:
            firsts[key] = named
        if key not in newest or named.line.number > newest[key].line.number:
            newest[key] = named
    found = {
        key: _read_resource(key, first, newest[key], history.deleted_at, read_blob)
        for key, first in firsts.items()
    }
    return {key: each for key, each in found.items() if each is not None}


def _read_resource(
    key: Key,
    first: NamedVersion,
    newest: NamedVersion,
    deleted_at: Mapping[Key, datetime],
    read_blob: ReadBlob,
) -> ReadResource | None:
    made, changed = first.trailers, newest.trailers
    if made.author is None or made.time is None or changed.time is None or newest.blob_id is None:
        return None
    content = read_blob(newest.blob_id) if made.is_record and changed.is_record else None
    if content is None:
        return None
    try:
        snapshot = read_snapshot(key, newest.blob_id, content)
    except NotUnderstood:
        return None
    resource = PastResource(snapshot, made.author.user_id, made.time, changed.time, deleted_at.get(key))
    return ReadResource(resource, made.author)
