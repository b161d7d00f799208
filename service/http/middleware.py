"""Middleware of every request: id, HEAD, common headers, metrics, logs, and the answer after a crash."""

import asyncio
import re
import time
from collections.abc import Callable

import structlog
from anyio import CancelScope
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.audit_policy import Depth
from service.domain.errors import AnnalsError, OriginNotAllowed
from service.domain.ids import mint
from service.http import error_handlers
from service.http.admission import Admission, Visit
from service.http.audited_operations import attempted
from service.http.auth import rate_limits
from service.http.connections.guard import DISCONNECTED, REFUSED
from service.http.cross_origin import CrossOrigin, is_preflight
from service.http.requests import header_text, log_of, origin_of
from service.http.server_log.exchange import CLIENT_GONE, UNMATCHED, Exchange
from service.runtime.clock import Clock, system_clock
from service.runtime.metrics import DURATION, REQUESTS

HEADER = "x-request-id"
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
# Monitors request these every few seconds, and `/metrics` counts the requests: a row for each success
# would tell nothing more. Nor would one for each permission that a browser got for its next call. A failure
# gets a row.
_PROBES = ("/livez", "/readyz", "/metrics")
# Files of pages, which each browser asks for once.
_FILES = "/static/"
# Of answers that set none themselves. Nobody may keep what only a key opens; and no browser may guess a type.
_COMMON_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# A year, as browsers ask for (RFC 6797). Other hosts of the domain are none of our business.
_TLS_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}

# Tells if the bodies of a request are kept; called at the end of the request, when the caller is known.
KeepsBodies = Callable[[Scope], bool]

log = structlog.get_logger("annals.access")


def policy_keeps_bodies(scope: Scope) -> bool:
    """Tell if the policy of the caller's subscription keeps the bodies of this call."""
    attempt, caller = attempted(scope), scope["state"].get("caller")
    if attempt is None or caller is None:
        return False
    depth: Depth = caller.policy.depth(attempt.resource_type, attempt.action)
    return depth is Depth.FULL


def _is_routine(request: Request, exchange: Exchange) -> bool:
    """Tell if a request is one of monitors or browsers that got what it wanted: see _PROBES."""
    path = request.scope["path"]
    is_one = path in _PROBES or path.startswith(_FILES) or is_preflight(request)
    return is_one and exchange.status is not None and exchange.status < 400


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path_format", UNMATCHED)


class RequestMiddleware:
    """Middleware in plain ASGI, so that streamed answers are not buffered.

    `record` is called with each exchange at its end, and must not wait; `keeps_bodies` tells if the bodies of
    an exchange are kept; `over_tls` tells that clients reach the server by HTTPS. A request whose client has
    gone is given up, unless its answer has begun.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        admission: Admission,
        cross_origin: CrossOrigin,
        record: Callable[[Exchange], None],
        keeps_bodies: KeepsBodies = policy_keeps_bodies,
        clock: Clock = system_clock,
        over_tls: bool = False,
    ) -> None:
        self._app = app
        self._admission = admission
        self._cross_origin = cross_origin
        self._record = record
        self._keeps_bodies = keeps_bodies
        self._clock = clock
        self._headers = _COMMON_HEADERS | (_TLS_HEADERS if over_tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other kinds of connection pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        if method == "HEAD":
            # A copy, since the server tells from its own scope that the answer has no body.
            scope = {**scope, "method": "GET"}
        request = Request(scope)
        given = request.headers.get(HEADER, "")
        request_id = given if _ACCEPTED.match(given) else str(mint())
        visit = Visit(self._admission)
        scope.setdefault("state", {}).update(request_id=request_id, visit=visit, method=method)
        began = time.perf_counter()
        exchange = Exchange(scope, receive, send, began_at=self._clock())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # The work is done; a client that reads slowly keeps no place.
                visit.leave(int(headers.get("content-length", 0)))
                if "is_live" in scope["state"]:
                    # The end of a tail tells how long its reader stayed.
                    exchange.seconds = time.perf_counter() - began
                headers[HEADER] = request_id
                headers.add_vary_header("Origin")
                headers.update(await self._cross_origin.headers(request))
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if standings := scope["state"].get("standings"):
                    headers.update(rate_limits.headers_of(standings))
            elif method == "HEAD":
                message = {**message, "body": b""}
            await exchange.send(message)

        work = CancelScope()
        extensions = scope.get("extensions", {})
        gone: asyncio.Future[None] | None = extensions.get(DISCONNECTED)
        unread: AnnalsError | None = extensions.get(REFUSED)

        def give_up(_: object) -> None:
            if exchange.status is None:
                work.cancel()

        if gone is not None:
            gone.add_done_callback(give_up)
        try:
            with work:
                if unread is not None:
                    refusal = await error_handlers.refused(request, unread)
                    await refusal(scope, exchange.receive, send_with_id)
                    return
                await visit.arrive(request)
                if is_preflight(request):
                    answer = await self._answer_to_preflight(request)
                    await answer(scope, exchange.receive, send_with_id)
                    return
                await self._app(scope, exchange.receive, send_with_id)
            if work.cancelled_caught:
                exchange.status = CLIENT_GONE
        except ClientDisconnect:
            exchange.status = CLIENT_GONE
        except asyncio.CancelledError:
            # The server is stopping, and the time that it waits for requests is over.
            if exchange.status is None:
                refusal = await error_handlers.given_up(request)
                await refusal(scope, exchange.receive, send_with_id)
            raise
        except Exception as error:
            log.exception("request failed", request_id=request_id, path=scope["path"])
            exchange.failed(error)
            if exchange.status is None:
                refusal = await error_handlers.unexpected(request)
                await refusal(scope, exchange.receive, send_with_id)
        finally:
            visit.leave()
            if gone is not None:
                gone.remove_done_callback(give_up)
            exchange.seconds = exchange.seconds or time.perf_counter() - began
            self._end(request, exchange)
            self._measure(request, exchange)

    async def _answer_to_preflight(self, request: Request) -> Response:
        try:
            return await self._cross_origin.preflight(request)
        except OriginNotAllowed as error:
            return await error_handlers.refused(request, error)

    def _end(self, request: Request, exchange: Exchange) -> None:
        state = request.scope["state"]
        caller, problem = state.get("caller"), state.get("problem")
        try:
            exchange.end(
                origin_of(request) if caller is None else caller.origin,
                caller,
                log_of(request, caller, problem),
                problem,
                referer=header_text(request, "referer"),
                route=_route(request.scope),
                keeps_bodies=self._keeps_bodies(request.scope),
            )
            if not _is_routine(request, exchange):
                self._record(exchange)
        except Exception:
            # The request has its answer: a failure to log it must not become a failure of the request.
            log.exception("a request has no row", request_id=request.state.request_id)

    def _measure(self, request: Request, exchange: Exchange) -> None:
        scope = request.scope
        route = _route(scope)
        status = exchange.status or 0
        method = request.state.method
        REQUESTS.labels(method, route, status).inc()
        DURATION.labels(method, route).observe(exchange.seconds)
        (log.debug if _is_routine(request, exchange) else log.info)(
            "request",
            request_id=request.state.request_id,
            method=method,
            # Cut: to search a path of 64 KB for secrets takes many milliseconds, and anybody may send one.
            path=None if exchange.origin is None else exchange.origin.endpoint,
            status=status,
            milliseconds=round(exchange.seconds * 1000, 1),
            user=None if exchange.caller is None else exchange.caller.username,
        )
