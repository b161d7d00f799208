"""Edit trees as the bytes that git stores.

Setting an entry to another object is a splice; libgit2 would parse the entries, sort and write them again,
which for the three trees of a commit took a third of the time that a save takes.
"""

import re
from hashlib import sha1

from pygit2.enums import FileMode

_ID_SIZE = 20
_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0([\s\S]{20})")
_ENTRIES = re.compile(rb"(?:[0-7]+ [^\0]+\0[\s\S]{20})*+")


def tree_id(tree: bytes) -> bytes:
    """Compute git's id of a tree, as 20 bytes."""
    return sha1(b"tree %d\0" % len(tree) + tree, usedforsecurity=False).digest()


def entry(tree: bytes, name: str, mode: FileMode) -> bytes | None:
    """Find the id, as 20 bytes, of the object of that name and mode, None if there is none."""
    at = _find(tree, name, mode)
    return None if at is None else tree[at : at + _ID_SIZE]


def entries(tree: bytes, mode: FileMode) -> dict[str, bytes]:
    """Return the ids, as 20 bytes, of all objects of a mode, by name."""
    expected = b"%o" % mode
    return {name.decode(): oid for found, name, oid in _ENTRY.findall(tree) if found == expected}


def replaced(tree: bytes, name: str, mode: FileMode, object_id: bytes) -> bytes | None:
    """Return the tree with another object of that name and mode, None if it has none so far."""
    at = _find(tree, name, mode)
    return None if at is None else tree[:at] + object_id + tree[at + _ID_SIZE :]


def _find(tree: bytes, name: str, mode: FileMode) -> int | None:
    """Find the offset of the object's id."""
    head = b"%o %b\0" % (mode, name.encode())
    start = tree.find(head)
    # The same bytes can be part of another object's id, so a match counts only where an entry begins.
    while start >= 0 and _ENTRIES.fullmatch(tree, 0, start) is None:
        start = tree.find(head, start + 1)
    return None if start < 0 else start + len(head)
