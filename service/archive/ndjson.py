"""Rows as lines of JSON in one Zstandard stream."""

from collections.abc import Callable, Iterable, Iterator
from typing import IO, cast

import zstandard

from service.archive.errors import ArchiveDamaged

SUFFIX = "ndjson.zst"
_LEVEL = 3
# Of its own, so that the next rows come while these are compressed.
_COMPRESSION_THREADS = 1
_BLOCK_BYTES = 1024 * 1024


def encode(blocks: Iterable[bytes], write: Callable[[bytes], object]) -> None:
    """Write blocks of whole lines."""
    compressor = zstandard.ZstdCompressor(
        level=_LEVEL, threads=_COMPRESSION_THREADS, write_checksum=True
    ).compressobj()
    for block in blocks:
        write(compressor.compress(block))
    write(compressor.flush())


def decode(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks of whole lines; raises ArchiveDamaged.

    A file that is cut off just ends: whoever reads has to count.
    """
    left = b""
    with zstandard.ZstdDecompressor().stream_reader(cast("IO[bytes]", _Source(chunks))) as reader:
        while True:
            try:
                block = reader.read(_BLOCK_BYTES)
            except zstandard.ZstdError as error:
                raise ArchiveDamaged(str(error)) from None
            if not block:
                break
            end = block.rfind(b"\n") + 1
            if end:
                yield left + block[:end]
                left = block[end:]
            else:
                left += block
    if left:
        yield left


class _Source:
    """Chunks for a reader that asks for bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _size: int = -1) -> bytes:
        return next(self._chunks, b"")
