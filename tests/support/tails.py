"""Readers of live tails: what comes by a stream of events, as it comes."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx

from tests.support import html

SECONDS = 20.0


@dataclass(frozen=True)
class Event:
    """An event of a stream; a field that it lacks is empty."""

    id: str = ""
    name: str = ""
    data: str = ""


@dataclass
class TailReader:
    """A tail that is open: its events so far, and whether it has ended."""

    response: httpx.Response
    events: list[Event] = field(default_factory=list)
    has_ended: bool = False
    error: Exception | None = None

    @property
    def words(self) -> list[str]:
        """Texts of the lines so far, in the order of commits."""
        found = []
        for event in self.events:
            if event.data and not event.name:
                items = html.parsed(f"<ol>{event.data}</ol>").all("li")
                found += [item.text for item in reversed(items)]
        return found

    @property
    def place(self) -> str:
        """The last place that the stream named."""
        return next(event.id for event in reversed(self.events) if event.id)

    def wait(self, check: Callable[["TailReader"], object], seconds: float = SECONDS) -> float:
        """Wait until a condition holds; returns the seconds that it took."""
        began = time.monotonic()
        while not check(self):
            assert time.monotonic() < began + seconds, (self.events[-3:], self.has_ended, self.error)
            time.sleep(0.01)
        return time.monotonic() - began

    def wait_for(self, text: str, seconds: float = SECONDS) -> float:
        """Wait for a line with a text."""
        return self.wait(lambda each: any(text in line for line in each.words), seconds)

    def wait_for_end(self, seconds: float = SECONDS) -> str:
        """Wait for the end of the stream; returns the reason that the last event tells, if any."""
        self.wait(lambda each: each.has_ended, seconds)
        last = self.events[-1]
        return last.data if last.name == "over" else ""

    def read(self) -> None:
        """Take events until the stream ends."""
        rest = b""
        try:
            for chunk in self.response.iter_raw():
                *whole, rest = (rest + chunk).split(b"\n\n")
                self.events += [_event(each.decode()) for each in whole]
        except (httpx.HTTPError, httpx.StreamError) as error:
            self.error = error
        self.has_ended = True


def _event(text: str) -> Event:
    fields: dict[str, list[str]] = {"id": [], "event": [], "data": []}
    for line in text.split("\n"):
        name, _, value = line.partition(": ")
        fields.setdefault(name, []).append(value)
    return Event(*("\n".join(fields[name]) for name in ("id", "event", "data")))


def tail_headers(place: str | None = None) -> dict[str, str]:
    """Headers of a script that opens a tail, from a place on."""
    given = {"accept": "text/html, text/event-stream", "hx-request": "true"}
    return given if place is None else {**given, "last-event-id": place}


@contextmanager
def tail(session: httpx.Client, path: str, place: str | None = None) -> Iterator[TailReader]:
    """Read a tail with the cookies of a session until the block ends."""
    with (
        httpx.Client(base_url=session.base_url, cookies=session.cookies, timeout=60) as client,
        client.stream("GET", path, headers=tail_headers(place)) as response,
    ):
        found = TailReader(response)
        if response.status_code != 200:
            response.read()
            yield found
            return
        assert response.headers["content-type"].startswith("text/event-stream"), response.headers
        thread = threading.Thread(target=found.read, daemon=True)
        thread.start()
        found.wait(lambda each: each.events or each.has_ended)
        try:
            yield found
        finally:
            # The thread waits for bytes: it ends with the connection.
            _shut(response)
            thread.join(10)


def _shut(response: httpx.Response) -> None:
    stream = response.extensions["network_stream"]
    with suppress(OSError):
        stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
