"""Protocol class with the parser in C, which is not installed on each platform."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.connections.guard import Guard


class HttpToolsConnection(Guard, HttpToolsProtocol):
    """Connection that the parser in C reads."""
