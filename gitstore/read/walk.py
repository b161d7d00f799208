"""Walking a repository from its refs: what each commit and tag records, held against what its tree holds.

Nothing is believed that the trees do not bear out: a commit has one parent at the most, names every path that
it changes or is a deletion, which takes paths away, or a restore, which adds some; and each version that it
names lies where it has to.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, ObjectType

from gitstore import commit_records
from gitstore.commit_messages import VersionLine, tag_ref
from gitstore.commit_records import Record
from gitstore.errors import NotUnderstood, ObjectMissing, translated
from gitstore.identity import Branch
from gitstore.objects import find_commit, read_blob
from gitstore.store import open_repository, snapshot_path

_MAIN, _PUBLISHED, _TAGS = "refs/heads/main", "refs/heads/published", "refs/tags/"


@dataclass(frozen=True, slots=True)
class Walked:
    """A commit; `blob_ids` has those of the versions, or publications, that it names, in their order.

    On `main`, `removed` are the paths that a deletion took away, and `returned` the blobs by path that came
    back by a restore as they were.
    """

    commit_id: str
    record: Record
    blob_ids: tuple[str, ...]
    removed: tuple[str, ...] = ()
    returned: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag of a resource; `record` is None for a light one, whose object is the commit itself."""

    collection: str
    resource_id: str
    tag: str
    object_id: str
    commit_id: str
    record: Record | None


@dataclass(frozen=True, slots=True)
class Stray:
    """A commit that no ref reaches and that goes on where a branch, or another stray, ends."""

    commit_id: str
    parent_id: str | None
    branch: Branch
    record: Record


@dataclass(frozen=True, slots=True)
class Tips:
    """Where the refs are: the branches, the tags by name under `refs/tags/`, and refs of anybody else."""

    main: str | None
    published: str | None
    tags: Mapping[str, str]
    foreign: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Changed:
    """What a commit changed: blobs by path, None where removed; `added` are paths that were not there."""

    blobs: Mapping[str, str | None]
    added: Collection[str]


class Walk:
    """One repository, open for one thread; `tips` is where its refs were when it was opened.

    Raises RepositoryMissing, and as every method does NotUnderstood, ObjectMissing, StoreUnavailable.
    """

    def __init__(self, path: Path) -> None:
        self._repository = open_repository(path)
        self._odb = self._repository.odb
        self.tips = self._tips()

    def close(self) -> None:
        """Let go of the repository's files."""
        self._repository.free()
        del self._odb

    def main(self) -> Iterator[Walked]:
        """The commits of `main`, oldest first."""
        for commit, record, changed in self._line(self.tips.main):
            if record.branch != "main":
                raise _not_understood(
                    commit, "it is on main and neither makes a version nor deletes or restores"
                )
            removed, returned = _fallen(commit, record, changed), _risen(commit, record, changed)
            explained = {*removed, *returned}
            blobs = {path: blob for path, blob in changed.blobs.items() if path not in explained}
            self._check_named(commit, blobs, record.versions)
            places = self._places(commit, blobs, record.versions)
            yield Walked(str(commit.id), record, places, removed, returned)

    def published(self) -> Iterator[Walked]:
        """The commits of `published`, oldest first."""
        for commit, record, changed in self._line(self.tips.published):
            _check_publication(commit, record)
            self._check_named(commit, changed.blobs, record.published + record.unpublished)
            for line in record.unpublished:
                if changed.blobs.get(_path(line), "") is not None:
                    raise _not_understood(commit, f"it does not take {_path(line)} away")
            yield Walked(str(commit.id), record, self._places(commit, changed.blobs, record.published))

    def tags(self) -> Iterator[Tagged]:
        """The tags of resources, by name."""
        for name, object_id in sorted(self.tips.tags.items()):
            collection, resource_id, tag = name.split("/")
            found = self._find(object_id)
            if isinstance(found, pygit2.Commit):
                yield Tagged(collection, resource_id, tag, object_id, object_id, None)
                continue
            if not isinstance(found, pygit2.Tag) or found.name != name:
                raise NotUnderstood(f"the tag {name} is neither a commit nor a tag object of that name")
            try:
                record = commit_records.read(found.message or "")
            except ValueError as error:
                raise NotUnderstood(f"the tag {name} can't be read: {error}") from error
            named = [tag_ref(line.collection, line.resource_id, tag) for line in record.versions]
            if named != [name]:
                raise NotUnderstood(f"the tag {name} does not name a version of its resource")
            yield Tagged(collection, resource_id, tag, object_id, str(found.target), record)

    def files(self, commit_id: str | None) -> dict[str, str]:
        """The blobs at a commit, by path; nothing at None."""
        found: dict[str, str] = {}
        if commit_id is not None:
            with translated():
                self._collect(find_commit(self._repository, commit_id).tree, "", found)
        return found

    def read_blob(self, blob_id: str) -> bytes:
        """The content of a blob, its hash verified."""
        return read_blob(self._odb, blob_id)

    def strays(self) -> list[Stray]:
        """Commits of Annals that go on where a branch ends and that no ref reaches, parents first.

        Either the process that wrote them was killed before it moved the refs, or their batch never came to
        be: git can't tell which.
        """
        reached = self._reached()
        loose: dict[str | None, list[pygit2.Commit]] = {}
        with translated():
            for oid in self._odb:
                if self._odb.read_header(oid)[0] != ObjectType.COMMIT or str(oid) in reached:
                    continue
                commit = find_commit(self._repository, str(oid))
                if len(commit.parent_ids) <= 1:
                    loose.setdefault(_parent(commit), []).append(commit)
        ends: list[tuple[str | None, Branch]] = [(self.tips.main, "main"), (self.tips.published, "published")]
        found: list[Stray] = []
        while ends:
            end, branch = ends.pop(0)
            for commit in loose.get(end, ()):
                try:
                    record = commit_records.read(_message(commit))
                except ValueError:
                    continue
                if record.branch == branch:
                    found.append(Stray(str(commit.id), end, branch, record))
                    ends.append((str(commit.id), branch))
        return found

    # -- refs ----------------------------------------------------------------------------------------

    def _tips(self) -> Tips:
        branches: dict[str, str] = {}
        tags: dict[str, str] = {}
        foreign = []
        with translated():
            for name in self._repository.listall_references():
                oid = self._repository.references[name].target
                if not isinstance(oid, pygit2.Oid):
                    raise NotUnderstood(f"the ref {name} names another one")
                target = str(oid)
                if name in (_MAIN, _PUBLISHED):
                    branches[name] = target
                elif name.startswith(_TAGS) and name.count("/") == 4:
                    tags[name.removeprefix(_TAGS)] = target
                else:
                    foreign.append(name)
        return Tips(branches.get(_MAIN), branches.get(_PUBLISHED), tags, tuple(sorted(foreign)))

    def _reached(self) -> set[str]:
        return {
            str(commit.id) for tip in (self.tips.main, self.tips.published) for commit in self._back_from(tip)
        }

    # -- commits -------------------------------------------------------------------------------------

    def _back_from(self, tip: str | None) -> Iterator[pygit2.Commit]:
        """A commit and what it stands on, newest first."""
        while tip is not None:
            commit = find_commit(self._repository, tip)
            if len(commit.parent_ids) > 1:
                raise _not_understood(commit, "it is a merge")
            yield commit
            tip = _parent(commit)

    def _line(self, tip: str | None) -> Iterator[tuple[pygit2.Commit, Record, _Changed]]:
        """The commits up to a tip, oldest first, and what each changed."""
        ids = [commit.id for commit in self._back_from(tip)]
        before: pygit2.Tree | None = None
        for oid in reversed(ids):
            commit = find_commit(self._repository, str(oid))
            try:
                record = commit_records.read(_message(commit))
            except ValueError as error:
                raise _not_understood(commit, str(error)) from error
            with translated():
                tree = commit.tree
                changed = self._changes(commit, before, tree)
            yield commit, record, changed
            before = tree

    def _changes(self, commit: pygit2.Commit, before: pygit2.Tree | None, after: pygit2.Tree) -> _Changed:
        diff = after.diff_to_tree(swap=True) if before is None else before.diff_to_tree(after)
        blobs: dict[str, str | None] = {}
        added = set()
        for delta in diff.deltas:
            if delta.status_char() == "D":
                blobs[delta.old_file.path] = None
            elif delta.new_file.mode != FileMode.BLOB:
                raise _not_understood(commit, f"{delta.new_file.path} is no plain file")
            else:
                blobs[delta.new_file.path] = str(delta.new_file.id)
                if delta.status_char() == "A":
                    added.add(delta.new_file.path)
        return _Changed(blobs, added)

    def _check_named(
        self, commit: pygit2.Commit, changed: Mapping[str, str | None], lines: tuple[VersionLine, ...]
    ) -> None:
        paths = [_path(line) for line in lines]
        if len(set(paths)) < len(paths):
            raise _not_understood(commit, "it names a resource twice")
        unnamed = sorted(changed.keys() - set(paths))
        if unnamed:
            raise _not_understood(commit, f"it changes {unnamed[0]} and does not say so")

    def _places(
        self, commit: pygit2.Commit, changed: Mapping[str, str | None], lines: tuple[VersionLine, ...]
    ) -> tuple[str, ...]:
        """The blobs of the versions that a commit names, each at its resource's path in the tree."""
        places = []
        for line in lines:
            path = _path(line)
            # The same content may be published twice in a row, as another version.
            blob = changed[path] if path in changed else self._entry(commit, path)
            if blob is None:
                raise _not_understood(commit, f"it names {line} and has no {path}")
            places.append(blob)
        return tuple(places)

    def _entry(self, commit: pygit2.Commit, path: str) -> str | None:
        with translated():
            tree = commit.tree
            return str(tree[path].id) if path in tree else None

    def _collect(self, tree: pygit2.Tree, folder: str, found: dict[str, str]) -> None:
        for entry in tree:
            if isinstance(entry, pygit2.Tree):
                self._collect(entry, f"{folder}{entry.name}/", found)
            else:
                found[f"{folder}{entry.name}"] = str(entry.id)

    def _find(self, object_id: str) -> object:
        with translated():
            found: object = self._repository.get(pygit2.Oid(hex=object_id))
        if found is None:
            raise ObjectMissing(object_id)
        return found


def _fallen(commit: pygit2.Commit, record: Record, changed: _Changed) -> tuple[str, ...]:
    """The paths that a deletion takes away: none where it is for good, since they were before it."""
    line = record.deletion
    if line is None:
        return ()
    if record.versions or record.restored is not None:
        raise _not_understood(commit, "it deletes, and not just that")
    if line.until is None and (changed.blobs or record.about is None):
        raise _not_understood(commit, "it deletes for good, and changes something or does not say of what")
    if line.until is not None and (not changed.blobs or any(changed.blobs.values())):
        raise _not_understood(commit, "it deletes, and does not just take paths away")
    return tuple(changed.blobs)


def _risen(commit: pygit2.Commit, record: Record, changed: _Changed) -> dict[str, str]:
    """What a restore brings back as it was, beside a resource that it may change."""
    if record.restored is None:
        return {}
    if len(record.versions) > 1 or not changed.blobs or changed.added != changed.blobs.keys():
        raise _not_understood(commit, "it restores, and does not just add paths, one changed at the most")
    named = {_path(line) for line in record.versions}
    return {path: blob for path, blob in changed.blobs.items() if blob is not None and path not in named}


def _check_publication(commit: pygit2.Commit, record: Record) -> None:
    """One publication, or its end; of many only the end by a deletion, or the return by a restore."""
    begun, ended = len(record.published), len(record.unpublished)
    match record.deletion is not None, record.restored is not None:
        case False, False:
            fits = begun + ended == 1
        case True, False:
            fits = ended > 0 and not begun
        case False, True:
            fits = begun > 0 and not ended
        case _:
            fits = False
    if record.versions or not fits:
        raise _not_understood(commit, "it is on published and is not one publication, deletion or restore")


def _path(line: VersionLine) -> str:
    return snapshot_path(line.collection, line.resource_id)


def _parent(commit: pygit2.Commit) -> str | None:
    return str(commit.parent_ids[0]) if commit.parent_ids else None


def _message(commit: pygit2.Commit) -> str:
    # UnicodeDecodeError is a ValueError: not what Annals wrote.
    return commit.raw_message.decode()


def _not_understood(commit: pygit2.Commit, why: str) -> NotUnderstood:
    return NotUnderstood(f"commit {commit.id}: {why}")
