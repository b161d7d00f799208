"""Build commits, trees and tags in batches, each of which becomes one pack."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, ObjectType

from gitstore import commit_messages
from gitstore.errors import ObjectMissing, translated
from gitstore.identity import Branch, Identity
from gitstore.objects import find_commit
from gitstore.pack_folder import last_replaced
from gitstore.read.blob_reader import Blob, LargeBlob, find_blob
from gitstore.snapshots import blob_id
from gitstore.store import close_repository, open_repository
from gitstore.write import trees
from gitstore.write.pack_writer import Kind, PackObject, write_pack
from gitstore.write.scratch_odb import Scratch

# This holds all trees of 200,000 resources.
_CACHE_BYTES = 16 * 2**20
# The longest chain of deltas of a tree: each is undone whenever the tree is read.
_LONGEST_CHAIN = 32
# Up to this number of changed entries, splices are quicker than writing the tree anew.
_MOST_SPLICES = 4

_NAME = r"([A-Za-z0-9_-][A-Za-z0-9._-]*)"
_PATH = re.compile(f"{_NAME}/{_NAME}/{_NAME}")

_KIND: dict[int, Kind] = {
    ObjectType.COMMIT: "commit",
    ObjectType.TREE: "tree",
    ObjectType.BLOB: "blob",
    ObjectType.TAG: "tag",
}


@dataclass(frozen=True)
class Commit:
    """A commit that was built; ids are 40 hex digits, and `blob_ids` are the blobs that it wrote, by path."""

    commit_id: str
    tree_id: str
    blob_ids: dict[str, str]


# The entry to put at a path of the tree: a blob's id, or None to remove it.
_Changes = dict[str, dict[str, dict[str, pygit2.Oid | None]]]


@dataclass(slots=True)
class _Tip:
    """The tip of a branch in the batch: its last commit, and the tree of that commit."""

    head: pygit2.Oid | None = None
    tree: pygit2.Oid | None = None
    time: datetime | None = None


class CommitBuilder:
    """Builds batches of commits for one repository, in memory until `write`.

    Not thread-safe: libgit2's repositories are not. `read_large` reads large blobs. Raises RepositoryMissing.
    """

    def __init__(
        self,
        path: Path,
        *,
        cache_bytes: int = _CACHE_BYTES,
        read_large: Callable[[LargeBlob], bytes] = LargeBlob.read,
    ) -> None:
        self._path = path
        self._read_large = read_large
        self._objects_dir = path / "objects"
        self._replaced = last_replaced(path)
        self._real = open_repository(path)
        self._odb = self._real.odb
        self._scratch = Scratch(self._odb, cache_bytes)
        odb = pygit2.Odb()
        odb.add_backend(self._scratch, 1)
        self._repository = pygit2.Repository()
        self._repository.set_odb(odb)
        self._tips: dict[Branch, _Tip] = {}
        self._bases: dict[bytes, bytes] = {}
        self._depths: dict[bytes, int] = {}

    def begin(self, head: str | None, *, published: str | None = None) -> None:
        """Start a batch on top of a commit of each branch, or of nothing; an unwritten batch is forgotten.

        Raises ObjectMissing if there is no such commit.
        """
        self.discard()
        self._forget_replaced_packs()
        self._tips = {"main": self._tip(head), "published": self._tip(published)}

    @property
    def head_time(self) -> datetime | None:
        """Time of the last commit of `main`, to the microsecond; None if there is none."""
        return self._tips["main"].time

    def commit(
        self,
        *,
        branch: Branch = "main",
        writes: Mapping[str, bytes],
        places: Mapping[str, str] | None = None,
        removes: Collection[str] = (),
        message: str,
        actor: Identity,
        time: datetime,
    ) -> Commit:
        """Build one commit on top of the branch's previous one; paths are `collection/fan-out/file`.

        `writes` are contents, `places` the ids of blobs that the repository or the batch has already. Without
        writes, places and removes the commit is empty. Author and committer are the actor, in UTC, to the
        second. Raises ValueError for a path of another form, a naive time, and a path to remove that is not
        in the tree.
        """
        signature = _signature(actor, time)
        tip = self._tips.setdefault(branch, _Tip())
        changes: _Changes = {}
        for path in removes:
            collection, fan_out, file = _parts(path)
            changes.setdefault(collection, {}).setdefault(fan_out, {})[file] = None
        blob_ids = {}
        for path, data in writes.items():
            collection, fan_out, file = _parts(path)
            blob_ids[path] = blob_id(data)
            oid = pygit2.Oid(hex=blob_ids[path])
            self._scratch.write_cb(oid, data, ObjectType.BLOB)
            changes.setdefault(collection, {}).setdefault(fan_out, {})[file] = oid
        for path, blob in (places or {}).items():
            collection, fan_out, file = _parts(path)
            blob_ids[path] = blob
            changes.setdefault(collection, {}).setdefault(fan_out, {})[file] = pygit2.Oid(hex=blob)
        parents: list[str | pygit2.Oid] = [] if tip.head is None else [tip.head]
        with translated():
            tree = self._rooted(tip.tree, changes) if changes or tip.tree is None else tip.tree
            head = self._repository.create_commit(None, signature, signature, message, tree, parents)
        tip.head, tip.tree = head, tree
        return Commit(str(head), str(tree), blob_ids)

    def tag(self, *, name: str, target: str, message: str, actor: Identity, time: datetime) -> str:
        """Build an annotated tag of a commit, and return its id; `name` is its name under `refs/tags/`."""
        tagger = _signature(actor, time)
        header = (
            f"object {pygit2.Oid(hex=target)}\ntype commit\ntag {name}\n"
            f"tagger {tagger.name} <{tagger.email}> {tagger.time} +0000\n\n"
        )
        with translated():
            return str(self._repository.write(ObjectType.TAG, (header + message).encode()))

    @property
    def unwritten_bytes(self) -> int:
        """The bytes of the batch's objects, uncompressed: its pack will hardly be larger."""
        return sum(len(data) for _, data in self._scratch.written.values())

    def write(self) -> int:
        """Make the batch durable as one pack, and return its bytes; the caller moves the refs.

        The pack has every object of the batch, even one that the repository may have already: only objects
        that `head` reaches are certain to outlive upkeep. Libgit2 finds the pack when it first misses an
        object. After an error the batch is unchanged: write it again or discard it. Raises StoreUnavailable
        and RepositoryMissing.
        """
        written = self._scratch.written
        objects = [
            PackObject(_KIND[kind], oid, data, self._bases.get(oid)) for oid, (kind, data) in written.items()
        ]
        pack = write_pack(self._objects_dir, objects)
        self._scratch.settle()
        return 0 if pack is None else pack.bytes

    def discard(self) -> None:
        """Forget the batch."""
        self._scratch.written = {}
        self._bases = {}
        self._depths = {}
        self._tips = {}

    def find_blob(self, blob_id: str) -> Blob:
        """Find a blob of the batch or the repository; it is read unless it is large. Raises ObjectMissing."""
        written = self._scratch.written.get(pygit2.Oid(hex=blob_id).raw)
        return find_blob(self._odb, self._path, blob_id) if written is None else written[1]

    def read_blob(self, blob_id: str) -> bytes:
        """Read a blob of the batch or the repository, whichever process wrote it; raises ObjectMissing."""
        found = self.find_blob(blob_id)
        return found if isinstance(found, bytes) else self._read_large(found)

    def parent(self, commit_id: str) -> str | None:
        """Find the parent of a commit of the batch or the repository; raises ObjectMissing."""
        with translated():
            parents = find_commit(self._repository, commit_id).parent_ids
        return str(parents[0]) if parents else None

    def blobs(self, commit_id: str | None, paths: Iterable[str]) -> dict[str, str | None]:
        """Find the ids of the blobs at some paths of a commit's tree, None for a path without a blob.

        Raises ObjectMissing.
        """
        root = self._tip(commit_id).tree
        # Each tree is read once, however many of its files are asked for.
        folders: dict[str, pygit2.Oid | None] = {}
        files: dict[tuple[str, str], dict[str, bytes]] = {}
        found = {}
        for path in paths:
            collection, fan_out, file = _parts(path)
            if collection not in folders:
                folders[collection] = self._entry(root, collection)
            if (collection, fan_out) not in files:
                tree = self._entry(folders[collection], fan_out)
                files[collection, fan_out] = (
                    {} if tree is None else trees.entries(self._read_tree(tree), FileMode.BLOB)
                )
            blob = files[collection, fan_out].get(file)
            found[path] = None if blob is None else blob.hex()
        return found

    def close(self) -> None:
        """Release files and memory; the builder can't be used afterwards."""
        self.discard()
        self._repository.free()
        # Libgit2 closes a database's files only when the last reference to it is dropped.
        del self._scratch, self._odb
        close_repository(self._real)

    def _forget_replaced_packs(self) -> None:
        replaced = last_replaced(self._path)
        if replaced != self._replaced:
            former, self._real = self._real, open_repository(self._path)
            self._odb = self._real.odb
            self._scratch.read_from(self._odb)
            close_repository(former)
            self._replaced = replaced

    def _tip(self, head: str | None) -> _Tip:
        if head is None:
            return _Tip()
        commit = find_commit(self._repository, head)
        return _Tip(
            commit.id, commit.tree_id, commit_messages.time_of(commit.raw_message.decode("utf-8", "replace"))
        )

    def _rooted(self, root: pygit2.Oid | None, changes: _Changes) -> pygit2.Oid:
        subtrees = {}
        for collection, fan_outs in changes.items():
            before = self._entry(root, collection)
            files = {
                fan_out: self._edited(self._entry(before, fan_out), entries, FileMode.BLOB)
                for fan_out, entries in fan_outs.items()
            }
            subtrees[collection] = self._edited(before, files, FileMode.TREE)
        # An empty root is a tree, too: that of a subscription whose last resource was deleted.
        return self._edited(root, subtrees, FileMode.TREE) or self._repository.TreeBuilder().write()

    def _entry(self, tree: pygit2.Oid | None, name: str) -> pygit2.Oid | None:
        """Find the subtree of that name."""
        found = None if tree is None else trees.entry(self._read_tree(tree), name, FileMode.TREE)
        return None if found is None else pygit2.Oid(raw=found)

    def _read_tree(self, tree: pygit2.Oid) -> bytes:
        with translated():
            kind, data = self._scratch.read_cb(tree)
        if kind != ObjectType.TREE:
            raise ObjectMissing(f"{tree} is no tree")
        return data

    def _edited(
        self, tree: pygit2.Oid | None, entries: Mapping[str, pygit2.Oid | None], mode: FileMode
    ) -> pygit2.Oid | None:
        """Write the tree with these entries set, or removed if None; returns None if no entry is left."""
        made = None
        if tree is not None and len(entries) <= _MOST_SPLICES:
            made = self._spliced(self._read_tree(tree), entries, mode)
        if made is None:
            made = self._built(tree, entries, mode)
        if made is not None:
            self._note_base(made, tree)
        return made

    def _spliced(
        self, data: bytes, entries: Mapping[str, pygit2.Oid | None], mode: FileMode
    ) -> pygit2.Oid | None:
        """Write the tree with other objects in existing entries; returns None if an entry does not exist."""
        for name, oid in entries.items():
            edited = None if oid is None else trees.replaced(data, name, mode, oid.raw)
            if edited is None:
                return None
            data = edited
        made = pygit2.Oid(raw=trees.tree_id(data))
        self._scratch.write_cb(made, data, ObjectType.TREE)
        return made

    def _built(
        self, tree: pygit2.Oid | None, entries: Mapping[str, pygit2.Oid | None], mode: FileMode
    ) -> pygit2.Oid | None:
        builder = self._repository.TreeBuilder() if tree is None else self._repository.TreeBuilder(tree)
        for name, oid in entries.items():
            if oid is not None:
                builder.insert(name, oid, mode)
            elif builder.get(name) is None:
                raise ValueError(f"{name} is not in the tree")
            else:
                builder.remove(name)
        if not len(builder):
            return None
        return builder.write()

    def _note_base(self, made: pygit2.Oid, tree: pygit2.Oid | None) -> None:
        """Have a tree stored as a delta of the tree that it was made from, if the batch has both."""
        if tree is None or tree.raw not in self._scratch.written or made.raw in self._depths:
            return
        depth = self._depths.get(tree.raw, 0) + 1
        if made.raw != tree.raw and depth <= _LONGEST_CHAIN:
            self._bases[made.raw], self._depths[made.raw] = tree.raw, depth


def _parts(path: str) -> tuple[str, str, str]:
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError(f"not a path of three plain names: {path!r}")
    return match[1], match[2], match[3]


def _signature(actor: Identity, time: datetime) -> pygit2.Signature:
    """Make the signature of an actor; its name is the id if libgit2 would refuse or change the name."""
    if time.tzinfo is None:
        raise ValueError("a commit's time needs a zone")
    seconds = int(time.timestamp())
    email = f"{actor.user_id}@annals.invalid"
    if actor.username.isprintable():
        try:
            signature = pygit2.Signature(actor.username, email, seconds, 0, "utf-8")
        except (pygit2.GitError, ValueError):
            signature = None
        if signature is not None and signature.name == actor.username:
            return signature
    return pygit2.Signature(actor.user_id, email, seconds, 0, "utf-8")
