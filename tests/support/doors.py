"""Small applications behind the door: served by uvicorn with a protocol class of Annals."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

SECONDS = 20


@dataclass
class Door:
    """An application that listens on `port` of this machine."""

    port: int
    _sockets: list[socket.socket] = field(default_factory=list)

    def call(self, sent: bytes = b"", *, source: str = "127.0.0.1") -> socket.socket:
        """Connect from an address of this machine, and send."""
        made = socket.create_connection(("127.0.0.1", self.port), SECONDS, (source, 0))
        self._sockets.append(made)
        made.sendall(sent)
        return made

    def close(self) -> None:
        """Close the sockets of all callers."""
        for each in self._sockets:
            each.close()


@contextmanager
def opened(app: ASGIApp, protocol: type[asyncio.Protocol]) -> Iterator[Door]:
    """Serve an application until the block ends."""
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", port=0, log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    listener.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="door")
    thread.start()
    door = Door(listener.getsockname()[1])
    try:
        yield door
    finally:
        door.close()
        server.should_exit = True
        thread.join()
