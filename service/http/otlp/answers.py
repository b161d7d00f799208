"""Answers of OTLP/HTTP, in the format of the request: that logs were taken, or a `google.rpc.Status`.

The parsers of protobuf are imported by who needs them, since most processes never do.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import Response

from service.domain.errors import AnnalsError
from service.http import problems
from service.http.otlp.batches import OtlpFormat

if TYPE_CHECKING:
    from google.protobuf.message import Message

# Codes of google.rpc.Code, by the status of HTTP, and the code of all others.
_CODES = {
    **dict.fromkeys((400, 415, 422), 3),
    401: 16,
    403: 7,
    404: 5,
    405: 12,
    408: 4,
    409: 10,
    **dict.fromkeys((413, 414, 429, 431), 8),
    500: 13,
    503: 14,
}
_UNKNOWN = 2
_DOMAIN = "annals"
# Reasons that the answer names.
_MAX_REASONS = 5


def taken(form: OtlpFormat, *, rejected: int, reasons: Sequence[str] = (), late: int = 0) -> Response:
    """Answer that logs were stored, with the number of those that were not, and of those that came late."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    said = list(reasons[:_MAX_REASONS])
    if late:
        said.append(
            f"{late:,} records lie more than 7 days back or 5 minutes ahead: they are stored at the time of "
            "their arrival, with their own time as reported_at"
        )
    message = ExportLogsServiceResponse()
    if said:
        message.partial_success.rejected_log_records = rejected
        message.partial_success.error_message = "; ".join(said)
    return _answer(form, message, 200)


def refusal(form: OtlpFormat, error: AnnalsError, request_id: str) -> Response:
    """Answer with the status of a refusal; its details name the problem."""
    from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
    from google.rpc.status_pb2 import Status

    code = type(error).code
    status = problems.status_of(type(error))
    about = ErrorInfo(
        reason=code.upper(),
        domain=_DOMAIN,
        metadata={"type": f"/docs/problems/{code}", "request_id": request_id},
    )
    message = Status(code=_CODES.get(status, _UNKNOWN), message=error.detail)
    message.details.add().Pack(about)
    if error.faults:
        places = ((fault.pointer or fault.parameter or "", fault.detail) for fault in error.faults)
        violations = (BadRequest.FieldViolation(field=field, description=detail) for field, detail in places)
        message.details.add().Pack(BadRequest(field_violations=violations))
    answer = _answer(form, message, status)
    answer.headers.update(problems.headers_of(error, "Bearer"))
    return answer


def _answer(form: OtlpFormat, message: "Message", status: int) -> Response:
    if form is OtlpFormat.PROTOBUF:
        return Response(message.SerializeToString(), status, media_type=form.value)
    from google.protobuf.json_format import MessageToJson

    return Response(MessageToJson(message, indent=None) + "\n", status, media_type=form.value)
