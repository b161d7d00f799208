"""The committer's server: takes changes from the API workers on a Unix socket, and sends the outcomes."""

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from io import BufferedIOBase
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from service.committer.batch import Outcome
    from service.committer.group_commit import GroupCommit

# Time for changes under way when the server stops: the workers first end their requests, in up to 10 s.
GRACE_SECONDS = 15
HEARTBEAT_SECONDS = 1.0
RECEIVE_BYTES = 256 * 1024
# A worker that does not read must not delay the outcomes of the others.
SEND_SECONDS = 5


class Connection:
    """A worker's connection: queues its changes in the group and sends their outcomes."""

    def __init__(self, connected: socket.socket, group: "GroupCommit") -> None:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        self._socket = connected
        self._group = group
        self._sending = threading.Lock()
        self._unsent = bytearray()
        self._is_behind = False
        self.is_open = True
        # Numbers of the changes that the worker waits for.
        self._wanted: set[int] = set()

    def serve(self) -> None:
        """Take changes until the worker disconnects."""
        from gitstore.failpoints import passing
        from service.domain.errors import Busy

        try:
            with cast("BufferedIOBase", self._socket.makefile("rb", RECEIVE_BYTES)) as stream:
                while (received := _received(stream)) is not None:
                    number, change = received
                    if change is None:
                        # Its caller has given up: it is not begun any more.
                        self._wanted.discard(number)
                        continue
                    passing("change-received")
                    self._wanted.add(number)
                    try:
                        self._group.put(change, self, number)
                    except Busy as refusal:
                        self.deliver([(number, refusal)])
        finally:
            self.is_open = False
            self._socket.close()

    def still_wants(self, number: int) -> bool:
        """True while the worker is connected and waits for the change."""
        return self.is_open and number in self._wanted

    def deliver(self, outcomes: Sequence[tuple[int, "Outcome"]]) -> None:
        """Send the outcomes of changes."""
        from service.committer.frames import portable

        self._wanted.difference_update(number for number, _ in outcomes)
        self.send([(n, portable(o) if isinstance(o, Exception) else o) for n, o in outcomes])

    def send(self, value: Any) -> None:
        """Send a value without waiting; a worker that does not read it within seconds is disconnected."""
        from service.committer.frames import encode

        frame = encode(value)
        with self._sending:
            self._unsent += frame
            if self._is_behind:
                return
            try:
                del self._unsent[: self._socket.send(self._unsent, socket.MSG_DONTWAIT)]
            except BlockingIOError:
                pass
            except OSError:
                self._cut_off()
                return
            self._is_behind = bool(self._unsent)
            if self._is_behind:
                threading.Thread(target=self._catch_up, name="catch-up", daemon=True).start()

    def _catch_up(self) -> None:
        """Send the bytes that the worker did not take at once, while others are served."""
        while True:
            with self._sending:
                unsent, self._unsent = self._unsent, bytearray()
                if not unsent:
                    self._is_behind = False
                    return
            try:
                self._socket.sendall(unsent)
            except OSError:
                self._cut_off()
                return

    def _cut_off(self) -> None:
        """Disconnect the worker: half a frame may have been sent. Its callers get OutcomeUnknown."""
        self.is_open = False
        self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _received(stream: BufferedIOBase) -> Any:
    """Receive the next numbered change; None once the worker has disconnected."""
    from service.runtime.pickles import receive

    try:
        return receive(stream)
    except (EOFError, OSError):
        return None


class Server:
    """Takes connections until it is stopped, then waits until the workers have closed theirs.

    `beat` is called each second, as long as changes are taken and outcomes sent.
    """

    def __init__(
        self, listener: socket.socket, group: "GroupCommit", *, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._listener = listener
        self._beat = beat
        self._group = group
        self._connections: list[Connection] = []
        self._changing = threading.Lock()
        self._stop = threading.Event()

    def run(self) -> None:
        """Serve until `stop` is called."""
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        # From here on the supervisor notices at once if this process hangs.
        self._beat()
        while not self._stop.wait(HEARTBEAT_SECONDS):
            self._beat()
            beat = self._group.beat()
            for connection in self._open():
                connection.send(beat)
        deadline = time.monotonic() + GRACE_SECONDS - 2
        while self._open() and time.monotonic() < deadline:
            time.sleep(HEARTBEAT_SECONDS / 20)
        self._group.stop()

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def _open(self) -> list[Connection]:
        """Drop closed connections, and return the open ones."""
        with self._changing:
            self._connections = [each for each in self._connections if each.is_open]
            return list(self._connections)

    def _accept(self) -> None:
        import structlog

        log = structlog.get_logger(__name__)
        while True:
            try:
                with ExitStack() as unless_taken:
                    connected = unless_taken.enter_context(self._listener.accept()[0])
                    if _is_ours(connected):
                        self._take(connected)
                        unless_taken.pop_all()
            except OSError:
                if self._stop.is_set():
                    return
                # No file handle was left, or the worker has closed already: keep accepting.
                log.exception("a worker could not connect")
                self._stop.wait(HEARTBEAT_SECONDS)

    def _take(self, connected: socket.socket) -> None:
        connection = Connection(connected, self._group)
        connection.send(self._group.beat())
        with self._changing:
            self._connections.append(connection)
        threading.Thread(target=connection.serve, name="worker", daemon=True).start()


def _is_ours(connected: socket.socket) -> bool:
    size = struct.calcsize("3i")
    _pid, uid, _gid = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(uid == os.geteuid())
