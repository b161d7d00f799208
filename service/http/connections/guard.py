"""Guard of one connection: the rules of the door, on top of a protocol class of uvicorn."""

import asyncio
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from service.domain.errors import AnnalsError, HeadTooLarge, RequestLineTooLong, TooSlow
from service.http.connections.heads import fault_of
from service.http.connections.patience import SlowReader, has_left
from service.http.connections.places import Address, Places
from service.http.connections.upload import Upload
from service.runtime.metrics import CONNECTIONS_ENDED

# Keys in `scope["extensions"]`; other servers set none.
# A Future that is done once the connection is lost, so that nobody works for a client that has gone.
DISCONNECTED = "annals.disconnected"
# The error with which the middleware answers a request whose head could not be read.
REFUSED = "annals.refused"
# Method of such a request in the log: whatever the client sent, it was not understood.
UNREAD_METHOD = "UNREAD"


class Guard(asyncio.Protocol, ABC):
    """Mixin that stands before a protocol class of uvicorn, which calls it where a head or a body ends."""

    places: Places

    # Attributes of the protocol class.
    app: Any
    app_state: dict[str, Any]
    client: tuple[str, int] | None
    cycle: Any
    flow: FlowControl
    loop: asyncio.AbstractEventLoop
    root_path: str
    scheme: Literal["http", "https"] | None
    server: tuple[str, int | None] | None
    tasks: set[asyncio.Task[None]]
    timeout_keep_alive: int
    timeout_keep_alive_task: asyncio.TimerHandle | None
    timeout_keep_alive_handler: Callable[[], None]
    transport: asyncio.Transport
    _unset_keepalive_if_required: Callable[[], None]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)  # type: ignore[call-arg]
        self.limits = self.places.limits
        self._application: ASGIApp = self.app
        self.app = self._run
        self._disconnected: asyncio.Future[None] = self.loop.create_future()
        self._address: Address
        self._socket: socket.socket
        self.is_in_head = True
        # Bytes of the present head. Those that came in one read with the end of the message before are not
        # counted.
        self.head_bytes = 0
        self._head_has_begun = self._head_has_line = False
        # When the client has to have sent what is due, by the clock of `places`; None while nothing is.
        self._deadline: float | None = None
        self._upload: Upload | None = None
        self._reader: SlowReader | None = None
        self.refusal: AnnalsError | None = None
        # An answer is due for a head that is refused. A body that is refused may have its answer already.
        self._is_answer_due = True
        self._bytes_after_refusal = 0
        self._has_place = True

    # -- called by the transport ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place."""
        super().connection_made(transport)
        self._socket = transport.get_extra_info("socket")
        self._await_client(self.limits.head_seconds)
        self._address = self.places.take(self, self.client[0] if self.client else "", self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application at once, and free the place."""
        super().connection_lost(exc)
        self.places.leave(self, self._address)
        self._disconnected.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, but with no more of a head than is allowed."""
        if not self._has_place:
            self.evict()
            return
        while data and self.refusal is None:
            if not self.is_in_head:
                self.feed_body(data)
                return
            self.begin_head()
            room = self.limits.head_bytes - self.head_bytes
            piece, data = data[:room], data[room:]
            self.head_bytes += len(piece)
            super().data_received(piece)
            if self.is_in_head:
                self.check_head(piece)
        if data:
            self._discard(data)

    def feed_body(self, data: bytes) -> None:
        """Feed the parser with a part of a body; the next head may follow in it."""
        super().data_received(data)

    def check_head(self, piece: bytes) -> None:
        """Refuse a head that is too large."""
        self._head_has_line = self._head_has_line or b"\n" in piece
        if self.refusal is None and self.head_bytes >= self.limits.head_bytes:
            kind = HeadTooLarge if self._head_has_line else RequestLineTooLong
            self.refuse(kind(f"The head of a request has at most {self.limits.head_bytes:,} bytes."))

    def _discard(self, data: bytes) -> None:
        self._bytes_after_refusal += len(data)
        if self._bytes_after_refusal > self.limits.farewell_bytes and not self._is_busy:
            self.transport.abort()

    # -- called by the protocol classes -----------------------------------------------------------------

    def begin_head(self) -> None:
        """Note the first byte of a head."""
        if not self._head_has_begun:
            self._head_has_begun = True
            if self._deadline is None and not self._is_busy:
                self._await_client(self.limits.head_seconds)

    def end_head(self) -> None:
        """Note the end of a head: a request is under way."""
        self.is_in_head = False
        self._deadline = None
        self._address.idle.pop(self, None)

    def end_message(self) -> None:
        """Note the end of a body, which may be empty: the next byte begins a head."""
        self.is_in_head = True
        self.head_bytes = 0
        self._head_has_begun = self._head_has_line = False
        self._deadline = None
        if not self._is_busy:
            # The answer came before the end of the body, which called off uvicorn's timer.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    @abstractmethod
    def refusal_of(self, error: BaseException | None) -> AnnalsError:
        """Refusal for an error of the parser."""

    def send_400_response(self, _: str) -> None:
        """Refuse what the parser can't read; uvicorn calls this while it handles the parser's error."""
        self.refuse(self.refusal_of(sys.exception()))

    def on_response_complete(self) -> None:
        """Wait for the client again: for the rest of its body, or for the next head."""
        self._upload = None
        super().on_response_complete()  # type: ignore[misc]
        if self._is_busy or self.transport.is_closing():
            return
        if self.refusal is not None:
            self._take_leave(self.refusal)
            return
        self._address.idle[self] = None
        if not self.is_in_head:
            self._await_client(self.limits.rest_seconds)
        elif self._head_has_begun:
            self._await_client(self.limits.head_seconds)

    # -- called by the clock ----------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """End the connection if its client has taken too long, or has gone unseen."""
        try:
            self._look(now)
        except OSError:
            # The socket is closed, and `connection_lost` comes in one of the loop's next turns.
            self._abort("gone")

    def _look(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._end_waiting()
            return
        if self._upload is not None and self._upload.is_late(now):
            self.refuse(
                TooSlow("The body came too slowly: less than 4 KiB a second, with 30 seconds to spare.")
            )
        if self.transport.get_write_buffer_size() == 0:
            self._reader = None
        elif self._reader is None:
            self._reader = SlowReader(self._socket, self.limits, now)
        elif not self._reader.goes_on(now):
            self._abort("slow_reader")
            return
        if self.flow.read_paused and has_left(self._socket):
            self._abort("gone")

    def await_end(self) -> None:
        """Wait for the end of the connection, whose place is needed."""
        self._has_place = False

    def evict(self) -> None:
        """End the connection, which has no place any more."""
        self._abort("no_place")

    def _end_waiting(self) -> None:
        self._deadline = None
        if self.refusal is not None:
            self.transport.abort()
        elif not self.is_in_head:
            self._abort("rest_of_body")
        elif self._head_has_begun:
            self.refuse(TooSlow(f"The head was not complete after {self.limits.head_seconds:g} seconds."))
        else:
            self._abort("no_head")

    def _abort(self, reason: str) -> None:
        CONNECTIONS_ENDED.labels(reason).inc()
        self.transport.abort()

    def _await_client(self, seconds: float) -> None:
        self._deadline = self.places.clock() + seconds

    # -- requests and refusals --------------------------------------------------------------------------

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _run(self, scope: Scope, receive: Receive, send: Send) -> Any:
        scope["extensions"] = {DISCONNECTED: self._disconnected}
        # uvicorn passes the method of its record of the request.
        cycle = receive.__self__  # type: ignore[attr-defined]
        fault = fault_of(scope["headers"], self.limits)
        if fault is not None:
            # One of uvicorn's classes closes the connection by the header, the other by the attribute.
            scope["headers"] = [*scope["headers"][: self.limits.headers], (b"connection", b"close")]
            cycle.keep_alive = False
            scope["extensions"][REFUSED] = fault
        if cycle.more_body:
            self._upload = Upload(cycle, self.limits, self.places.clock)
            if self.refusal is not None:
                self._upload.fail(self.refusal)
            receive = self._upload.receive
        return self._application(scope, receive, send)

    def refuse(self, error: AnnalsError) -> None:
        """Read no more; answer with the error, after the answers that are due, and end the connection."""
        self.refusal = error
        self._is_answer_due = self.cycle is None or not self.cycle.more_body
        if not self._is_busy:
            self._take_leave(error)
        elif self.cycle.more_body:
            # The request itself fails, once the application asks for the rest of its body.
            self.cycle.keep_alive = False
            if self._upload is not None:
                self._upload.fail(error)

    def _take_leave(self, error: AnnalsError) -> None:
        self._unset_keepalive_if_required()
        self._await_client(self.limits.farewell_seconds)
        if not self._is_answer_due:
            if not self.transport.is_closing():
                self.transport.write_eof()
            return
        task = self.loop.create_task(self._answer(error))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, error: AnnalsError) -> None:
        parts: list[bytes] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = HTTPStatus(message["status"])
                parts.append(b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()))
                parts.extend(b"%s: %s\r\n" % header for header in message["headers"])
                parts.append(b"connection: close\r\n\r\n")
            else:
                parts.append(message.get("body", b""))

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        await self._application(self._scope_of(error), receive, send)
        if not self.transport.is_closing():
            self.transport.write(b"".join(parts))
            # The client reads the end of the answer, and closes.
            self.transport.write_eof()

    def _scope_of(self, error: AnnalsError) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": UNREAD_METHOD,
            "scheme": self.scheme,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": self.root_path,
            "headers": [],
            "server": self.server,
            "client": self.client,
            "state": self.app_state.copy(),
            "extensions": {DISCONNECTED: self._disconnected, REFUSED: error},
        }
