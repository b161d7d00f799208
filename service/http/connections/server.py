"""Server of HTTP: uvicorn's, whose connections come through an entrance."""

import asyncio
import socket

import uvicorn

from service.http.connections.entrance import Entrance
from service.http.connections.guard import Guard


class HttpServer(uvicorn.Server):
    """uvicorn's server; the protocol class of its configuration is one of `protocols`."""

    _entrances: tuple[Entrance, ...] = ()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and open an entrance at each of the sockets that listen."""
        await super().startup(sockets=[])
        kind = self.config.http_protocol_class
        assert isinstance(kind, type)  # noqa: S101 - `protocols` makes classes
        assert issubclass(kind, Guard)  # noqa: S101
        self._entrances = tuple(Entrance(each, self._connection, kind.places) for each in sockets or [])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the entrances, and do what uvicorn does at the end."""
        for each in self._entrances:
            each.close()
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        kind = self.config.http_protocol_class
        return kind(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
