"""Exchange: one HTTP request and its answer, observed in passing, without delay and without copies."""

import traceback
from copy import copy
from datetime import datetime
from typing import Self

from starlette.types import Message, Receive, Scope, Send

from service.audit.server_requests import MAX_BODY_BYTES
from service.domain.callers import Caller, Origin
from service.domain.errors import AnnalsError
from service.domain.ids import SubscriptionId
from service.http.requests import is_of_pages

# nginx's status for a client that did not wait for the answer.
CLIENT_GONE = 499
# The route of a path that no route has.
UNMATCHED = "unmatched"
# Memory that a row takes beside its texts.
_OVERHEAD_BYTES = 2048
_JSON = ("application/json", "application/merge-patch+json", "application/problem+json")


class CapturedBody:
    """Body that passes through: its size, and its parts if it is JSON of at most MAX_BODY_BYTES."""

    __slots__ = ("is_json", "parts", "size")

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self.size = 0
        self.parts: list[bytes] | None = [] if is_json else None

    def take(self, part: bytes) -> None:
        """Add one part."""
        self.size += len(part)
        if self.parts is not None:
            if self.size <= MAX_BODY_BYTES:
                self.parts.append(part)
            else:
                self.parts = None

    def drop(self) -> None:
        """Drop the parts, and keep the size alone."""
        self.is_json = False
        self.parts = None

    @property
    def weight(self) -> int:
        """Bytes that are held in memory."""
        return 0 if self.parts is None else self.size


class Exchange:
    """Observe a request; `receive` and `send` take the place of the server's own.

    `status` is None until an answer begins, and CLIENT_GONE if the client did not wait for the answer's end.
    After `end` the exchange holds only values for the log, and nothing of the request's scope. `weight` is
    the approximate size of these values in bytes.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, began_at: datetime) -> None:
        self.began_at = began_at
        self.query: bytes = scope["query_string"]
        self.status: int | None = None
        self.seconds = 0.0
        self.origin: Origin | None = None
        self.caller: Caller | None = None
        self.subscription_id: SubscriptionId | None = None
        self.referer: str | None = None
        self.error: str | None = None
        # The problem's code, and the path of the route.
        self.code: str | None = None
        self.route = UNMATCHED
        self.occurrences = 1
        self.traceback: str | None = None
        self.weight = 0
        # Forms have keys and passwords in them, whatever type they claim to be of.
        self._bodies_may_be_kept = not scope["path"].startswith("/git/") and not is_of_pages(scope["path"])
        self.request_body = CapturedBody(is_json=self._bodies_may_be_kept and _is_json(scope["headers"]))
        self.response_body = CapturedBody(is_json=False)
        self._receive, self._send = receive, send
        self._is_complete = False

    async def receive(self) -> Message:
        """Return the server's next message."""
        message = await self._receive()
        if message["type"] == "http.request":
            self.request_body.take(message.get("body", b""))
        elif not self._is_complete:
            # The client has gone before the end of the answer; a streamed answer listens for this, and ends.
            self.status = CLIENT_GONE
        return message

    async def send(self, message: Message) -> None:
        """Send a message to the client."""
        if message["type"] == "http.response.start":
            if self.status is None:
                self.status = message["status"]
            self.response_body.is_json = self._bodies_may_be_kept and _is_json(message["headers"])
        elif message["type"] == "http.response.body":
            self._note(message.get("body", b""), more=message.get("more_body", False))
        await self._send(message)

    def _note(self, part: bytes, *, more: bool) -> None:
        body = self.response_body
        # A streamed answer is never assembled: only an answer in one part is kept.
        body.parts = [] if body.is_json and body.size == 0 and not more else None
        body.take(part)
        self._is_complete = not more

    def failed(self, error: BaseException) -> None:
        """Note an unexpected error."""
        self.error = "internal: the server failed while it answered"
        self.traceback = "".join(traceback.format_exception(error))

    def end(
        self,
        origin: Origin,
        caller: Caller | None,
        subscription_id: SubscriptionId | None,
        problem: AnnalsError | None,
        *,
        referer: str | None,
        route: str,
        keeps_bodies: bool,
    ) -> None:
        """Note the values that are known only at the end of a request."""
        self.origin, self.caller, self.subscription_id = origin, caller, subscription_id
        self.referer, self.route = referer, route
        if problem is not None:
            self.code = problem.code
            self.error = f"{problem.code}: {problem.detail}"
        if not keeps_bodies:
            self.request_body.drop()
            self.response_body.drop()
        texts = (self.query, origin.endpoint, origin.user_agent, referer, self.error, self.traceback)
        held = sum(len(text) for text in texts if text is not None)
        self.weight = _OVERHEAD_BYTES + held + self.request_body.weight + self.response_body.weight
        del self._receive, self._send

    def repeated(self, occurrences: int, at: datetime) -> Self:
        """Make the exchange that stands for the repeats of one that has ended."""
        found = copy(self)
        found.occurrences, found.began_at = occurrences, at
        return found

    def in_brief(self) -> Self:
        """Make a copy without the texts of the request, to be kept for a while."""
        found = copy(self)
        found.query, found.referer, found.traceback = b"", None, None
        found.request_body = found.response_body = CapturedBody(is_json=False)
        found.weight = _OVERHEAD_BYTES
        return found


def _is_json(headers: list[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name == b"content-type":
            return value.partition(b";")[0].strip().lower().decode("latin-1") in _JSON
    return False
