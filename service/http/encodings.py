"""Content-Encoding of bodies: gzip and zstd, decompressed piece by piece within a bound."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import zstandard
from fastapi import Request

from service.domain.errors import MalformedEncoding

IDENTITY: Final = "identity"
ENCODINGS: Final = (IDENTITY, "gzip", "zstd")

# zlib returns no more than this at once.
_MOST_AT_ONCE = 1024 * 1024
# libzstd returns all that its input holds: 128 KiB for each 4 bytes at the most, so 16 MiB for this piece.
_ZSTD_PIECE = 512
# What RFC 8878 asks of every decoder; a frame may demand gigabytes.
_ZSTD_WINDOW = 8 * 1024 * 1024
_GZIP = 31
# Each member takes a copy of the rest of its piece.
_GZIP_PIECE = 16 * 1024
# A file of blocks, as bgzip writes it, has a member for 64 KiB, and an empty one at its end. A body of 1 GB
# could have 50 million empty ones, which take minutes.
FREE_MEMBERS: Final = 10_000
BYTES_OF_MEMBER: Final = 512


def encoding_of(request: Request) -> str:
    """Encoding that a request names for its body, in lower case; it may be one that nobody knows."""
    return request.headers.get("content-encoding", IDENTITY).strip().lower()


def decompressed(parts: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Decompress a body, whose pieces hold 16 MiB at the most; several members or frames count as one.

    Raises MalformedEncoding for a body that is cut, is not in this encoding, or has very many small members.
    """
    if encoding == IDENTITY:
        yield from parts
        return
    unpack = _Gzip() if encoding == "gzip" else _Zstd()
    try:
        for part in parts:
            yield from unpack.add(part)
    except (zlib.error, zstandard.ZstdError) as error:
        raise MalformedEncoding(f"The body is not {encoding}: {error}.") from None
    if not unpack.is_complete:
        raise MalformedEncoding(f"The body is cut: its {encoding} data has no end.")


class _Members:
    """Members or frames, one after the other; `begin` makes the decompressor of one.

    To begin one takes as long as to read some lines, so each has to hold enough, on average.
    """

    def __init__(self, named: str, begin: Callable[[], Any]) -> None:
        self._named = named
        self._begin = begin
        self._member: Any = None
        self._begun = 0
        self._size = 0

    @property
    def is_complete(self) -> bool:
        """True at the end of a member."""
        return self._member is not None and bool(self._member.eof)

    def _present(self) -> Any:
        if self._member is None or self._member.eof:
            self._begun += 1
            if self._begun > FREE_MEMBERS + self._size // BYTES_OF_MEMBER:
                raise MalformedEncoding(
                    f"The body has more than {FREE_MEMBERS:,} {self._named}, and they hold less than "
                    f"{BYTES_OF_MEMBER} bytes each: compress more lines together."
                )
            self._member = self._begin()
        return self._member

    def _counted(self, found: bytes) -> bytes:
        self._size += len(found)
        return found


class _Gzip(_Members):
    def __init__(self) -> None:
        super().__init__("gzip members", lambda: zlib.decompressobj(_GZIP))

    def add(self, part: bytes) -> Iterator[bytes]:
        """Decompress a piece."""
        for at in range(0, len(part), _GZIP_PIECE):
            piece = part[at : at + _GZIP_PIECE]
            while piece:
                member = self._present()
                yield self._counted(member.decompress(piece, _MOST_AT_ONCE))
                piece = member.unused_data if member.eof else member.unconsumed_tail


class _Zstd(_Members):
    def __init__(self) -> None:
        of = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        super().__init__("zstd frames", lambda: of.decompressobj())

    def add(self, part: bytes) -> Iterator[bytes]:
        """Decompress a piece."""
        for at in range(0, len(part), _ZSTD_PIECE):
            piece = part[at : at + _ZSTD_PIECE]
            while piece:
                frame = self._present()
                yield self._counted(frame.decompress(piece))
                piece = frame.unused_data if frame.eof else b""
