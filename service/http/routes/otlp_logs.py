"""Logs of OpenTelemetry by OTLP/HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from service.domain.actions import Action
from service.domain.errors import DocumentTooLarge, Invalid, KeyReused, QuotaExceeded, RequestInFlight
from service.http.audited_operations import audits
from service.http.auth.access import Recording
from service.http.description.declarations import reads, refuses
from service.http.description.headers import IDEMPOTENCY_KEY
from service.http.otlp.batches import OtlpFormat
from service.http.otlp.body import LogsBody, logs_body
from service.http.otlp.recording import recorded
from service.http.parameters import Import
from service.http.schemas.otlp_logs import ExportLogsServiceResponse, RpcStatus

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/otlp/v1/logs", tags=["logs"])

_PROTOBUF = {OtlpFormat.PROTOBUF.value: {"schema": {"type": "string", "format": "binary"}}}
_STATUSES = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": _PROTOBUF},
    **{status: {"model": RpcStatus, "content": _PROTOBUF} for status in _STATUSES},
}


@router.post("", response_model=ExportLogsServiceResponse, responses=_RESPONSES)
@audits(Action.RECORD, "execution_log")
@reads(IDEMPOTENCY_KEY)
@refuses(QuotaExceeded, DocumentTooLarge, Invalid, KeyReused, RequestInFlight)
async def record_otlp_logs(
    request: Request,
    access: Recording,
    body: Annotated[LogsBody, Depends(logs_body)],
    is_import: Import = False,
) -> Response:
    """Record log records of OpenTelemetry as events of executions, in protobuf or JSON (editor, admin)."""
    return await recorded(request, access, body, is_import=is_import)
