"""Calls of web pages of other origins: which pages a browser lets call, and read the answer (Fetch, 3.2)."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from fastapi import Request, Response

from service.domain import ids
from service.domain.errors import OriginNotAllowed
from service.domain.idempotency import HEADER as IDEMPOTENCY_KEY
from service.http.requests import CHANGE_REASON, is_of_pages

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
TAKEN = (
    *("Authorization", "Content-Type", "If-Match", "If-None-Match"),
    *(IDEMPOTENCY_KEY, CHANGE_REASON, "X-Request-Id"),
)
SHOWN = (
    *("Allow", "Content-Disposition", "ETag", "Link", "Location", "RateLimit", "RateLimit-Policy"),
    *("Retry-After", "WWW-Authenticate", "X-Request-Id"),
)
# Browsers keep the answer to a preflight for so long: Chromium's longest time is two hours. An origin that is
# removed may send changes for as long, though it can't read the answers.
MAX_AGE_SECONDS = 600

# Calls below a subscription for which only the operator has the right.
_OF_OPERATOR = frozenset({"close", "reopen"})

_PREFLIGHT = {
    "Access-Control-Allow-Methods": ", ".join(METHODS),
    "Access-Control-Allow-Headers": ", ".join(TAKEN),
    "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
}


class CrossOrigin:
    """Origins that the installation allows on every path but pages, and each subscription on its own.

    No answer allows credentials: a page has to have a key, and a browser adds none by itself.
    """

    def __init__(
        self, everywhere: frozenset[str], origins_of: Callable[[UUID], Awaitable[frozenset[str]]]
    ) -> None:
        self._everywhere = everywhere
        self._origins_of = origins_of

    async def headers(self, request: Request) -> dict[str, str]:
        """Headers that let the page which called read the answer; none for a page that may not."""
        origin = request.headers.get("origin")
        if origin is None or not await self._allows(request, origin):
            return {}
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": ", ".join(SHOWN)}

    async def preflight(self, request: Request) -> Response:
        """Answer the question of a browser if it may call; raises OriginNotAllowed.

        The answer is one for all paths, methods and headers, so that it tells nothing about what exists.
        """
        if not await self._allows(request, request.headers["origin"]):
            raise OriginNotAllowed(
                "Pages of this origin may not call this address: an admin of the subscription adds it by "
                'PATCH S {"cors_origins": […]}, the operator by ANNALS_CORS_ORIGINS for all addresses.'
            )
        return Response(status_code=204, headers=_PREFLIGHT)

    async def _allows(self, request: Request, origin: str) -> bool:
        path = request.scope["path"]
        if origin in self._everywhere:
            return not is_of_pages(path)
        match path.split("/"):
            case ["", "v1", "subscriptions", named, *rest] if _OF_OPERATOR.isdisjoint(rest[:1]):
                subscription_id = ids.parse(named)
                return subscription_id is not None and origin in await self._origins_of(subscription_id)
        return False


def is_preflight(request: Request) -> bool:
    """Tell if a browser asks for permission to call."""
    names = request.headers
    return request.method == "OPTIONS" and "origin" in names and "access-control-request-method" in names
