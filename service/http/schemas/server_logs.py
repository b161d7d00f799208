"""Filters of the server log, and the requests that a platform records."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, Strict, StrictInt, StringConstraints

from service.domain.actions import EventOrigin
from service.http.schemas.fields import QueryText, ShortLine
from service.http.schemas.filters import Address, Person, ReportedId, TimeQuery
from service.http.schemas.log_fields import ByteCount, DatedEvent, JsonObject, LogTime, Source
from service.http.schemas.statistics import StatisticsQuery
from service.usecases.posted_events import MAX_METHOD, MAX_REQUEST_ID
from service.usecases.server_logs import MAX_AUTH_METHOD, ReportedRequest

ResponseStatus = Annotated[str, StringConstraints(pattern=r"^[1-5](xx|[0-9]{2})$")]
ServerGroup = Literal[
    "route", "http_method", "response_status", "user_id", "auth_method", "origin", "source", "actor_id"
]
ServerMeasure = Literal["response_time_ms", "request_bytes", "response_bytes"]
ServerOrder = Literal[
    "count",
    "client_errors",
    "server_errors",
    "request_bytes",
    "response_bytes",
    "sum",
    "p50",
    "p95",
    "p99",
]
_Milliseconds = Annotated[float, Strict(), Field(ge=0, le=2**31 - 1)]


class ServerLogQuery(TimeQuery):
    """Filters of a page of the server log."""

    log_id: UUID | None = None
    status: ResponseStatus | None = Field(
        default=None, description="a status, such as 404, or a class of them, such as 4xx"
    )
    endpoint: QueryText | None = None
    user_id: Person | None = None
    ip_address: Address | None = None
    request_id: QueryText | None = None
    origin: EventOrigin | None = None


class PostedServerLogQuery(ServerLogQuery):
    """Filters of a subscription's server log: also those of the requests that a platform posted."""

    actor_id: ReportedId | None = None
    source: QueryText | None = None
    received_request_id: QueryText | None = None
    time: LogTime | None = None


class PlatformServerLogQuery(ServerLogQuery):
    """Filters of a page of the server log of all subscriptions."""

    subscription_id: UUID | None = None


class ServerStatisticsQuery(PostedServerLogQuery, StatisticsQuery):
    """Filters, buckets and groups of the server log's statistics."""

    group_by: Annotated[list[ServerGroup], Field(max_length=2)] = Field(default_factory=list)
    measure: ServerMeasure = "response_time_ms"
    order: ServerOrder | None = None


class PlatformServerStatisticsQuery(PlatformServerLogQuery, StatisticsQuery):
    """Filters, buckets and groups of the statistics of the server log of all subscriptions."""

    group_by: Annotated[list[ServerGroup | Literal["subscription_id"]], Field(max_length=2)] = Field(
        default_factory=list
    )
    measure: ServerMeasure = "response_time_ms"
    order: ServerOrder | None = None


class NewServerEvent(DatedEvent):
    request_id: Annotated[ShortLine, Field(max_length=MAX_REQUEST_ID)]
    http_method: Annotated[ShortLine, Field(max_length=MAX_METHOD)] | None = None
    endpoint: str | None = None
    user_id: ShortLine | None = None
    auth_method: Annotated[ShortLine, Field(max_length=MAX_AUTH_METHOD)] | None = None
    query_params: JsonObject | None = None
    request_body: Any = None
    response_status: Annotated[StrictInt, Field(ge=100, le=599)] | None = None
    response_body: Any = None
    response_time_ms: _Milliseconds | None = None
    ip_address: Address | None = None
    user_agent: str | None = None
    referer: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    request_bytes: ByteCount | None = None
    response_bytes: ByteCount | None = None
    source: Source | None = None
    route: str | None = None

    def reported(self) -> ReportedRequest:
        """Return the request as the use case takes it."""
        return ReportedRequest(**dict(self))
