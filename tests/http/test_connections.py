"""The door: what a client may do to a connection before Annals ends it, whichever parser reads HTTP."""

import asyncio
import threading

import pytest
from starlette.types import Receive, Scope, Send

from service.http.connections.guard import DISCONNECTED
from service.http.connections.protocols import H11Connection, protocol_class
from service.http.connections.quick import HttpToolsConnection
from tests.support.doors import SECONDS, opened

both_parsers = pytest.mark.parametrize(
    "protocol", [H11Connection, HttpToolsConnection], ids=["h11", "httptools"]
)
GET = b"GET / HTTP/1.1\r\nHost: annals\r\n\r\n"


def test_the_quick_parser_is_chosen_where_it_is_installed() -> None:
    assert protocol_class() is HttpToolsConnection


@both_parsers
def test_the_application_is_told_at_once_that_the_client_has_gone(protocol: type[asyncio.Protocol]) -> None:
    began, told = threading.Event(), threading.Event()

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        began.set()
        await scope["extensions"][DISCONNECTED]
        told.set()

    with opened(app, protocol) as door:
        client = door.call(GET)
        assert began.wait(SECONDS)
        assert not told.is_set()
        client.close()
        assert told.wait(SECONDS)
