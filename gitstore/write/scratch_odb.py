"""An object database in memory on top of a repository's real one.

For a new object written through the real database, libgit2 scans the folder of packs to see whether it exists
already; here it costs a dictionary entry.
"""

from collections import OrderedDict
from collections.abc import Iterator

import pygit2
from pygit2.enums import ObjectType

from gitstore.objects import persistently

# An object's type, as libgit2 numbers them, and its content.
Stored = tuple[int, bytes]


class Scratch(pygit2.OdbBackend):
    """The objects that a batch wrote, and a bounded cache of the trees and commits that it read.

    Reads of other objects use `real`. The cache serves reads alone and never says that an object needs no
    writing: a tree in it may stem from a batch that was rolled back, and upkeep may have pruned it since.
    """

    def __init__(self, real: pygit2.Odb, cache_bytes: int) -> None:
        super().__init__()
        self.written: dict[bytes, Stored] = {}
        self._real = real
        self._cache: OrderedDict[bytes, Stored] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0

    def read_from(self, real: pygit2.Odb) -> None:
        """Use another opening of the same database for reads from now on."""
        self._real = real

    def settle(self) -> None:
        """Forget the written objects, except trees and commits, which the next batch will read."""
        for oid, stored in self.written.items():
            self._remember(oid, stored)
        self.written = {}

    def read_cb(self, oid: pygit2.Oid) -> Stored:
        stored = self.written.get(oid.raw)
        if stored is not None:
            return stored
        if oid.raw in self._cache:
            self._cache.move_to_end(oid.raw)
            return self._cache[oid.raw]
        stored = persistently(lambda: self._real.read(oid))
        self._remember(oid.raw, stored)
        return stored

    def read_header_cb(self, oid: pygit2.Oid) -> tuple[int, int]:
        kind, data = self.read_cb(oid)
        return kind, len(data)

    def read_prefix_cb(self, oid: pygit2.Oid) -> tuple[int, bytes, pygit2.Oid]:
        raise KeyError(oid)

    def write_cb(self, oid: pygit2.Oid, data: bytes, kind: int) -> None:
        self.written[oid.raw] = (kind, data)

    def exists_cb(self, oid: pygit2.Oid) -> bool:
        return oid.raw in self.written

    def exists_prefix_cb(self, oid: pygit2.Oid) -> pygit2.Oid:
        raise KeyError(oid)

    def refresh_cb(self) -> None:
        """Nothing to do: the real database refreshes itself when it misses an object."""

    def __iter__(self) -> Iterator[pygit2.Oid]:
        return (pygit2.Oid(raw=oid) for oid in self.written)

    def _remember(self, oid: bytes, stored: Stored) -> None:
        if stored[0] == ObjectType.BLOB or oid in self._cache:
            return
        self._cache[oid] = stored
        self._cached_bytes += len(stored[1])
        while self._cached_bytes > self._cache_bytes:
            _, (_, data) = self._cache.popitem(last=False)
            self._cached_bytes -= len(data)
