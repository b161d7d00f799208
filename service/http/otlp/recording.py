"""Recording of log records: from the body of an OTLP request to its answer."""

from functools import partial

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from service.domain.idempotency import HEADER
from service.http.admission import visit_of
from service.http.auth.access import Access
from service.http.event_bodies import SMALL_BYTES
from service.http.otlp import answers
from service.http.otlp.batches import prepared
from service.http.otlp.body import LogsBody
from service.http.parameters import attempt_with
from service.http.recording import arrival_of
from service.usecases import recording
from service.usecases.execution_logs import EXECUTIONS


async def recorded(request: Request, access: Access, body: LogsBody, *, is_import: bool) -> Response:
    """Record the log records of a body, and answer once they are stored."""
    visit = visit_of(request)
    await visit.begin_work()
    async with visit.thread(body.size):
        return await run_in_threadpool(partial(_recorded, request, access, body, is_import=is_import))


def _recorded(request: Request, access: Access, body: LogsBody, *, is_import: bool) -> Response:
    context = access.context
    arrival = arrival_of(access, is_import=is_import)
    raw = body.read()
    prepare = partial(prepared, body.form, arrival, raw, has_key=HEADER in request.headers)
    found = prepare() if len(raw) <= SMALL_BYTES else context.documents.aside(prepare)
    once = attempt_with(request, lambda: found.digests)
    if not found.prepared.rows and not found.prepared.skipped:
        return answers.taken(body.form, rejected=0)
    blocks = recording.in_one_block(found.prepared)
    result = recording.record(context, arrival, EXECUTIONS, blocks, once=once, skips=True)
    reasons = dict.fromkeys(str(error["detail"]) for error in result.errors or ())
    return answers.taken(body.form, rejected=result.skipped or 0, reasons=list(reasons), late=found.late)
