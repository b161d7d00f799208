"""Guard of one connection: the rules of the door, on top of a protocol class of uvicorn."""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

# Key in `scope["extensions"]` of a Future that is done once the connection is lost, so that nobody works for
# a client that has gone. Other servers set none.
DISCONNECTED = "annals.disconnected"


class Guard(asyncio.Protocol):
    """Mixin that stands before a protocol class of uvicorn."""

    # Attributes of the protocol class.
    app: Any
    loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)  # type: ignore[call-arg]
        self._application: ASGIApp = self.app
        self.app = self._run
        self._disconnected: asyncio.Future[None] = self.loop.create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application at once."""
        super().connection_lost(exc)
        self._disconnected.set_result(None)

    def _run(self, scope: Scope, receive: Receive, send: Send) -> Any:
        scope["extensions"] = {DISCONNECTED: self._disconnected}
        return self._application(scope, receive, send)
