"""Git's smart HTTP protocol, for reading only: git's own upload-pack, with Annals' keys and audit log."""

import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from gitstore.errors import UploadPackFailed
from gitstore.serve.negotiation import Negotiation, wants
from gitstore.serve.upload_pack import UploadPack, advertises_refs
from service.domain.actions import Action
from service.domain.errors import BodyTooLarge, Forbidden, MalformedGitRequest, PathNotFound
from service.http.audited_operations import audits
from service.http.auth.access import Reading
from service.http.bodies import MAX_BODY_BYTES
from service.runtime.metrics import CLONES
from service.usecases import cloning

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/git/{subscription_id}.git", tags=["git"])

_UNCACHED = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}


def _upload_pack(request: Request) -> UploadPack:
    server: UploadPack = request.app.state.upload_pack
    return server


@router.get("/info/refs")
@audits(Action.CLONE, "repository")
async def info_refs(
    request: Request,
    access: Reading,
    service: Annotated[str, Query()] = "",
    git_protocol: Annotated[str | None, Header()] = None,
) -> Response:
    """Answer the first request of a clone or fetch: the refs, or in protocol 2 the capabilities of git."""
    if service == "git-receive-pack":
        raise Forbidden("Annals takes no pushes: change resources through the API.")
    if service != "git-upload-pack":
        raise PathNotFound("Use a git client that speaks the smart HTTP protocol.")
    if advertises_refs(git_protocol):
        await run_in_threadpool(cloning.prepare, access.context, access.author)
    stream = _upload_pack(request).advertise(str(access.subscription_id), git_protocol)
    first = await anext(stream, b"")
    return _streamed(first, stream, "advertisement")


@router.post("/git-upload-pack")
@audits(Action.CLONE, "repository")
async def upload_pack(
    request: Request, access: Reading, git_protocol: Annotated[str | None, Header()] = None
) -> Response:
    """Send the objects that a clone or fetch wants."""
    body = await _body(request)
    try:
        negotiation = wants(body)
    except ValueError as error:
        raise MalformedGitRequest(f"The request is not what git sends: {error}.") from None
    await run_in_threadpool(cloning.prepare, access.context, access.author)
    stream = _upload_pack(request).serve(str(access.subscription_id), body, git_protocol)
    # Read before the status is sent: an error can still be answered, and a refusal is not counted as a clone.
    first = await anext(stream, b"")
    if negotiation.wants and first[4:8] != b"ERR ":
        action = Action.FETCH if negotiation.haves else Action.CLONE
        about = _about(negotiation, git_protocol)
        try:
            await run_in_threadpool(cloning.record, access.context, access.author, action, about)
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


async def _body(request: Request) -> bytes:
    """Read the request's body, and inflate it if the client compressed it; both sizes are bounded."""
    inflate = None
    if request.headers.get("content-encoding", "identity") in ("gzip", "x-gzip"):
        inflate = zlib.decompressobj(wbits=31)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        try:
            plain = part if inflate is None else inflate.decompress(part, MAX_BODY_BYTES + 1 - size)
        except zlib.error as error:
            raise MalformedGitRequest(f"The body is no gzip stream: {error}.") from None
        size += len(plain)
        if size > MAX_BODY_BYTES or (inflate is not None and inflate.unconsumed_tail):
            raise BodyTooLarge("The negotiation of a fetch is larger than any client needs.")
        parts.append(plain)
    if inflate is not None and not inflate.eof:
        raise MalformedGitRequest("The gzip stream ends too early.")
    return b"".join(parts)
