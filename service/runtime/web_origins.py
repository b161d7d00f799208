"""Origins of web pages, as browsers send them in `Origin`."""

from pydantic import HttpUrl, TypeAdapter, ValidationError

# A host name has 253 characters at most.
MAX_LENGTH = 300
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_URL = TypeAdapter(HttpUrl)


def web_origin(text: str) -> str:
    """Return an origin that is written as browsers write it; raises ValueError for any other text.

    That is a scheme, a host and a port other than the scheme's own (RFC 6454, 6.2). HTTP is for pages of this
    machine alone: who is between could else change a page, and take its key.
    """
    try:
        url = _URL.validate_python(text)
    except ValidationError:
        raise ValueError("is no origin: write `https://host` or `https://host:port`") from None
    port = "" if url.port in (None, 80 if url.scheme == "http" else 443) else f":{url.port}"
    origin = f"{url.scheme}://{url.host}{port}"
    if text != origin:
        raise ValueError(f"is no origin as browsers send it: write `{origin}`")
    if url.scheme == "http" and url.host not in _LOCAL:
        raise ValueError("has to be of HTTPS; HTTP is for localhost, 127.0.0.1 and [::1]")
    if "*" in text:
        raise ValueError("has to name one host: no `*`")
    return text


def web_origins(text: str) -> tuple[str, ...]:
    """Return the origins of a list with commas; raises ValueError for one that is none."""
    found = []
    for part in text.split(","):
        try:
            found.append(web_origin(part.strip()))
        except ValueError as error:
            raise ValueError(f"{part.strip()!r} {error}") from None
    return tuple(found)
