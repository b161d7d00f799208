"""Git's smart HTTP protocol, for reading only: git's own upload-pack, with Annals' keys and audit log."""

import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from gitstore.errors import UploadPackFailed
from gitstore.serve.negotiation import (
    MAX_REQUEST_BYTES,
    Negotiation,
    NegotiationReader,
    NegotiationTooLong,
)
from gitstore.serve.upload_pack import UploadPack, advertises_refs
from service.domain.actions import Action
from service.domain.callers import CloneAfterPurge
from service.domain.errors import BodyTooLarge, Forbidden, MalformedGitRequest, PathNotFound
from service.http.admission import in_thread, visit_of
from service.http.audited_operations import audits
from service.http.auth.access import Access, Reading
from service.http.requests import declared_length
from service.runtime.metrics import CLONES
from service.usecases import cloning

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/git/{subscription_id}.git", tags=["git"])

# Bytes of a request that are inflated and read at a time, in two milliseconds; then others have their turn.
_PIECE_BYTES = 64 * 1024
_UNCACHED = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}


def _upload_pack(request: Request) -> UploadPack:
    server: UploadPack = request.app.state.upload_pack
    return server


async def _cloning(request: Request, access: Reading) -> Access:
    """Admit the caller, unless something was deleted for good and only admins may clone since then."""
    if access.caller.clone_after_purge is CloneAfterPurge.ADMIN and not access.reads_purged:
        await in_thread(request, cloning.check_unpurged, access.context, access.subscription_id)
    return access


Cloning = Annotated[Access, Depends(_cloning)]


@router.get("/info/refs")
@audits(Action.CLONE, "repository")
async def git_info_refs(
    request: Request,
    access: Cloning,
    service: Annotated[str, Query()] = "",
    git_protocol: Annotated[str | None, Header()] = None,
) -> Response:
    """Answer the first request of a clone or fetch: the refs, or in protocol 2 the capabilities of git."""
    if service == "git-receive-pack":
        raise Forbidden("Annals takes no pushes: change resources through the API.")
    if service != "git-upload-pack":
        raise PathNotFound("Use a git client that speaks the smart HTTP protocol.")
    if advertises_refs(git_protocol):
        await in_thread(request, cloning.prepare, access.context, access.author)
    stream = _upload_pack(request).advertise(str(access.subscription_id), git_protocol)
    first = await anext(stream, b"")
    return _streamed(first, stream, "advertisement")


@router.post("/git-upload-pack")
@audits(Action.CLONE, "repository")
async def git_upload_pack(
    request: Request, access: Cloning, git_protocol: Annotated[str | None, Header()] = None
) -> Response:
    """Send the objects that a clone or fetch wants."""
    body, negotiation = await _body(request)
    await in_thread(request, cloning.prepare, access.context, access.author)
    stream = _upload_pack(request).serve(
        str(access.subscription_id), body, git_protocol, lists_refs=negotiation.lists_refs
    )
    # Read before the status is sent: an error can still be answered, and a refusal is not counted as a clone.
    first = await anext(stream, b"")
    if negotiation.wants and first[4:8] != b"ERR ":
        action = Action.FETCH if negotiation.haves else Action.CLONE
        about = _about(negotiation, git_protocol)
        try:
            await in_thread(request, cloning.record, access.context, access.author, action, about)
        except BaseException:
            await stream.aclose()
            raise
        CLONES.labels(action).inc()
    return _streamed(first, stream, "result")


def _about(negotiation: Negotiation, protocol: str | None) -> dict[str, object]:
    return {"wants": negotiation.wants, "haves": negotiation.haves, "protocol": protocol or "version=0"}


def _streamed(first: bytes, rest: AsyncGenerator[bytes, None], what: str) -> StreamingResponse:
    async def whole() -> AsyncGenerator[bytes, None]:
        async with aclosing(rest):
            try:
                yield first
                async for part in rest:
                    yield part
            except UploadPackFailed as error:
                # The status was sent long ago, and git itself reported the error to its client: only log it.
                log.warning("a clone or fetch broke off", error=str(error))

    return StreamingResponse(whole(), media_type=f"application/x-git-upload-pack-{what}", headers=_UNCACHED)


async def _body(request: Request) -> tuple[bytes, Negotiation]:
    """Read the body, which the client may have compressed, and stop at the first fault or past a bound."""
    is_compressed = request.headers.get("content-encoding", "identity") in ("gzip", "x-gzip")
    declared = declared_length(request)
    expected = MAX_REQUEST_BYTES if declared is None or is_compressed else declared
    if expected > MAX_REQUEST_BYTES:
        raise _too_large()
    if expected > _PIECE_BYTES:
        await visit_of(request).reserve(expected)
    body = _RequestBody(is_compressed=is_compressed)
    async for received in _gathered(request.stream()):
        rest: bytes | None = received
        while rest is not None:
            rest = await in_thread(request, body.read, rest)
    found = body.result()
    if len(found[0]) <= _PIECE_BYTES:
        # A compressed body has any size until it is read; a small one may wait for its turn for a minute.
        visit_of(request).leave()
    return found


async def _gathered(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a body in pieces that are large enough for a thread each; the last one may be smaller."""
    gathered: list[bytes] = []
    size = total = 0
    async for part in parts:
        gathered.append(part)
        size += len(part)
        total += len(part)
        if total > MAX_REQUEST_BYTES:
            raise _too_large()
        if size >= _PIECE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


class _RequestBody:
    """A body that is inflated and read in pieces of _PIECE_BYTES; its errors are those for the client."""

    def __init__(self, *, is_compressed: bool) -> None:
        self._inflate = zlib.decompressobj(wbits=31) if is_compressed else None
        self._negotiation = NegotiationReader()
        self._pieces: list[bytes] = []
        self._size = 0

    def read(self, received: bytes) -> bytes | None:
        """Read one piece; returns what it left, to be given again, or None if more has to come first."""
        inflate = self._inflate
        if inflate is None:
            plain, rest = received[:_PIECE_BYTES], received[_PIECE_BYTES:]
        elif inflate.eof and received:
            raise MalformedGitRequest("Something follows the gzip stream.")
        else:
            try:
                plain = inflate.decompress(received, _PIECE_BYTES)
            except zlib.error as error:
                raise MalformedGitRequest(f"The body is no gzip stream: {error}.") from None
            rest = inflate.unconsumed_tail or inflate.unused_data
        self._size += len(plain)
        if self._size > MAX_REQUEST_BYTES:
            raise _too_large()
        try:
            self._negotiation.read(plain)
        except NegotiationTooLong:
            raise _too_large() from None
        except ValueError as error:
            raise _malformed(error) from None
        self._pieces.append(plain)
        # A full piece may have left bytes in the decompressor.
        return rest if rest or (inflate is not None and len(plain) == _PIECE_BYTES) else None

    def result(self) -> tuple[bytes, Negotiation]:
        """Return the whole body, and its negotiation."""
        if self._inflate is not None and not self._inflate.eof:
            raise MalformedGitRequest("The gzip stream ends too early.")
        try:
            return b"".join(self._pieces), self._negotiation.result()
        except ValueError as error:
            raise _malformed(error) from None


def _too_large() -> BodyTooLarge:
    return BodyTooLarge("The negotiation of a fetch is larger than any client needs.")


def _malformed(error: ValueError) -> MalformedGitRequest:
    return MalformedGitRequest(f"The request is not what git sends: {error}.")
