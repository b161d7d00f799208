"""Messages between the processes of one server: a length, a pickle, and large byte strings behind it.

A byte string behind the pickle is sent and received without a copy, for which its thread would keep the
interpreter. Pickle is safe here: all ends are this program, started by one supervisor, and meet in a folder
that nobody else can enter (docs/decisions/0011-committer-process.md).
"""

import pickle
from collections.abc import Callable
from io import BufferedIOBase, BytesIO
from struct import Struct
from typing import Any

# Smaller byte strings stay in the pickle: to send them apart would take longer than to copy them.
_LEAST_APART = 16 * 1024
_LENGTH = Struct(">I")


class _Pickler(pickle.Pickler):
    """Puts sizes in the places of large byte strings, and collects these."""

    def __init__(self, stream: BytesIO) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self.apart: list[bytes] = []

    def persistent_id(self, value: Any) -> int | None:
        if type(value) is not bytes or len(value) < _LEAST_APART:
            return None
        self.apart.append(value)
        return len(value)


class _Unpickler(pickle.Unpickler):
    """Reads each large byte string, by its size, when its place in the pickle is reached."""

    def __init__(self, stream: BytesIO, read: Callable[[int], bytes]) -> None:
        super().__init__(stream)
        self._read = read

    def persistent_load(self, size: int) -> bytes:
        return self._read(size)


def message(value: Any) -> list[bytes]:
    """Make the message of a value, in pieces to be sent one after the other."""
    stream = BytesIO()
    stream.seek(_LENGTH.size)
    pickler = _Pickler(stream)
    pickler.dump(value)
    size = stream.tell() - _LENGTH.size
    stream.seek(0)
    stream.write(_LENGTH.pack(size))
    return [stream.getvalue(), *pickler.apart]


def receive(stream: BufferedIOBase) -> Any:
    """Receive the value of the next message; raises EOFError if the other end is closed before its end."""

    def exactly(size: int) -> bytes:
        # A buffered reader reads into the bytes that it returns, and other threads run meanwhile.
        found = stream.read(size)
        if len(found) < size:
            raise EOFError("the other end was closed")
        return found

    (size,) = _LENGTH.unpack(exactly(_LENGTH.size))
    return _Unpickler(BytesIO(exactly(size)), exactly).load()


def decoded(buffer: memoryview) -> tuple[Any, int]:
    """Decode the message at the beginning of a buffer; returns its value and length.

    Raises EOFError if the buffer ends before the message does.
    """
    if len(buffer) < _LENGTH.size or len(buffer) < _LENGTH.size + _LENGTH.unpack_from(buffer)[0]:
        raise EOFError("the message is cut")
    stream = BytesIO(buffer)
    return receive(stream), stream.tell()


def survives(error: Exception) -> bool:
    """Check that an error can be pickled and read again: one that cannot would break the connection."""
    try:
        pickle.loads(pickle.dumps(error, protocol=pickle.HIGHEST_PROTOCOL))  # noqa: S301 - written just now
    except Exception:  # noqa: BLE001 - a pickled object may raise anything
        return False
    return True
