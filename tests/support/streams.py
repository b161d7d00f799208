"""Streams of events: one event a line."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson

from service.domain.callers import Caller, Origin, Role
from service.domain.ids import SubscriptionId, UserId
from service.usecases.event_batches import Arrival
from tests.support.api import Json, Tenant, ok, refused

NDJSON = "application/x-ndjson"


def lines(events: Sequence[Json]) -> bytes:
    """Write events as lines."""
    return b"".join(orjson.dumps(event) + b"\n" for event in events)


def send(
    tenant: Tenant, body: bytes | Iterator[bytes], log: str = "execution-logs", **how: Any
) -> httpx.Response:
    """Post a stream as an editor."""
    headers = {"content-type": NDJSON} | how.pop("headers", {})
    return tenant.ben.post(f"{tenant.path}/{log}", content=body, headers=headers, **how)


def check_lines(tenant: Tenant, log: str, events: Sequence[Json], stored: Callable[[], list[Json]]) -> None:
    """Check that lines are stored, and none of them if one is bad, which is named."""
    bad = send(tenant, lines(events) + b'{"source": 7}', log)
    assert {error["line"] for error in refused(bad, 422, "invalid")["errors"]} == {len(events) + 1}
    assert stored() == []
    assert ok(send(tenant, lines(events), log), 201) == {"accepted": len(events)}
    assert len(stored()) == len(events)


def arrival(subscription_id: SubscriptionId | None = None, user_id: UserId | None = None) -> Arrival:
    """Make the arrival of events that an editor sends now."""
    subscription_id = subscription_id or SubscriptionId(uuid4())
    origin = Origin(request_id="r-1", ip_address=None, user_agent=None, endpoint="/", method="POST")
    caller = Caller(
        user_id=user_id or UserId(uuid4()),
        username="ben",
        role=Role.EDITOR,
        subscription_id=subscription_id,
        origin=origin,
    )
    return Arrival(caller=caller, subscription_id=subscription_id, at=datetime.now(UTC))


def arrival_of(tenant: Tenant) -> Arrival:
    """Make the arrival of events that a tenant's editor sends now."""
    return arrival(SubscriptionId(UUID(tenant.subscription_id)), UserId(UUID(tenant.ben.user_id)))
