"""Logs of OpenTelemetry by OTLP/HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.domain.actions import Action
from service.domain.errors import DocumentTooLarge, QuotaExceeded
from service.http.audited_operations import audits
from service.http.description.declarations import refuses
from service.http.otlp import answers
from service.http.otlp.batches import Format
from service.http.otlp.body import ReceivedRequest, received_request
from service.http.parameters import Once
from service.http.schemas.otlp_logs import ExportLogsServiceResponse, RpcStatus
from service.usecases import otlp_logs

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/otlp/v1/logs", tags=["logs"])

_PROTOBUF = {Format.PROTOBUF.value: {"schema": {"type": "string", "format": "binary"}}}
_STATUSES = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": _PROTOBUF},
    **{status: {"model": RpcStatus, "content": _PROTOBUF} for status in _STATUSES},
}


@router.post("", response_model=ExportLogsServiceResponse, responses=_RESPONSES)
@audits(Action.RECORD, "execution_log")
@refuses(QuotaExceeded, DocumentTooLarge)
def record_otlp_logs(received: Annotated[ReceivedRequest, Depends(received_request)], once: Once) -> Response:
    """Record log records of OpenTelemetry as events of executions, in protobuf or JSON (editor, admin)."""
    recorded = otlp_logs.record_otlp_logs(received.context, received.arrival, received.logs, once=once)
    return answers.taken(received.form, recorded)
