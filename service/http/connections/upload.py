"""Body of a request on its way: the application's `receive`, which fails where the body does."""

from collections.abc import Callable
from typing import Any

from starlette.types import Message

from service.domain.errors import AnnalsError
from service.http.connections.limits import Limits
from service.http.connections.patience import Patience


class Upload:
    """Body that was not complete when its request began; `cycle` is uvicorn's record of the request.

    Only the time in which the application waits for bytes counts: while it does not ask for them, it is
    Annals that reads no more.
    """

    def __init__(self, cycle: Any, limits: Limits, clock: Callable[[], float]) -> None:
        self._cycle = cycle
        self._clock = clock
        self._patience = Patience(limits, limits.body_bytes_per_second)
        self._since: float | None = None
        self._failure: AnnalsError | None = None

    def fail(self, error: AnnalsError) -> None:
        """Make the application fail, as soon as it asks for more of the body."""
        self._failure = error
        self._cycle.message_event.set()

    def is_late(self, now: float) -> bool:
        """Tell if the client has sent too little, for an application that has not begun to answer."""
        if self._since is None or self._cycle.response_started or not self._cycle.more_body:
            return False
        return now - self._since > self._patience.seconds

    async def receive(self) -> Message:
        """Return the next part of the body; raises the error of a body that does not come whole."""
        self._since = since = self._clock()
        try:
            message: Message = await self._cycle.receive()
        finally:
            self._since = None
        if self._failure is not None and message.get("more_body"):
            raise self._failure
        self._patience.spend(self._clock() - since, len(message.get("body", b"")))
        return message
