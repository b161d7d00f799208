"""Make the row of an exchange: here all text from outside is masked and cut."""

from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import orjson

from service.audit import server_requests
from service.http.server_log.exchange import CapturedBody, Exchange
from service.usecases.platform_events import event_row
from service.usecases.posted_events import MAX_METHOD
from sql.queries.server_logs import ServerLogRow


def row_of(exchange: Exchange, log_id: UUID) -> ServerLogRow:
    """Row of a request that has ended."""
    origin, caller = exchange.origin, exchange.caller
    assert origin is not None  # noqa: S101 - `end` has set it
    return ServerLogRow(
        log_id=log_id,
        created_at=exchange.began_at,
        request_id=origin.request_id,
        http_method=origin.method[:MAX_METHOD],
        # The texts of an origin are masked and cut already.
        endpoint=origin.endpoint,
        query_params=_parameters(exchange.query),
        user_id=None if caller is None else caller.user_id,
        subscription_id=exchange.subscription_id,
        auth_method=None if caller is None else "api_key" if caller.session_id is None else "session",
        request_body=_document(exchange.request_body),
        response_status=exchange.status,
        response_body=_document(exchange.response_body),
        response_time_ms=round(exchange.seconds * 1000),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        referer=server_requests.text(exchange.referer),
        error_message=server_requests.text(exchange.error),
        error_traceback=server_requests.text(exchange.traceback, server_requests.MAX_TRACEBACK_BYTES),
        request_bytes=exchange.request_body.size,
        response_bytes=exchange.response_body.size,
        occurrences=exchange.occurrences,
        route=exchange.route,
    )


def row_of_dropped(number: int, *, since: datetime, until: datetime) -> ServerLogRow:
    """Row in the log of the platform that states how many requests were dropped."""
    text = (
        f"{number} requests since {since.isoformat()} have no row: "
        "the database did not take them in time, and no more could be held"
    )
    return event_row("server_log_overflow", text, until)


def _parameters(query: bytes) -> dict[str, Any] | None:
    if not query:
        return None
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="replace"):
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return server_requests.query(found)


def _document(body: CapturedBody) -> Any:
    """Body as it is stored, or a mark of its size if it is too large, came in parts or can't be read."""
    if not body.is_json or body.size == 0:
        return None
    if body.parts is None:
        return _mark(body)
    try:
        return server_requests.body(orjson.loads(b"".join(body.parts)))
    except (ValueError, RecursionError):
        return _mark(body)


def _mark(body: CapturedBody) -> dict[str, Any]:
    return {"truncated": True, "bytes": body.size}
