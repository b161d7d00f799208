"""A line to PostgreSQL that can be held: what is sent then arrives only once it is let go."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.engine import make_url

_PIECE_BYTES = 65536


class HeldLine:
    """Forwards connections to a server, each in two threads; holds bytes, never loses any.

    Its listener takes connections while it is held, like one of a process that is stopped.
    """

    def __init__(self, url: str, listener: socket.socket) -> None:
        target = make_url(url)
        assert target.host is not None
        assert target.port is not None
        self._target = (target.host, target.port)
        self._listener = listener
        self._open = threading.Event()
        self._open.set()
        self.url = target.set(host="127.0.0.1", port=listener.getsockname()[1]).render_as_string(
            hide_password=False
        )
        self._served: list[tuple[socket.socket, threading.Thread]] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def hold(self) -> None:
        """Forward nothing from now on."""
        self._open.clear()

    def let_go(self) -> None:
        """Forward what was held, and all that comes."""
        self._open.set()

    def close(self) -> None:
        """End all connections, and take no more."""
        self.let_go()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        for near, serving in self._served:
            with suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)
            serving.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                serving = threading.Thread(target=self._serve, args=(near,))
                self._served.append((near, serving))
                serving.start()

    def _serve(self, near: socket.socket) -> None:
        self._open.wait()
        with near, socket.create_connection(self._target) as far:
            back = threading.Thread(target=self._forward, args=(near, far))
            back.start()
            self._forward(far, near)
            back.join()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_PIECE_BYTES):
                self._open.wait()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def held_line(url: str) -> Iterator[HeldLine]:
    """Open a line to the server of a URL, which is let go at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = HeldLine(url, listener)
        try:
            yield line
        finally:
            line.close()
