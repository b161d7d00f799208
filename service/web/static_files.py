"""Files of the pages, whose addresses change with their content, so that browsers keep them for good."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

from service.domain.errors import PathNotFound

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DIGITS = 12

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file in memory, plain and packed; `address` is its path on the server."""

    address: str
    plain: bytes
    packed: bytes
    media_type: str


def _found() -> Iterator[tuple[str, StaticFile]]:
    for path in sorted(_FOLDER.rglob("*")):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
            address = f"/static/{path.stem}.{digest}{path.suffix}"
            packed = gzip.compress(content, 9, mtime=0)
            yield path.name, StaticFile(address, content, packed, _TYPES[path.suffix])


FILES = dict(_found())
_BY_ADDRESS = {file.address: file for file in FILES.values()}


def address_of(name: str) -> str:
    """Return the path of a file on the server."""
    return FILES[name].address


@router.get("/static/{name}")
async def static_file(request: Request, name: str) -> Response:
    """Send a file, to be kept for a year; raises PathNotFound for a file of another release, too."""
    file = _BY_ADDRESS.get(f"/static/{name}")
    if file is None:
        raise PathNotFound("There is no such file.")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "Vary": "Accept-Encoding",
        "Content-Type": file.media_type,
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if takes_gzip(request):
        return Response(file.packed, headers=headers | {"Content-Encoding": "gzip"})
    return Response(file.plain, headers=headers)


def takes_gzip(request: Request) -> bool:
    """Tell if the client takes answers that are packed by gzip."""
    named = (part.partition(";") for part in request.headers.get("accept-encoding", "").split(","))
    return any(
        name.strip() == "gzip" and weight.replace(" ", "") not in ("q=0", "q=0.0")
        for name, _, weight in named
    )
