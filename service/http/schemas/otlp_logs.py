"""Requests and answers of OTLP/HTTP, as far as the description of the API tells them."""

from typing import Any

from pydantic import BaseModel, Field


class ExportLogsServiceRequest(BaseModel):
    """Log records by the resource and the scope that made them: OTLP's JSON, or the same in protobuf."""

    resource_logs: list[dict[str, Any]] = Field(default_factory=list, alias="resourceLogs")


class ExportLogsPartialSuccess(BaseModel):
    """Records that were not taken, and the reasons; or what else the sender should know."""

    rejected_log_records: str | None = Field(default=None, alias="rejectedLogRecords")
    error_message: str | None = Field(default=None, alias="errorMessage")


class ExportLogsServiceResponse(BaseModel):
    """Answer to a request that was taken, with `partialSuccess` if there is something to tell."""

    partial_success: ExportLogsPartialSuccess | None = Field(default=None, alias="partialSuccess")


class RpcStatus(BaseModel):
    """Refusal of an OTLP request, in the format of the request: `google.rpc.Status`.

    `details` has a `google.rpc.ErrorInfo` with the problem's code, its page and the id of the request.
    """

    code: int
    message: str
    details: list[dict[str, Any]]
