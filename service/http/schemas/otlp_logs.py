"""Requests and answers of OTLP/HTTP, as far as the description of the API tells them.

The names of fields are those of OTLP's JSON, and no names for Python, so that the answers can't be classes.
"""

from typing import Any, NotRequired

from pydantic import BaseModel, Field
from typing_extensions import TypedDict


class ExportLogsServiceRequest(BaseModel):
    """Log records by the resource and the scope that made them: OTLP's JSON, or the same in protobuf.

    In the JSON of protobuf, null is a field that is not given.
    """

    resource_logs: list[dict[str, Any]] | None = Field(default_factory=list, alias="resourceLogs")


class ExportLogsPartialSuccess(TypedDict):
    rejectedLogRecords: NotRequired[str]
    errorMessage: NotRequired[str]


ExportLogsPartialSuccess.__doc__ = "Number of the records that were not taken, and the reasons."


class ExportLogsServiceResponse(TypedDict):
    partialSuccess: NotRequired[ExportLogsPartialSuccess]


ExportLogsServiceResponse.__doc__ = (
    "Answer to a request that was taken; `partialSuccess` is there if there is something to tell."
)


class RpcStatus(TypedDict):
    """Refusal of an OTLP request: `google.rpc.Status`.

    `details` has a `google.rpc.ErrorInfo` with the problem's code, its page and the id of the request.
    """

    code: int
    message: str
    details: list[dict[str, Any]]
