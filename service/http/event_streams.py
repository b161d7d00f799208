"""Answers that send events as they come: server-sent events, for the readers of tails."""

import asyncio
import re
from asyncio import Future
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from service.domain.errors import AnnalsError, Unavailable
from service.domain.ids import SubscriptionId
from service.http.connections.guard import DISCONNECTED
from service.http.tails import Listener, Reading, Tails

MEDIA_TYPE: Final = "text/event-stream"
# The name of the header by which a browser says how far it has read.
REACHED: Final = "last-event-id"
# Name of the event that ends a tail for good; its data says why. A browser does not go on by itself.
OVER: Final = "over"
# A browser whose connection was lost comes back after this time.
_RETRY: Final = b"retry: 1000\n"
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
# A session that was looked at within this time is not looked at again.
_FRESH_SECONDS: Final = 0.5


def event(data: str, *, place: str | None = None, name: str | None = None) -> bytes:
    """Write an event. A carriage return ends a line of the stream, too, so that texts must not have one."""
    fields = [] if name is None else [f"event: {name}"]
    fields += [] if place is None else [f"id: {place}"]
    fields += [f"data: {line}" for line in _LINE_END.split(data)]
    return ("\n".join(fields) + "\n\n").encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class FollowedTail:
    """The subject of a tail: of which subscription, from which question on, and how it is read.

    `place` writes how far a question has come; `is_allowed` raises an error once the reader may not read on.
    """

    subscription_id: SubscriptionId
    asked: Hashable
    read: Reading
    place: Callable[[Hashable], str]
    is_allowed: Callable[[], Awaitable[object]]


class TailAnswer(Response):
    """Answer that sends what is new.

    `begin` is called once there is a place for the tail; refusals until then become problems. The answer
    itself holds none of the places of admission.
    """

    def __init__(
        self,
        request: Request,
        tails: Tails,
        begin: Callable[[], Awaitable[FollowedTail]],
        *,
        session: tuple[UUID | None, SubscriptionId],
        headers: Mapping[str, str],
    ) -> None:
        # Proxies of this kind would keep lines back until they have many.
        super().__init__(headers={**headers, "X-Accel-Buffering": "no"}, media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._request = request
        self._tails = tails
        self._begin = begin
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is new, until the reader has gone or the tail is over."""
        with self._tails.place(*self._session):
            followed = await self._begin()
            # The log tells when the answer began: its end says nothing of the server.
            self._request.state.is_live = True
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if self._request.state.method != "HEAD":
                gone: Future[None] | None = scope.get("extensions", {}).get(DISCONNECTED)
                with self._tails.listening(
                    followed.subscription_id, followed.asked, followed.read
                ) as listener:
                    await _Tail(self._tails, followed, listener, gone, send).run()
        await send({"type": "http.response.body", "body": b""})


class _Tail:
    """One tail while it runs."""

    def __init__(
        self,
        tails: Tails,
        followed: FollowedTail,
        listener: Listener,
        gone: Future[None] | None,
        send: Send,
    ) -> None:
        self._tails = tails
        self._followed = followed
        self._listener = listener
        self._gone = gone
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._seen_at = self._sent_at = self._loop.time()

    async def run(self) -> None:
        """Send until the end."""
        wake = self._listener.wake

        def leave(_: object) -> None:
            wake.set()

        if self._gone is not None:
            self._gone.add_done_callback(leave)
        try:
            await self._write(_RETRY + self._beat())
            until = self._loop.time() + self._tails.limits.longest
            while not self._has_ended():
                wake.clear()
                if not await self._goes_on(until):
                    return
                await self._wait(until)
        finally:
            if self._gone is not None:
                self._gone.remove_done_callback(leave)

    async def _goes_on(self, until: float) -> bool:
        limits, now = self._tails.limits, self._loop.time()
        has_news = not self._listener.is_waiting
        if now - self._seen_at >= (_FRESH_SECONDS if has_news else limits.check):
            if (reason := await self._refusal()) is not None:
                await self._write(event(reason, name=OVER))
                return False
            self._seen_at = now
        if has_news:
            await self._write(self._listener.take())
        if now >= until:
            await self._write(event("time", name=OVER))
            return False
        # The place of the listener is that of a piece, which may have come just now.
        if self._listener.is_waiting and self._loop.time() - self._sent_at >= limits.beat:
            await self._write(self._beat())
        return True

    async def _wait(self, until: float) -> None:
        limits = self._tails.limits
        due = min(until, self._seen_at + limits.check, self._sent_at + limits.beat)
        if self._has_ended():
            return
        try:
            async with asyncio.timeout_at(due):
                await self._listener.wake.wait()
        except TimeoutError:
            return

    async def _refusal(self) -> str | None:
        """Return why the reader may not read on, if so."""
        try:
            await self._followed.is_allowed()
        except Unavailable:
            # Nothing is read either while the database does not answer.
            return None
        except AnnalsError as error:
            return error.code
        return None

    def _beat(self) -> bytes:
        """Write how far the reader has come, which is no event: a browser notes it."""
        return f"id: {self._followed.place(self._listener.asked)}\n\n".encode()

    def _has_ended(self) -> bool:
        return self._tails.is_ending or (self._gone is not None and self._gone.done())

    async def _write(self, content: bytes) -> None:
        await self._send({"type": "http.response.body", "body": content, "more_body": True})
        self._sent_at = self._loop.time()
