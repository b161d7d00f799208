"""Streams beside others that need the same rows: nobody waits for one that is under way, and none is lost."""

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Barrier, Event
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.domain.errors import Busy
from service.domain.ids import SubscriptionId
from service.http.event_preparation import Block, EventReader, prepared_ahead
from service.http.schemas.audit_logs import NewAuditEvent
from service.http.schemas.data_changes import NewDataChangeEvent
from service.usecases import posted_events, recording
from service.usecases.audit_logs import EVENTS
from service.usecases.data_changes import CHANGES
from service.usecases.recording import Prepared, RecordedBody
from sql.database import Database
from sql.queries.posted_events import HeldAddresses
from tests.support.api import Json, Server, Tenant, ok
from tests.support.streams import arrival_of, lines
from tests.support.waiting import waits_for_a_lock

Blocks = Generator[Prepared[Any] | None, None, None]


def event(actor: str | None = None, **fields: Any) -> Json:
    """Make an event of an actor who has an address."""
    by = {} if actor is None else {"actor": {"id": actor, "email": f"{actor}@example.org"}}
    return {"action": "LOGIN", "resource_type": "session"} | by | fields


def change(record_id: str) -> Json:
    """Make a change of a record."""
    return {"table_name": "orders", "record_id": record_id, "change_type": "INSERT", "new_data": {"a": 1}}


@dataclass(frozen=True)
class Sender:
    """Sender of streams whose blocks come when the test wants it."""

    tenant: Tenant
    kind: Any = EVENTS
    model: Any = NewAuditEvent

    def prepared(self, events: Sequence[Json]) -> Prepared[Any]:
        """Prepare a block."""
        reader = EventReader(model=self.model, kind=self.kind, arrival=arrival_of(self.tenant), skips=False)
        return reader.block(Block(1, lines(events)))

    def record(self, blocks: Callable[[], Blocks], *, is_long: bool = False) -> RecordedBody:
        """Store a stream."""
        context = self.tenant.server.context
        arrival = arrival_of(self.tenant)
        return recording.record(context, arrival, self.kind, blocks, once=None, is_long=is_long)


def email_of(tenant: Tenant, actor: str) -> Any:
    """Return the address of an actor."""
    rows = tenant.server.database.rows(
        "SELECT email FROM reported_actors WHERE subscription_id = %s AND actor_id = %s",
        tenant.subscription_id,
        actor,
    )
    return rows[0][0] if rows else None


def erase(tenant: Tenant, actor: str) -> bool:
    """Erase the address of an actor."""
    subscription_id = SubscriptionId(UUID(tenant.subscription_id))
    return posted_events.erase_address(tenant.server.context, subscription_id, actor)


def test_an_actor_of_a_stream_under_way_is_named_by_another_post(tenant: Tenant) -> None:
    sender = Sender(tenant)

    def blocks() -> Blocks:
        yield sender.prepared([event("zoe")])
        later = event("zoe") | {"actor": {"id": "zoe", "email": "new@example.org"}}
        ok(tenant.ben.post(f"{tenant.path}/audit-logs", later), 201)
        yield sender.prepared([event("kim")])

    assert sender.record(blocks).accepted == 2
    # The stream ended last.
    assert (email_of(tenant, "zoe"), email_of(tenant, "kim")) == ("zoe@example.org", "kim@example.org")


def test_an_address_that_is_erased_during_a_stream_stays_erased(tenant: Tenant) -> None:
    sender = Sender(tenant)

    def blocks() -> Blocks:
        yield sender.prepared([event("zoe")])
        assert erase(tenant, "zoe")
        yield sender.prepared([event("zoe")])

    assert sender.record(blocks).accepted == 2
    assert email_of(tenant, "zoe") is None


def test_the_latest_of_very_many_addresses_is_stored(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sql.queries.posted_events.MOST_IN_MEMORY", 3)
    erased = ok(tenant.ben.post(f"{tenant.path}/audit-logs", event("erased")), 201)
    assert erased["accepted"] == 1
    assert erase(tenant, "erased")
    with tenant.server.context.database.transaction(UUID(tenant.subscription_id)) as tx:
        held = HeldAddresses(tx, UUID(tenant.subscription_id))
        for turn in range(4):
            for actor in ("zoe", "kim", "erased", *(f"u{turn}{number}" for number in range(3))):
                held.add({actor: f"{actor}{turn}@example.org"})
        held.store()
    assert [email_of(tenant, name) for name in ("zoe", "kim", "erased", "u12")] == [
        "zoe3@example.org",
        "kim3@example.org",
        None,
        "u121@example.org",
    ]


CROSSING = [
    (Sender, event("a"), event("b"), 1),
    (Sender, event(event_id="a"), event(event_id="b"), 0),
    (lambda tenant: Sender(tenant, CHANGES, NewDataChangeEvent), change("a"), change("b"), 1),
]


@pytest.mark.parametrize(
    ("sender_of", "first", "second", "again"), CROSSING, ids=["actors", "ids", "records"]
)
def test_streams_with_the_same_rows_in_other_orders_are_both_stored(
    tenant: Tenant, sender_of: Callable[[Tenant], Sender], first: Json, second: Json, again: int
) -> None:
    sender, met = sender_of(tenant), Barrier(2)

    def stream(events: list[Json]) -> RecordedBody:
        is_first = Event()

        def blocks() -> Blocks:
            yield sender.prepared(events[:1])
            if not is_first.is_set():
                is_first.set()
                met.wait(30)
            yield sender.prepared(events[1:])

        return sender.record(blocks)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(stream, ([first, second], [second, first])))
    assert sorted(each.accepted for each in found) == sorted((2, 2 * again))


def test_a_long_stream_waits_for_the_turn_of_another_with_the_same_ids(tenant: Tenant) -> None:
    sender, is_begun, may_end = Sender(tenant), Event(), Event()
    sent = [event(event_id=str(uuid4())) for _ in range(3)]

    def slow() -> Blocks:
        yield sender.prepared(sent)
        is_begun.set()
        may_end.wait(30)
        yield None

    def same() -> Blocks:
        is_begun.wait(30)
        yield sender.prepared(sent)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(sender.record, slow, is_long=True)
        second = pool.submit(sender.record, same, is_long=True)
        is_begun.wait(30)
        time.sleep(1)
        # A wait for a lock would end in an error after some seconds.
        waits = (second.done(), waits_for_a_lock(tenant.server.database))
        may_end.set()
        assert waits == (False, False)
        assert (first.result().accepted, second.result().accepted, second.result().duplicates) == (3, 0, 3)


def test_a_long_stream_whose_turn_does_not_come_stores_nothing_and_may_be_sent_again(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recording.TURN_SECONDS == 60
    monkeypatch.setattr("service.usecases.recording.TURN_SECONDS", 0.3)
    sender, is_begun, may_end = Sender(tenant), Event(), Event()

    def slow() -> Blocks:
        yield sender.prepared([event(event_id="first")])
        is_begun.set()
        may_end.wait(30)
        yield None

    def later() -> Blocks:
        yield sender.prepared([event(event_id="second")])

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sender.record, slow, is_long=True)
        assert is_begun.wait(30)
        try:
            with pytest.raises(Busy, match="take too long; nothing was stored"):
                sender.record(later, is_long=True)
            assert not first.done(), "the stream that has the turn goes on"
        finally:
            may_end.set()
        assert first.result().accepted == 1
    # Nothing of it was stored: else it would be a duplicate now.
    again = sender.record(later, is_long=True)
    assert (again.accepted, again.duplicates) == (1, 0)


@pytest.fixture
def impatient(server: Server) -> Any:
    """Database that ends transactions which are idle for half a second."""
    database = Database(server.database.url, pool_size=2, idle_seconds=0.5)
    yield database
    database.close()


def slow_block(sender: Sender) -> Callable[[Block], Prepared[Any]]:
    """Make a way to prepare that takes longer than a transaction may be idle."""

    def prepare(block: Block) -> Prepared[Any]:
        time.sleep(1.5)
        return sender.prepared([event()])

    return prepare


def test_a_stream_whose_blocks_take_long_to_prepare_is_stored(
    tenant: Tenant, impatient: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.event_preparation.BEAT_SECONDS", 0.1)
    monkeypatch.setattr("service.usecases.recording.BEAT_SECONDS", 0.1)
    sender = Sender(tenant)
    context = replace(tenant.server.context, database=impatient)
    found = recording.record(
        context,
        arrival_of(tenant),
        EVENTS,
        lambda: prepared_ahead(iter([Block(line, b"{}") for line in range(4)]), slow_block(sender)),
        once=None,
    )
    assert found.accepted == 4


def test_a_refused_stream_does_not_wait_for_work_on_its_further_blocks(tenant: Tenant) -> None:
    sender, is_over, finished = Sender(tenant), Event(), Event()

    def prepare(block: Block) -> Prepared[Any]:
        if block.first_line > 0:
            is_over.wait(30)
            finished.set()
        return sender.prepared([event()])

    ahead = prepared_ahead(iter([Block(line, b"{}") for line in range(4)]), prepare)
    next(ahead)
    ahead.close()
    assert not finished.is_set()
    is_over.set()
