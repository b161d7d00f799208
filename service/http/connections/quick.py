"""Protocol class with the parser in C, which is not installed on each platform."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.domain.errors import AnnalsError, HeadTooLarge, MalformedRequest
from service.http.connections.guard import Guard

# Of a line of a head, beside name and value: the colon, a blank, and the end of the line.
_LINE_BYTES = 4


class HttpToolsConnection(Guard, HttpToolsProtocol):
    """Connection that the parser in C reads."""

    # Bytes of a message since the last byte of its body. The parser keeps trailers, as it keeps heads.
    _bytes_without_body = 0

    def feed_body(self, data: bytes) -> None:
        """Feed the parser, but not without end where no body comes of it."""
        self._bytes_without_body += len(data)
        super().feed_body(data)
        if self._bytes_without_body > self.limits.head_bytes and not self.is_in_head:
            self.refuse(HeadTooLarge(f"A trailer has at most {self.limits.head_bytes:,} bytes."))

    def check_head(self, piece: bytes) -> None:
        """Refuse a head that comes in pieces once it has too many headers: each costs a microsecond."""
        super().check_head(piece)
        # The parser makes the list at the first byte that is no blank line.
        if self.refusal is None and len(self.headers or ()) > self.limits.headers:
            self.refuse(HeadTooLarge(f"A request has at most {self.limits.headers} headers."))

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self.begin_head()

    def on_headers_complete(self) -> None:
        """Begin a request, unless its head is refused; raises MalformedRequest and HeadTooLarge."""
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise MalformedRequest(f"A request has one Host, and this one has {hosts or 'none'}.")
        # A head that came in one read with the message before it was not counted as it came.
        if self.head_bytes == 0 and self._size() > self.limits.head_bytes:
            raise HeadTooLarge(f"The head of a request has at most {self.limits.head_bytes:,} bytes.")
        super().on_headers_complete()
        self._bytes_without_body = 0
        self.end_head()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._bytes_without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a body."""
        super().on_message_complete()
        self.end_message()

    def refusal_of(self, error: BaseException | None) -> AnnalsError:
        """Refusal for an error of the parser, or the one that `on_headers_complete` raised."""
        if isinstance(error, httptools.HttpParserCallbackError):
            raised = error.__context__
            return raised if isinstance(raised, AnnalsError) else MalformedRequest("The target is no path.")
        return MalformedRequest(f"The request is no HTTP: {error}.")

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + _LINE_BYTES for name, value in self.headers)
