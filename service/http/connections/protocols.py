"""Protocol classes for uvicorn: its own, with the guard before them."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.domain.errors import AnnalsError, HeadTooLarge, MalformedRequest
from service.http.connections.guard import Guard
from service.http.connections.limits import Limits
from service.http.connections.places import Places


class H11Connection(Guard, H11Protocol):
    """Connection that the parser in Python reads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # It bounds trailers, and a head that comes while a request is under way.
        self.conn = h11.Connection(h11.SERVER, self.limits.head_bytes)

    def handle_events(self) -> None:
        """Take what the parser has read."""
        super().handle_events()
        if self.refusal is not None:
            return
        state = self.conn.their_state
        if self.is_in_head and state is not h11.IDLE:
            self.end_head()
        elif not self.is_in_head and state is h11.IDLE:
            self.end_message()
            if self.conn.trailing_data[0]:
                self.begin_head()

    def refusal_of(self, error: BaseException | None) -> AnnalsError:
        """Refusal for an error of the parser."""
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            return HeadTooLarge(f"A head or trailer has at most {self.limits.head_bytes:,} bytes.")
        # The parser's own text would quote the head, and with it keys.
        return MalformedRequest("The request is no HTTP, or has not exactly one Host.")


def protocol_class(limits: Limits, clock: Callable[[], float] = time.monotonic) -> type[Guard]:
    """Class that reads HTTP: by the quick parser where it is installed, as uvicorn itself chooses."""
    return with_limits(_chosen(), limits, clock)


def with_limits(kind: type[Guard], limits: Limits, clock: Callable[[], float]) -> type[Guard]:
    """Class whose connections share these limits, and the places of one process."""
    made: type[Guard] = type(kind.__name__, (kind,), {"places": Places(limits, clock)})
    return made


def _chosen() -> type[Guard]:
    if find_spec("httptools") is None:
        return H11Connection
    from service.http.connections.quick import HttpToolsConnection

    return HttpToolsConnection
