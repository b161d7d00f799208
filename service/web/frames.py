"""Frame of every page: who looks, in which subscription, at which time, and where else to go."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from fastapi import Request

from service.domain.callers import Caller, Right, SubscriptionState
from service.http.requests import context_of
from service.web import words
from service.web.cookies import theme_of, zone_of
from service.web.notices import NOTICES

# Rights that nobody has in a closed subscription; the settings tell of their own changes themselves.
_OF_OPEN = frozenset({Right.WRITE, Right.FORCE, Right.PURGE})


def frame(request: Request, caller: Caller | None, *, base: str = "", tenant: str = "") -> dict[str, Any]:
    """Make the values of every template; `base` is empty for a page outside of any subscription."""
    zone = zone_of(request)
    now = context_of(request).clock()
    is_closed = caller is not None and caller.subscription_state is not SubscriptionState.OPEN

    def may(right: str) -> bool:
        return (
            caller is not None and caller.may(Right[right]) and not (is_closed and Right[right] in _OF_OPEN)
        )

    def clock(value: datetime) -> str:
        return words.clock(value, zone)

    def ago(value: datetime) -> str:
        return words.ago(value, now)

    return {
        "path": request.scope["path"],
        "caller": caller,
        "theme": theme_of(request),
        "zone": zone.key,
        "now": now,
        "clock": clock,
        "ago": ago,
        "may": may,
        "is_closed": is_closed,
        "base": base,
        "tenant": tenant,
        "once": str(uuid4()),
        # The id of a request whose answer shows its form again; problem pages show theirs themselves.
        "refused_request": None,
        "notice": NOTICES.get(request.query_params.get("done", "")),
    }
