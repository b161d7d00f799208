"""Around every request: its id, its measurement, its log line, and a problem where the code fails."""

import re
import time
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import handlers
from service.ids import mint
from service.metrics import DURATION, REQUESTS

HEADER = "x-request-id"
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")

log = structlog.get_logger("annals.access")


class RequestMiddleware:
    """Pure ASGI, so that streamed answers are not buffered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other kinds of connection pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _ACCEPTED.match(given) else str(mint())
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = 499
        except Exception:
            log.exception("request failed", request_id=request_id, path=scope["path"])
            if status == 0:
                refusal = await handlers.unexpected(Request(scope, receive))
                await refusal(scope, receive, send_with_id)
        finally:
            self._measure(scope, request_id, status, time.perf_counter() - began)

    def _measure(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        REQUESTS.labels(scope["method"], route, status).inc()
        DURATION.labels(scope["method"], route).observe(seconds)
        caller: Any = scope["state"].get("caller")
        log.info(
            "request",
            request_id=request_id,
            method=scope["method"],
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 1),
            user=None if caller is None else caller.username,
        )
