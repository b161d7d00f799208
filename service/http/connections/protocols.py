"""Protocol classes for uvicorn: its own, with the guard before them."""

import asyncio
from importlib.util import find_spec

from uvicorn.protocols.http.h11_impl import H11Protocol

from service.http.connections.guard import Guard


class H11Connection(Guard, H11Protocol):
    """Connection that the parser in Python reads."""


def protocol_class() -> type[asyncio.Protocol]:
    """Class that reads HTTP: by the quick parser where it is installed, as uvicorn itself chooses."""
    if find_spec("httptools") is None:
        return H11Connection
    from service.http.connections.quick import HttpToolsConnection

    return HttpToolsConnection
