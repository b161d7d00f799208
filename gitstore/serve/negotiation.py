"""Read the request of a client of upload-pack, for the audit of clones and fetches."""

import re
from dataclasses import dataclass

# In each request a client names its wants, one for each ref, repeats the commits that both sides have, and
# adds at most 16,384 new ones. 8 MiB suffice for 150,000 refs.
MAX_REQUEST_BYTES = 8 * 1024 * 1024
# A want or have takes 50 bytes, so that 8 MiB hold 167,772 of them.
MAX_LINES = 170_000

_HEX_DIGITS = re.compile(rb"[0-9a-fA-F]{4}")
_OBJECT = re.compile(rb"[0-9a-f]{40}(?![^ \0])")


class NegotiationTooLong(ValueError):
    """A request has more lines than any client sends."""


@dataclass(frozen=True)
class Negotiation:
    """The number of objects that a client wants and has; `command` is None before protocol 2."""

    command: str | None
    wants: int
    haves: int
    done: bool

    @property
    def lists_refs(self) -> bool:
        """Tell if the client asks for refs, and so for no objects."""
        return self.command == "ls-refs"


class NegotiationReader:
    """Reads a decompressed request of any protocol piece by piece, and stops at the first fault."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines = 0
        self._command: str | None = None
        # Sets, because a clone asks for the same commit once for each of its refs.
        self._named: dict[bytes, set[bytes]] = {b"want": set(), b"have": set()}
        self._done = False

    def read(self, piece: bytes) -> None:
        """Read the next piece, in time that grows with its length.

        Raises ValueError if it is malformed, NegotiationTooLong past MAX_LINES.
        """
        request = self._rest + piece
        position = 0
        # The pkt-lines (gitprotocol-common(5)).
        while position + 4 <= len(request):
            digits = request[position : position + 4]
            if not _HEX_DIGITS.fullmatch(digits):
                raise ValueError("a pkt-line has no length")
            self._lines += 1
            if self._lines > MAX_LINES:
                raise NegotiationTooLong
            length = int(digits, 16)
            # The markers: flush, delimiter and end of response.
            if length in (0, 1, 2):
                position += 4
                continue
            # An empty line, whose length is 4, should not be sent: none of the known clients does.
            if length <= 4:
                raise ValueError("a pkt-line has a wrong length")
            if position + length > len(request):
                break
            self._read_line(request[position + 4 : position + length])
            position += length
        self._rest = request[position:]

    def result(self) -> Negotiation:
        """Return what was read; raises ValueError if the last line has no end."""
        if self._rest:
            raise ValueError("the last pkt-line has no end")
        named = self._named
        return Negotiation(self._command, len(named[b"want"]), len(named[b"have"]), self._done)

    def _read_line(self, line: bytes) -> None:
        word, _, rest = line.removesuffix(b"\n").partition(b" ")
        if word in self._named:
            if not _OBJECT.match(rest):
                raise ValueError("an object id is malformed")
            self._named[word].add(rest[:40])
        elif word.startswith(b"command="):
            self._command = word.removeprefix(b"command=").decode("ascii")
        elif word == b"done":
            self._done = True
