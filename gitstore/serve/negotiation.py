"""Read the request of a client of upload-pack, for the audit of clones and fetches."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Negotiation:
    """The number of objects that a client wants and has; `command` is None before protocol 2."""

    command: str | None
    wants: int
    haves: int
    done: bool


def wants(request: bytes) -> Negotiation:
    """Read a decompressed request of any protocol, for the audit; raises ValueError if it is malformed."""
    command = None
    # Sets, because a clone asks for the same commit once for each of its refs.
    named: dict[bytes, set[bytes]] = {b"want": set(), b"have": set()}
    done = False
    for line in _lines(request):
        word, _, rest = line.removesuffix(b"\n").partition(b" ")
        if word in named:
            if not re.match(rb"[0-9a-f]{40}(?![^ \0])", rest):
                raise ValueError("an object id is malformed")
            named[word].add(rest[:40])
        elif word.startswith(b"command="):
            command = word.removeprefix(b"command=").decode("ascii")
        elif word == b"done":
            done = True
    return Negotiation(command, len(named[b"want"]), len(named[b"have"]), done)


def _lines(request: bytes) -> Iterator[bytes]:
    """Yield the payloads of the pkt-lines, markers left out (gitprotocol-common(5))."""
    position = 0
    while position < len(request):
        digits = request[position : position + 4]
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):
            raise ValueError("a pkt-line has no length")
        length = int(digits, 16)
        # The markers: flush, delimiter and end of response.
        if length in (0, 1, 2):
            position += 4
            continue
        if length < 4 or position + length > len(request):
            raise ValueError("a pkt-line has a wrong length")
        yield request[position + 4 : position + length]
        position += length
