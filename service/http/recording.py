"""Recording of events by HTTP: from the body of a request to the answer, for all logs alike."""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service.domain.errors import Invalid, KeyReused, RequestInFlight
from service.domain.idempotency import HEADER, BodyDigests
from service.http.admission import visit_of
from service.http.auth.access import Access
from service.http.description.declarations import reads, refuses
from service.http.description.headers import IDEMPOTENCY_KEY
from service.http.event_bodies import EventBody
from service.http.event_preparation import Block, EventReader, blocks_of, prepared_ahead
from service.http.parameters import Import, attempt_with
from service.http.responses import answer
from service.usecases import recording
from service.usecases.event_batches import Arrival
from service.usecases.recording import EventKind, Prepared, RecordedBody

# The answer where all events were there before, or were left out.
NOTHING_NEW: dict[int | str, dict[str, Any]] = {200: {"description": "Nothing new was stored"}}

OnError = Annotated[
    Literal["reject", "skip"],
    Query(description="`skip` leaves out events with faults, and tells them; else they refuse all"),
]


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """Parts of a call that records events, beside its body and its key."""

    is_import: bool
    skips: bool

    def named_in(self, digests: BodyDigests) -> BodyDigests:
        """Add the options to a body's digests, so that a retry has to repeat them; none are added to none."""
        if not (self.is_import or self.skips):
            return digests
        named = f"import={self.is_import} skip={self.skips}".encode()
        return BodyDigests(sha256(digests.values + named).digest(), sha256(digests.raw + named).digest())


@reads(IDEMPOTENCY_KEY)
@refuses(Invalid, KeyReused, RequestInFlight)
async def _options(is_import: Import = False, on_error: OnError = "reject") -> RecordingOptions:
    return RecordingOptions(is_import, on_error == "skip")


Options = Annotated[RecordingOptions, Depends(_options)]


async def recorded(
    request: Request,
    access: Access,
    body: EventBody,
    kind: EventKind[Any, Any, Any],
    options: RecordingOptions,
) -> Response:
    """Record the events of a body, and answer once they are stored."""
    work = partial(_recorded, request, access, body, kind, options)
    visit = visit_of(request)
    if body.is_long:
        found = await visit.stream(work, has_stored=lambda body: body.accepted > 0)
    else:
        await visit.begin_work()
        async with visit.thread(body.spool.size):
            found = await run_in_threadpool(work)
    return answer(found.shown(), 201 if found.accepted else 200)


def arrival_of(access: Access, *, is_import: bool) -> Arrival:
    """Make the arrival of a request's events, which is now."""
    return Arrival(
        caller=access.caller,
        subscription_id=access.subscription_id,
        at=access.context.clock(),
        is_import=is_import,
    )


def _recorded(
    request: Request,
    access: Access,
    body: EventBody,
    kind: EventKind[Any, Any, Any],
    options: RecordingOptions,
) -> RecordedBody:
    context = access.context
    arrival = arrival_of(access, is_import=options.is_import)
    reader = EventReader(model=body.model, kind=kind, arrival=arrival, skips=options.skips)
    record = partial(recording.record, context, arrival, kind, skips=options.skips)
    if not body.is_lines:
        prepare = partial(reader.body, b"".join(body.read()), has_key=HEADER in request.headers)
        found = prepare() if body.is_small else context.documents.aside(prepare)
        once = attempt_with(request, lambda: options.named_in(found.digests))
        return record(recording.in_one_block(found.prepared), once=once, is_single=found.is_single)
    once = attempt_with(request, lambda: options.named_in(_digests(body)))
    if body.is_small:
        return record(lambda: (reader.block(block) for block in blocks_of(body.read())), once=once)

    recording.prepare_chunks(context, kind, arrival)

    def aside(block: Block) -> Prepared[Any]:
        return context.documents.aside(reader.block, block)

    return record(lambda: prepared_ahead(blocks_of(body.read()), aside), once=once, is_long=body.is_long)


def _digests(body: EventBody) -> BodyDigests:
    """Digest the lines as they are: no values are known before the first try is looked up."""
    digest = sha256()
    for piece in body.read():
        digest.update(piece)
    return BodyDigests(digest.digest())
