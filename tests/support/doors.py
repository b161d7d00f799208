"""Small applications behind the door: served by uvicorn with a protocol class of Annals."""

import select
import socket
import threading
import time
from contextlib import suppress

import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.domain.errors import AnnalsError
from service.http import problems
from service.http.connections.guard import DISCONNECTED, REFUSED, Guard
from service.http.connections.limits import Limits
from service.http.connections.protocols import with_limits
from service.http.connections.server import HttpServer

SECONDS = 20
TICK_SECONDS = 0.01


class Watch:
    """A monotonic clock that a test moves ahead."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def move(self, seconds: float) -> None:
        """Move ahead, after the server has noticed what was before, and let it notice this too."""
        self.settle()
        self._ahead += seconds
        self.settle()

    def settle(self) -> None:
        """Give the server time to look at its connections."""
        time.sleep(5 * TICK_SECONDS)


class Client:
    """A socket of a client of HTTP."""

    def __init__(self, port: int, source: str = "127.0.0.1", buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self._read = b""

    def send(self, data: bytes) -> None:
        """Send, as far as the server takes it."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes]:
        """Read one answer: its status and its body."""
        while b"\r\n\r\n" not in self._read:
            self._read_on()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(fields[b"content-length"])
        while len(self._read) < size:
            self._read_on()
        body, self._read = self._read[:size], self._read[size:]
        return int(head.split()[1]), body

    def call(self, request: bytes) -> tuple[int, bytes]:
        """Send a request, and read its answer."""
        self.send(request)
        return self.answer()

    def read(self, size: int) -> None:
        """Read so many bytes of an answer."""
        while size > 0:
            part = self.socket.recv(size)
            assert part, "the connection ended"
            size -= len(part)

    def is_closed(self) -> bool:
        """Wait until the server closes the connection; returns False if it sends something instead."""
        try:
            return not self._read and not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def has_ended(self) -> bool:
        """Tell if the server has closed the connection by now."""
        readable, _, _ = select.select([self.socket], [], [], 0)
        return bool(readable) and self.is_closed()

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def _read_on(self) -> None:
        part = self.socket.recv(64 * 1024)
        assert part, f"the connection ended after {self._read[:200]!r}"
        self._read += part


class Door:
    """A small application that listens on a port of this machine.

    `watch` moves the times of its connections. It answers `/` with the size of the body, `/unread` with 401,
    `/endless` with bytes as long as the client is there, and `/never` not at all. `began`, `got` and `gone`
    count the requests, the parts of bodies, and the clients of which it was told that they have gone.
    """

    def __init__(self, kind: type[Guard], **limits: int) -> None:
        self.watch = Watch()
        self.begin()
        self._clients: list[Client] = []
        config = uvicorn.Config(
            self._answer,
            http=with_limits(kind, Limits(tick_seconds=TICK_SECONDS, **limits), self.watch),
            ws="none",
            interface="asgi3",
            lifespan="off",
            port=0,
            log_config=None,
            access_log=False,
        )
        self._server = HttpServer(config)
        self._listener = config.bind_socket()
        self._listener.listen()
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="door"
        )
        self._thread.start()
        self._port = self._listener.getsockname()[1]

    def call(self, sent: bytes = b"", *, source: str = "127.0.0.1", buffer: int | None = None) -> Client:
        """Connect from an address of this machine, and send; `buffer` is the client's, for answers."""
        made = Client(self._port, source, buffer)
        self._clients.append(made)
        made.send(sent)
        return made

    def begin(self) -> None:
        """Count from zero."""
        self.began, self.got, self.gone = (threading.Semaphore(0) for _ in range(3))

    def forget(self) -> None:
        """Close the connections of all clients."""
        for each in self._clients:
            each.close()
        self._clients.clear()

    def stop(self) -> None:
        """End the application, whoever is connected."""
        self._server.should_exit = True
        self._thread.join()

    def close(self) -> None:
        """Close the connections of all clients, and end the application."""
        self.forget()
        self.stop()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.began.release()
        gone, told = scope["extensions"][DISCONNECTED], self.gone
        gone.add_done_callback(lambda _: told.release())
        match scope["path"]:
            case "/unread":
                await Response(status_code=401)(scope, receive, send)
            case "/never":
                await gone
            case "/endless":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                while not gone.done():
                    await send({"type": "http.response.body", "body": b"a" * 100_000, "more_body": True})
            case _:
                answer = await self._counted(scope, receive)
                await answer(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive) -> Response:
        size, goes_on = 0, True
        try:
            if REFUSED in scope["extensions"]:
                raise scope["extensions"][REFUSED]
            while goes_on:
                message = await receive()
                self.got.release()
                size += len(message.get("body", b""))
                goes_on = message.get("more_body", False)
        except AnnalsError as error:
            return problems.answer(error, "an id")
        return Response(str(size))
