"""Answers of OTLP/HTTP, in the format of the request: that logs were taken, or a `google.rpc.Status`.

The parsers of protobuf are imported by who needs them, since most processes never do.
"""

from typing import TYPE_CHECKING

from fastapi import Response

from service.domain.errors import AnnalsError
from service.http import problems
from service.http.otlp.batches import Format
from service.usecases.otlp_logs import RecordedLogs

if TYPE_CHECKING:
    from google.protobuf.message import Message

# Codes of google.rpc.Code, by the status of HTTP.
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
_DOMAIN = "annals"


def taken(form: Format, recorded: RecordedLogs) -> Response:
    """Answer that logs were stored, with the number of those that were not."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    message = ExportLogsServiceResponse()
    if recorded.message:
        message.partial_success.rejected_log_records = recorded.rejected
        message.partial_success.error_message = recorded.message
    return _answer(form, message, 200)


def refusal(form: Format, error: AnnalsError, request_id: str) -> Response:
    """Answer with the status of a refusal; its details name the problem."""
    from google.rpc.error_details_pb2 import ErrorInfo
    from google.rpc.status_pb2 import Status

    code = type(error).code
    status = problems.status_of(type(error))
    about = ErrorInfo(
        reason=code.upper(),
        domain=_DOMAIN,
        metadata={"type": f"/docs/problems/{code}", "request_id": request_id},
    )
    message = Status(code=_CODES[status], message=error.detail)
    message.details.add().Pack(about)
    answer = _answer(form, message, status)
    answer.headers.update(problems.headers_of(error, "Bearer"))
    return answer


def _answer(form: Format, message: "Message", status: int) -> Response:
    if form is Format.PROTOBUF:
        return Response(message.SerializeToString(), status, media_type=form.value)
    from google.protobuf.json_format import MessageToJson

    return Response(MessageToJson(message, indent=None) + "\n", status, media_type=form.value)
