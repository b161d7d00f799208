"""Read a repository from its refs: its tags, the trees at its heads, and commits that no ref reaches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType

from gitstore import commit_records
from gitstore.commit_messages import tag_ref
from gitstore.commit_records import CommitRecord
from gitstore.errors import NotUnderstood, ObjectMissing, translated
from gitstore.identity import Branch
from gitstore.objects import find_commit, read_blob
from gitstore.store import open_repository

_MAIN, _PUBLISHED, _TAGS = "refs/heads/main", "refs/heads/published", "refs/tags/"


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag of a resource; `record` is None for a light tag, whose object is the commit itself."""

    collection: str
    resource_id: str
    tag: str
    object_id: str
    commit_id: str
    record: CommitRecord | None


@dataclass(frozen=True, slots=True)
class Stray:
    """A commit that no ref reaches and whose parent is the end of a branch, or another stray."""

    commit_id: str
    parent_id: str | None
    branch: Branch
    record: CommitRecord


@dataclass(frozen=True, slots=True)
class RefTips:
    """The commits of branches, and the tags by name under `refs/tags/`; `foreign` are other refs."""

    main: str | None
    published: str | None
    tags: Mapping[str, str]
    foreign: tuple[str, ...]


class RepositoryReader:
    """One repository, open for one thread; `tips` is where its refs were when it was opened.

    Raises RepositoryMissing. Opening and every method raise NotUnderstood, ObjectMissing and
    StoreUnavailable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._repository = open_repository(path)
        self._odb = self._repository.odb
        self.tips = self._read_tips()

    def close(self) -> None:
        """Close the repository's files."""
        self._repository.free()
        del self._odb

    def tags(self) -> Iterator[Tagged]:
        """Yield the tags of resources, by name."""
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
        """Return the blobs in a commit's tree by path, or an empty dictionary for no commit."""
        found: dict[str, str] = {}
        if commit_id is not None:
            with translated():
                self._collect(find_commit(self._repository, commit_id).tree, "", found)
        return found

    def read_blob(self, blob_id: str) -> bytes:
        """Return the content of a blob, and verify its hash."""
        return read_blob(self._odb, blob_id)

    def strays(self) -> list[Stray]:
        """Find the commits of Annals that follow the end of a branch and that no ref reaches, parents first.

        Either the process that wrote them was killed before it moved the refs, or their batch was never
        committed: git can't say which. Raises NotUnderstood where a branch has a merge.
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
                    # UnicodeDecodeError, which is a ValueError, counts as well: Annals writes UTF-8 alone.
                    record = commit_records.read(commit.raw_message.decode())
                except ValueError:
                    continue
                if record.branch == branch:
                    found.append(Stray(str(commit.id), end, branch, record))
                    ends.append((str(commit.id), branch))
        return found

    def _read_tips(self) -> RefTips:
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
        return RefTips(branches.get(_MAIN), branches.get(_PUBLISHED), tags, tuple(sorted(foreign)))

    def _reached(self) -> set[str]:
        found = set()
        for tip in (self.tips.main, self.tips.published):
            end = tip
            while end is not None:
                commit = find_commit(self._repository, end)
                if len(commit.parent_ids) > 1:
                    raise NotUnderstood(f"commit {commit.id}: it is a merge")
                found.add(end)
                end = _parent(commit)
        return found

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


def _parent(commit: pygit2.Commit) -> str | None:
    return str(commit.parent_ids[0]) if commit.parent_ids else None
