"""Faults of a head that the parsers let pass, one of them or both."""

import re
from collections.abc import Sequence

from service.domain.errors import AnnalsError, HeadTooLarge, MalformedRequest
from service.http.connections.limits import Limits

# A name, an IPv4 or an IPv6 address, and perhaps a port. It may be empty (RFC 9110, 7.2).
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# Headers of one value that decide what a request may do or does: of two, a proxy could go by the other one.
_SINGLE = frozenset(
    (b"authorization", b"content-encoding", b"content-type", b"idempotency-key", b"x-change-reason")
)


def fault_of(headers: Sequence[tuple[bytes, bytes]], limits: Limits) -> AnnalsError | None:
    """Fault of a request's headers; None if there is none."""
    if len(headers) > limits.headers:
        return HeadTooLarge(f"A request has at most {limits.headers} headers.")
    is_sized = is_coded = False
    given: set[bytes] = set()
    for name, value in headers:
        if name in _SINGLE:
            if name in given:
                return MalformedRequest(
                    f"A request has one {name.decode().title()}, and this one has several."
                )
            given.add(name)
        if name == b"host" and not _HOST.fullmatch(value):
            return MalformedRequest("The Host is neither a name nor an address, perhaps with a port.")
        if name == b"content-length":
            is_sized = True
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked":
                return MalformedRequest("The only Transfer-Encoding that Annals reads is `chunked`.")
            is_coded = True
    if is_sized and is_coded:
        # Where a proxy goes by the one and the server by the other, a second request hides in the body.
        return MalformedRequest("A request has a Content-Length or a Transfer-Encoding, not both.")
    return None
