"""Limits of calls: failed logins of an address, calls of a key, calls of a subscription."""

from collections.abc import Iterable

from fastapi import Request

from service.domain.callers import Caller, Origin
from service.domain.errors import (
    KeyRateExceeded,
    SubscriptionRateExceeded,
    TooManyFailedLogins,
    Unauthenticated,
)
from service.http.requests import network_of
from service.runtime.clock import Clock
from service.runtime.rate_limits import RateLimit, Standing
from service.runtime.settings import OFF, Settings


class RateLimits:
    """Limits that the settings set; each process counts alone, up to its share of a limit."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        def limit(name: str, rate: str) -> RateLimit | None:
            return None if rate == OFF else RateLimit(name, rate, clock, processes=settings.workers)

        self._failed_logins = limit("failed-logins", settings.failed_logins)
        self._key = limit("key", settings.key_rate)
        self._subscription = limit("subscription", settings.subscription_rate)

    def count_failed_login(self, request: Request, origin: Origin, refused: Unauthenticated) -> None:
        """Count a failed login of an address; raises TooManyFailedLogins.

        The key was compared nevertheless: others behind the same address have to be answered.
        """
        if self._failed_logins is not None:
            standing = _counted(request, self._failed_logins, network_of(origin.ip_address))
            if not standing.is_within:
                raise TooManyFailedLogins(refused, retry_after=standing.reset_seconds) from refused

    def count_call(self, request: Request, caller: Caller) -> None:
        """Count a call of a key and its subscription; raises KeyRateExceeded or SubscriptionRateExceeded."""
        if self._key is not None:
            standing = _counted(request, self._key, str(caller.key_id))
            if not standing.is_within:
                raise KeyRateExceeded(
                    _exceeded("This API key has", standing), retry_after=standing.reset_seconds
                )
        if self._subscription is not None and caller.subscription_id is not None:
            standing = _counted(request, self._subscription, str(caller.subscription_id))
            if not standing.is_within:
                raise SubscriptionRateExceeded(
                    _exceeded("The keys of this subscription have", standing),
                    retry_after=standing.reset_seconds,
                )


def _counted(request: Request, limit: RateLimit, who: str) -> Standing:
    standing = limit.count(who)
    scope_state = request.scope["state"]
    scope_state["standings"] = (*scope_state.get("standings", ()), standing)
    return standing


def _exceeded(who: str, standing: Standing) -> str:
    return (
        f"{who} made the {standing.quota} calls that are permitted in {standing.window_seconds} s: "
        f"try again in {standing.reset_seconds} s."
    )


def headers_of(standings: Iterable[Standing]) -> dict[str, str]:
    """Make the headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10)."""
    return {
        "RateLimit-Policy": ", ".join(f'"{s.name}";q={s.quota};w={s.window_seconds}' for s in standings),
        "RateLimit": ", ".join(f'"{s.name}";r={s.remaining};t={s.reset_seconds}' for s in standings),
    }
