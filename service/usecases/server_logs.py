"""The server log: record a platform's own requests, read pages and statistics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from service.audit import events, server_requests
from service.domain.actions import EventOrigin
from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.usecases.context import Context
from service.usecases.event_batches import Arrival
from service.usecases.log_reading import AskedFigures, LogFigures, figures_of_log, page_of_log
from service.usecases.posted_events import MAX_ENDPOINT, MAX_METHOD, MAX_REQUEST_ID, MAX_SOURCE
from service.usecases.recording import EventKind, Stored
from sql.database import Transaction
from sql.queries import server_logs
from sql.queries.server_logs import FIGURES, SERVER_LOG, ServerBucket, ServerLogFilter, ServerLogRow
from sql.queries.server_logs import ServerLogRead as ServerEvent

__all__ = ["ServerBucket", "ServerEvent", "ServerLogFilter"]

# In characters, as wide as the column is.
MAX_AUTH_METHOD = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRequest:
    """A request to a platform's own server, as the platform reports it; `user_id` is its user, any text.

    The request's own time is `occurred_at` or, as others name it, `created_at`.
    """

    occurred_at: datetime | None
    created_at: datetime | None
    request_id: str
    http_method: str | None
    endpoint: str | None
    user_id: str | None
    auth_method: str | None
    query_params: dict[str, Any] | None
    request_body: Any
    response_status: int | None
    response_body: Any
    response_time_ms: float | None
    ip_address: str | None
    user_agent: str | None
    referer: str | None
    error_message: str | None
    error_traceback: str | None
    request_bytes: int | None
    response_bytes: int | None
    source: str | None
    route: str | None


def row_of(arrival: Arrival, report: ReportedRequest) -> ServerLogRow:
    """Make the row of a posted request, with its texts and documents masked and cut; runs in any process."""
    return ServerLogRow(
        log_id=arrival.ids.mint(),
        created_at=arrival.at,
        occurred_at=report.occurred_at or report.created_at,
        subscription_id=arrival.subscription_id,
        user_id=arrival.caller.user_id,
        actor_id=events.reported_id(report.user_id),
        origin=EventOrigin.POSTED,
        source=events.name(report.source, MAX_SOURCE),
        request_id=events.name(report.request_id, MAX_REQUEST_ID),
        received_request_id=arrival.caller.origin.request_id,
        http_method=events.name(report.http_method, MAX_METHOD),
        endpoint=events.name(report.endpoint, MAX_ENDPOINT),
        auth_method=events.name(report.auth_method, MAX_AUTH_METHOD),
        query_params=server_requests.query(report.query_params),
        request_body=server_requests.body(report.request_body),
        response_status=report.response_status,
        response_body=server_requests.body(report.response_body),
        response_time_ms=None if report.response_time_ms is None else round(report.response_time_ms),
        ip_address=report.ip_address,
        user_agent=server_requests.text(report.user_agent),
        referer=server_requests.text(report.referer),
        error_message=server_requests.text(report.error_message),
        error_traceback=server_requests.text(report.error_traceback, server_requests.MAX_TRACEBACK_BYTES),
        request_bytes=report.request_bytes,
        response_bytes=report.response_bytes,
        route=events.name(report.route, MAX_ENDPOINT),
    )


def store(tx: Transaction, _: SubscriptionId, rows: Sequence[ServerLogRow]) -> Stored:
    """Add posted requests of one subscription."""
    server_logs.insert_rows(tx, rows)
    return Stored(len(rows), rows[0].log_id)


REQUESTS: Final = EventKind(
    log="server_log", hypertables=("server_logs",), row_of=row_of, pack=list, store=store
)


def server_page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    filters: ServerLogFilter,
    paging: Paging,
) -> Page[ServerEvent]:
    """Read the requests that match, newest first. No subscription means all, also those without one.

    Each subscription has an order of commits of its own, and so have the requests without one: in that order,
    no subscription means the one that the filter names, or else none.
    """
    if paging.in_commit_order and subscription_id is None and filters.subscription_id is not None:
        subscription_id = SubscriptionId(filters.subscription_id)
    return page_of_log(context, caller, subscription_id, SERVER_LOG, filters, paging)


def server_statistics(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    filters: ServerLogFilter,
    asked: AskedFigures,
) -> LogFigures[ServerBucket]:
    """Compute figures of requests in each bucket of time; no subscription means all requests.

    Raises Invalid like `figures_of_log`.
    """
    found = figures_of_log(context, caller, subscription_id, FIGURES, filters, asked)
    spans = zip(found.buckets, found.spans, strict=True)
    return replace(found, buckets=[rated(bucket, seconds) for bucket, seconds in spans])


def rated(bucket: ServerBucket, seconds: float) -> ServerBucket:
    """Add the requests a second of a bucket of so many seconds; None where it has no length."""
    return replace(bucket, rate=bucket.count / seconds if seconds > 0 else None)
