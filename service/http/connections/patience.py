"""Patience with a client that should send or read: it runs out, and every byte of progress renews it."""

import socket
import struct

from service.http.connections.limits import Limits

# Members of `struct tcp_info` (linux/tcp.h): the state, and the bytes that the other side has acknowledged.
_TCP_INFO_BYTES = 256
_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120
# The other side has closed its half, or the connection was reset.
_CLOSED, _CLOSE_WAIT = 7, 8


class Patience:
    """Seconds that a client may still stand still; each byte gives a part of a second back."""

    __slots__ = ("_bytes_per_second", "_most", "seconds")

    def __init__(self, limits: Limits, bytes_per_second: float) -> None:
        self._most = limits.patience_seconds
        self._bytes_per_second = bytes_per_second
        self.seconds = self._most

    def spend(self, seconds: float, size: int) -> bool:
        """Count a time, and the bytes that moved in it; returns False once the patience has run out."""
        self.seconds = min(self._most, self.seconds - seconds + size / self._bytes_per_second)
        return self.seconds > 0


class SlowReader:
    """A client that has not read all of its answer.

    Its progress is what it acknowledged. The transport's buffer tells less: the kernel takes megabytes for a
    client that has stopped, and for minutes nothing more from one that reads slowly.
    """

    __slots__ = ("_acknowledged", "_patience", "_seen_at", "_socket")

    def __init__(self, of: socket.socket, limits: Limits, now: float) -> None:
        self._socket = of
        self._patience = Patience(limits, limits.bytes_per_second)
        self._acknowledged = acknowledged(of)
        self._seen_at = now

    def goes_on(self, now: float) -> bool:
        """Tell if the client reads on, at some pace."""
        before, self._acknowledged = self._acknowledged, acknowledged(self._socket)
        seconds, self._seen_at = now - self._seen_at, now
        return self._patience.spend(seconds, self._acknowledged - before)


def acknowledged(of: socket.socket) -> int:
    """Bytes that the other side has acknowledged so far."""
    info = of.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    count: int = _BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0]
    return count


def has_left(of: socket.socket) -> bool:
    """Tell if the other side has closed the connection, which shows by itself only where it is read."""
    state = of.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in (_CLOSED, _CLOSE_WAIT)
