"""Write one durable pack a batch: deltas of trees only, index version 2, by hand because that is faster.

The formats are those of gitformat-pack(5). docs/decisions/0024-pack-writer-with-deltas.md has the figures.
"""

import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha1
from pathlib import Path
from struct import pack
from typing import Literal, NamedTuple
from uuid import uuid4

from gitstore.durable import sync_folder, write_file
from gitstore.errors import RepositoryMissing, translated
from gitstore.failpoints import passing
from gitstore.write.deltas import delta

Kind = Literal["commit", "tree", "blob", "tag"]

_TYPE: dict[Kind, int] = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_OFFSET_DELTA = 6
# Trees are mostly hashes: compressing those of a commit took three times the time of its document, to save a
# fifth of them. On documents level 1 takes two thirds of the time of level 6, for a tenth more bytes. Upkeep
# deltifies both.
_LEVEL: dict[Kind, int] = {"commit": 1, "tree": 0, "blob": 1, "tag": 1}
_READ_ONLY = 0o444
_WRITTEN = {".pack": "pack-written", ".idx": "index-written"}
_NAMED = {".pack": "pack-named", ".idx": "index-named"}
# In the index, an offset from here on is a place in a second table of 64-bit offsets.
_LARGE_OFFSET = 1 << 31


class PackObject(NamedTuple):
    """An object to write; `oid` is its id as 20 bytes, `data` its content without git's header.

    `base` is an earlier object of the pack that differs little from it; then the object is stored as a delta
    of it.
    """

    kind: Kind
    oid: bytes
    data: bytes
    base: bytes | None = None


class WrittenPack(NamedTuple):
    """A pack that was written; `path` is that of its `.pack`, `bytes` the size of pack and index."""

    path: Path
    bytes: int


class IndexEntry(NamedTuple):
    """The place of an object in its pack; ordered by id, as the index is."""

    oid: bytes
    crc32: int
    offset: int


def write_pack(objects_dir: Path, objects: Sequence[PackObject]) -> WrittenPack | None:
    """Write the objects, each id once, as a pack that survives power loss; None if there are none.

    On an error nothing is left behind; a process killed in here leaves at
    most files named `tmp_*`, which git prunes, or a pack without index, which it ignores. Raises
    RepositoryMissing and StoreUnavailable.
    """
    if not objects:
        return None
    folder = objects_dir / "pack"
    if not folder.is_dir():
        raise RepositoryMissing(str(objects_dir.parent))
    chunks, entries = _encode(list({each.oid: each for each in objects}.values()))
    checksum = chunks[-1]
    index = encode_index(entries, checksum)
    final = {suffix: folder / f"pack-{checksum.hex()}{suffix}" for suffix in (".pack", ".idx")}
    with translated():
        passing("pack-begun")
        # The name is derived from the content: an existing pack of this name is the same, and was synced
        # before.
        if not all(path.exists() for path in final.values()):
            _publish(final, {".pack": chunks, ".idx": [index]})
        sync_folder(folder)
        passing("pack-durable")
    return WrittenPack(final[".pack"], sum(map(len, chunks)) + len(index))


def _publish(final: Mapping[str, Path], contents: Mapping[str, Sequence[bytes]]) -> None:
    with ExitStack() as undo:
        temporary = {}
        for suffix, path in final.items():
            temporary[suffix] = path.with_name(f"tmp_{uuid4().hex}{suffix}")
            undo.callback(temporary[suffix].unlink, missing_ok=True)
            write_file(temporary[suffix], contents[suffix], _READ_ONLY)
            passing(_WRITTEN[suffix])
        # Git sees a pack by its index, which is therefore written last.
        for suffix in (".pack", ".idx"):
            undo.callback(final[suffix].unlink, missing_ok=True)
            temporary[suffix].rename(final[suffix])
            passing(_NAMED[suffix])
        undo.pop_all()


def encode_index(entries: Sequence[IndexEntry], checksum: bytes) -> bytes:
    """Encode the index, version 2, of the pack that ends in `checksum`."""
    entries = sorted(entries)
    fan_out = [0] * 256
    for entry in entries:
        fan_out[entry.oid[0]] += 1
    for first_byte in range(1, 256):
        fan_out[first_byte] += fan_out[first_byte - 1]
    offsets: list[int] = []
    large: list[int] = []
    for entry in entries:
        if entry.offset < _LARGE_OFFSET:
            offsets.append(entry.offset)
        else:
            offsets.append(_LARGE_OFFSET | len(large))
            large.append(entry.offset)
    count = len(entries)
    body = b"".join(
        (
            pack(">4sI256I", b"\xfftOc", 2, *fan_out),
            *(entry.oid for entry in entries),
            pack(f">{count}I", *(entry.crc32 for entry in entries)),
            pack(f">{count}I", *offsets),
            pack(f">{len(large)}Q", *large),
            checksum,
        )
    )
    return body + sha1(body, usedforsecurity=False).digest()


def _encode(objects: Sequence[PackObject]) -> tuple[list[bytes], list[IndexEntry]]:
    """Encode the pack in pieces, the last of which is its checksum, and the place of each object in it."""
    header = pack(">4sII", b"PACK", 2, len(objects))
    digest = sha1(header, usedforsecurity=False)
    chunks = [header]
    entries = []
    offset = len(header)
    placed: dict[bytes, tuple[int, bytes]] = {}
    for each in objects:
        if each.base is not None and each.base in placed:
            chunk = _deltified(each, offset, *placed[each.base])
        else:
            chunk = _entry_header(_TYPE[each.kind], len(each.data))
            chunk += zlib.compress(each.data, _LEVEL[each.kind])
        if each.kind == "tree":
            placed[each.oid] = (offset, each.data)
        entries.append(IndexEntry(each.oid, zlib.crc32(chunk), offset))
        digest.update(chunk)
        chunks.append(chunk)
        offset += len(chunk)
    chunks.append(digest.digest())
    return chunks, entries


def _deltified(item: PackObject, offset: int, base_offset: int, base: bytes) -> bytes:
    instructions = delta(base, item.data)
    header = _entry_header(_OFFSET_DELTA, len(instructions)) + _distance(offset - base_offset)
    return header + zlib.compress(instructions, _LEVEL["tree"])


def _distance(number: int) -> bytes:
    """Encode how far back a delta's base is: seven bits a byte, highest first, each but the last less one."""
    encoded = [number & 0x7F]
    while number := number >> 7:
        number -= 1
        encoded.append(0x80 | number & 0x7F)
    return bytes(reversed(encoded))


def _entry_header(kind: int, size: int) -> bytes:
    """Encode type and size: four bits of the size, then seven a byte, lowest first."""
    byte = kind << 4 | size & 0b1111
    size >>= 4
    header = bytearray()
    while size:
        header.append(byte | 0b1000_0000)
        byte = size & 0b111_1111
        size >>= 7
    header.append(byte)
    return bytes(header)
