"""Refused requests: their likeness, by which the server log finds repeats."""

from dataclasses import replace

from service.domain.callers import Role
from service.domain.errors import Forbidden, SubscriptionNotFound, TooManyRequests, leaves
from service.http.requests import network_of
from service.http.server_log.exchange import UNMATCHED, Exchange
from service.runtime.repeats import Likeness

# Refusals of callers with a good key that count as repeats. Those of unknown callers all do.
_OF_KNOWN_CALLERS = frozenset(
    error.code for error in leaves() if issubclass(error, Forbidden | SubscriptionNotFound | TooManyRequests)
)
# The operator is no stranger in any subscription.
_OF_OPERATOR = _OF_KNOWN_CALLERS - {SubscriptionNotFound.code}


def likeness_of(exchange: Exchange) -> Likeness | None:
    """Likeness of a refused request; None for one whose row is written in any case."""
    status, code, origin, caller = exchange.status, exchange.code, exchange.origin, exchange.caller
    if status is None or not 400 <= status < 500 or origin is None:
        return None
    if caller is not None and code not in (
        _OF_OPERATOR if caller.role is Role.OPERATOR else _OF_KNOWN_CALLERS
    ):
        return None
    network = network_of(origin.ip_address)
    name = network if caller is None else caller.username
    # A path that no route has tells a scanner's interests.
    path = origin.endpoint if exchange.route == UNMATCHED else exchange.route
    of, key_id = exchange.subscription_id, None if caller is None else caller.key_id
    return Likeness(
        who=(of, caller is None, name),
        what=(network, key_id, status, code, origin.method, path),
        in_short=(of, None if caller is None else name, status, code),
    )


def in_short(exchange: Exchange) -> Exchange:
    """Make the exchange that stands for others of another path, and of another address if it is unknown."""
    found = exchange.in_brief()
    assert found.origin is not None  # noqa: S101 - it has a likeness
    found.origin = replace(found.origin, endpoint="")
    if found.caller is None:
        found.origin = replace(found.origin, ip_address=None, user_agent=None)
    return found
