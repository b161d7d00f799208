"""The group commit: the order of batches, the bounds of the queues, and the stop."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from gitstore import failpoints
from service.committer import group_commit as group_module
from service.committer.batch import Outcome
from service.committer.changes import Save, Written
from service.committer.frames import Beat
from service.committer.group_commit import GroupCommit
from service.domain.errors import Busy, ResourceNotFound
from service.domain.ids import SubscriptionId
from service.runtime import recent_keys
from tests.support.api import Json, Server, Tenant, refused
from tests.support.changes import resource_id, save, unknown
from tests.support.group_commits import committing, held, until_taken
from tests.support.histories import check_history
from tests.support.waiting import until

SECONDS = 30


class Sender:
    """Hands changes over and notes their outcomes, and when they arrive."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.order: list[int] = []
        self.times: dict[int, float] = {}
        self.deliveries: list[list[int]] = []
        self.gone: set[int] = set()
        self._changed = threading.Condition()

    def still_wants(self, number: int) -> bool:
        return number not in self.gone

    def deliver(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        with self._changed:
            self.deliveries.append([number for number, _ in outcomes])
            for number, outcome in outcomes:
                self.outcomes[number] = outcome
                self.order.append(number)
                self.times[number] = time.monotonic()
            self._changed.notify_all()

    def wait(self, *numbers: int) -> list[Outcome]:
        """Wait for the outcomes of these changes."""
        with self._changed:
            assert self._changed.wait_for(lambda: set(numbers) <= self.outcomes.keys(), SECONDS)
            return [self.outcomes[number] for number in numbers]

    def written(self, *numbers: int) -> list[int]:
        """The versions that these changes made."""
        found = []
        for outcome in self.wait(*numbers):
            assert isinstance(outcome, Written), outcome
            found.append(outcome.version.version_number)
        return found


def put_saves(
    group: GroupCommit, sender: Sender, tenant: Tenant, workflow: Json, count: int, first: int = 0
) -> range:
    numbers = range(first, first + count)
    for number in numbers:
        group.put(save(tenant, workflow, {"n": number}), sender, number)
    return numbers


@contextmanager
def begun(group: GroupCommit, sender: Sender, tenant: Tenant, workflow: Json) -> Iterator[None]:
    """Block change 0 while it is written: later changes wait until the block ends."""
    with held(tenant):
        put_saves(group, sender, tenant, workflow, 1)
        until_taken(group)
        yield


def test_what_comes_while_a_batch_is_written_is_one_batch_in_its_order(tenant: Tenant) -> None:
    workflow, sender = tenant.workflow(), Sender()
    with committing(tenant.server) as group:
        with begun(group, sender, tenant, workflow):
            put_saves(group, sender, tenant, workflow, 10, first=1)
        assert sender.written(*range(11)) == list(range(2, 13))
    assert sender.deliveries == [[0], list(range(1, 11))]
    check_history(tenant)


def test_batches_of_two_subscriptions_run_side_by_side_and_those_of_one_do_not(
    tenant: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs, sender = tenant.workflow(), stranger.workflow(), Sender()
    with committing(tenant.server) as group:
        put_saves(group, sender, tenant, ours, 1, first=100)
        put_saves(group, sender, stranger, theirs, 1, first=101)
        sender.wait(100, 101)
        monkeypatch.setattr(failpoints, "_actions", failpoints.parse("batch-planned:delay:1000"))
        put_saves(group, sender, tenant, ours, 1, first=0)
        put_saves(group, sender, stranger, theirs, 1, first=1)
        until_taken(group)
        time.sleep(0.1)
        put_saves(group, sender, tenant, ours, 1, first=2)
        sender.wait(0, 1, 2)
    # One after the other, they would be a delay apart.
    assert abs(sender.times[0] - sender.times[1]) < 1
    assert sender.times[2] - sender.times[0] >= 1


def test_a_subscription_that_another_host_holds_does_not_hold_up_the_others(
    tenant: Tenant, stranger: Tenant
) -> None:
    ours, theirs, sender = tenant.workflow(), stranger.workflow(), Sender()
    with committing(tenant.server) as group:
        with begun(group, sender, tenant, ours):
            put_saves(group, sender, stranger, theirs, 5, first=10)
            assert all(sender.written(*range(10, 15)))
            assert 0 not in sender.outcomes
        sender.wait(0)


def test_as_many_subscriptions_as_are_written_at_once_can_be_held_without_holding_up_another(
    server: Server,
) -> None:
    tenants, sender = [Tenant(server, f"tenant {n}") for n in range(group_module.AT_ONCE + 1)], Sender()
    workflows = [tenant.workflow() for tenant in tenants]
    with committing(server) as group:
        with ExitStack() as holding:
            for number, (tenant, workflow) in enumerate(zip(tenants[1:], workflows[1:], strict=True)):
                holding.enter_context(held(tenant))
                put_saves(group, sender, tenant, workflow, 1, first=number)
            assert sender.written(*put_saves(group, sender, tenants[0], workflows[0], 3, first=10))
            assert sorted(sender.outcomes) == [10, 11, 12]
        assert sender.written(*range(group_module.AT_ONCE)) == [2] * group_module.AT_ONCE


def test_one_callers_refused_change_fails_no_other(tenant: Tenant) -> None:
    workflow, one, other = tenant.workflow(), Sender(), Sender()
    with committing(tenant.server) as group:
        with held(tenant):
            put_saves(group, one, tenant, workflow, 1, first=100)
            until_taken(group)
            for number in range(8):
                if number % 3 == 0:
                    group.put(unknown(tenant), other, number)
                else:
                    put_saves(group, one, tenant, workflow, 1, first=number)
        assert len(one.written(1, 2, 4, 5, 7)) == 5
        assert [type(outcome) for outcome in other.wait(0, 3, 6)] == [ResourceNotFound] * 3
    # Each sender gets its own outcomes, all of a batch at once.
    assert (one.deliveries, other.deliveries) == ([[100], [1, 2, 4, 5, 7]], [[0, 3, 6]])


def test_past_the_number_that_may_wait_a_change_is_refused_and_nothing_of_it_is_written(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "MAX_WAITING", 6)
    workflow, sender = tenant.workflow(), Sender()
    with committing(tenant.server) as group:
        with begun(group, sender, tenant, workflow):
            put_saves(group, sender, tenant, workflow, 3, first=1)
            for _ in range(3):
                with pytest.raises(Busy):
                    put_saves(group, sender, tenant, workflow, 1, first=9)
        assert sender.written(0, 1, 2, 3) == [2, 3, 4, 5]
        # There is room again.
        assert sender.written(*put_saves(group, sender, tenant, workflow, 1, first=10)) == [6]
    assert 9 not in sender.outcomes
    check_history(tenant)


def test_past_the_bytes_that_may_wait_a_change_is_refused_unless_it_would_wait_alone(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "MAX_WAITING_BYTES", 1000)
    workflow, sender = tenant.workflow(), Sender()

    def large(number: int) -> Save:
        return save(tenant, workflow, {"n": number, "text": "x" * 600})

    with committing(tenant.server) as group:
        with held(tenant):
            group.put(save(tenant, workflow, {"text": "x" * 5000}), sender, 0)
            until_taken(group)
            group.put(large(1), sender, 1)
            with pytest.raises(Busy):
                group.put(large(2), sender, 2)
        assert sender.written(0, 1) == [2, 3]


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING", 8), ("MAX_WAITING_BYTES", 5200)])
def test_a_subscription_that_fills_its_share_leaves_room_for_every_other(
    tenant: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(group_module, limit, value)
    monkeypatch.setattr(group_module, "WRITERS", 1)
    ours, theirs, sender = tenant.workflow(), stranger.workflow(), Sender()

    def fill(whose: Tenant, workflow: Json, first: int) -> int:
        for number in range(first, first + 10):
            try:
                group.put(save(whose, workflow, {"n": number, "text": "x" * 600}), sender, number)
            except Busy:
                return number - first
        raise AssertionError("nothing was refused")

    with committing(tenant.server) as group, begun(group, sender, tenant, ours):
        # Half of all, and half of what is left.
        assert fill(tenant, ours, 1) == 4
        assert fill(stranger, theirs, 20) == 2
        assert fill(tenant, ours, 30) == 0


def test_beside_another_subscription_a_batch_is_smaller_and_the_other_waits_for_no_more_than_one(
    tenant: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "WRITERS", 1)
    monkeypatch.setattr(group_module, "MAX_BATCH_BYTES_BESIDE_OTHERS", 2000)
    monkeypatch.setattr(recent_keys, "REMEMBERED_SECONDS", 60)
    ours, theirs = tenant.workflow(), stranger.workflow()

    class Eager(Sender):
        """Sends the other's next save in the moment in which the last one has its outcome."""

        def deliver(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
            super().deliver(outcomes)
            number = outcomes[0][0]
            if 100 <= number < 104:
                put_saves(group, self, stranger, theirs, 1, first=number + 1)

    sender = Eager()
    with committing(tenant.server) as group:
        with begun(group, sender, tenant, ours):
            for number in range(1, 65):
                group.put(save(tenant, ours, {"n": number, "text": "x" * 600}), sender, number)
            put_saves(group, sender, stranger, theirs, 1, first=100)
        sender.wait(*range(65), *range(100, 105))
    assert sender.deliveries[:6] == [[0], [100], [1, 2, 3], [101], [4, 5, 6], [102]]
    # The rest is cut small, too, since the other was there just now.
    assert max(map(len, sender.deliveries)) == 3


@pytest.mark.parametrize(("limit", "value"), [("MAX_BATCH", 2), ("MAX_BATCH_BYTES", 1300)])
def test_a_batch_is_bounded_and_the_rest_comes_next(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(group_module, limit, value)
    workflow, sender = tenant.workflow(), Sender()
    with committing(tenant.server) as group:
        with begun(group, sender, tenant, workflow):
            for number in range(1, 6):
                group.put(save(tenant, workflow, {"n": number, "text": "x" * 600}), sender, number)
        assert sender.written(*range(1, 6)) == [3, 4, 5, 6, 7]
    assert sender.deliveries == [[0], [1, 2], [3, 4], [5]]


def test_subscriptions_take_turns(tenant: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "WRITERS", 1)
    monkeypatch.setattr(group_module, "MAX_BATCH", 2)
    ours, theirs, sender = tenant.workflow(), stranger.workflow(), Sender()
    with committing(tenant.server) as group:
        with begun(group, sender, tenant, ours):
            put_saves(group, sender, tenant, ours, 20, first=1)
            put_saves(group, sender, stranger, theirs, 3, first=50)
        sender.wait(*range(21), *range(50, 53))
    # Subscriptions take turns, however many changes wait.
    assert sender.deliveries[:5] == [[0], [50, 51], [1, 2], [52], [3, 4]]


def test_what_waits_when_it_is_stopped_is_written_and_then_nothing_is_taken(tenant: Tenant) -> None:
    workflow, sender = tenant.workflow(), Sender()
    with committing(tenant.server) as group:
        with begun(group, sender, tenant, workflow):
            put_saves(group, sender, tenant, workflow, 5, first=1)
            stopping = threading.Thread(target=group.stop)
            stopping.start()
            while group.is_alive():
                time.sleep(0.005)
            with pytest.raises(Busy):
                put_saves(group, sender, tenant, workflow, 1, first=9)
        stopping.join(SECONDS)
        assert not stopping.is_alive()
        assert sender.written(*range(6)) == [2, 3, 4, 5, 6, 7]
    check_history(tenant)


def test_a_change_whose_caller_gave_up_before_its_turn_is_not_written(tenant: Tenant) -> None:
    workflow, sender = tenant.workflow(), Sender()
    with committing(tenant.server) as group:
        with begun(group, sender, tenant, workflow):
            put_saves(group, sender, tenant, workflow, 3, first=1)
            sender.gone = {1, 3}
        assert sender.written(0, 2) == [2, 3]
        # Also if no caller of the batch is left.
        put_saves(group, sender, tenant, workflow, 1, first=3)
        assert sender.written(*put_saves(group, sender, tenant, workflow, 1, first=4)) == [4]
    assert sender.order == [0, 2, 4]


def test_a_failing_store_is_told_to_each_and_the_next_batch_works(tenant: Tenant) -> None:
    workflow, sender = tenant.workflow(), Sender()
    away = tenant.repository.with_suffix(".away")
    with committing(tenant.server) as group:
        tenant.repository.rename(away)
        try:
            with capture_logs() as logged:
                assert isinstance(sender.wait(*put_saves(group, sender, tenant, workflow, 1))[0], Exception)
        finally:
            away.rename(tenant.repository)
        assert [line["event"] for line in logged] == ["a batch failed"]
        assert sender.written(*put_saves(group, sender, tenant, workflow, 1, first=1)) == [2]


def test_a_batch_that_is_stuck_is_no_longer_alive_until_it_goes_on(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "STUCK_SECONDS", 0.05)
    workflow, sender = tenant.workflow(), Sender()
    with committing(tenant.server) as group:
        assert group.is_alive()
        with begun(group, sender, tenant, workflow):
            until(lambda: not group.is_alive())
        sender.wait(0)
        until(group.is_alive)
    assert not group.is_alive()


def test_its_beat_names_the_subscription_whose_batch_stands(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "STANDING_SECONDS", 0.05)
    workflow, sender = tenant.workflow(), Sender()
    with committing(tenant.server) as group:
        assert group.beat() == Beat(takes_changes=True)
        with begun(group, sender, tenant, workflow):
            until(lambda: group.beat().standing == frozenset([SubscriptionId(UUID(tenant.subscription_id))]))
        sender.wait(0)
        until(lambda: group.beat() == Beat(takes_changes=True))


def test_its_beat_says_so_if_batches_that_stand_have_all_writing_threads(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "STANDING_SECONDS", 0.05)
    monkeypatch.setattr(group_module, "WRITERS", 1)
    workflow, sender = tenant.workflow(), Sender()
    with committing(tenant.server) as group, begun(group, sender, tenant, workflow):
        until(lambda: group.beat().standing is None)


def test_few_repositories_stay_open(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "MAX_OPEN", 2)
    tenants, sender = [Tenant(server, f"tenant {n}") for n in range(4)], Sender()
    workflows = [tenant.workflow() for tenant in tenants]
    with committing(server) as group:
        for again in range(2):
            for number, (tenant, workflow) in enumerate(zip(tenants, workflows, strict=True)):
                key = again * 10 + number
                put_saves(group, sender, tenant, workflow, 1, first=key)
                assert sender.written(key) == [again + 2]
        assert len(group._idle) <= 2


def test_many_threads_on_many_subscriptions_lose_nothing(server: Server) -> None:
    tenants = [Tenant(server, f"tenant {n}") for n in range(6)]
    workflows = [tenant.workflow() for tenant in tenants]
    senders = [Sender() for _ in range(8)]

    with committing(server) as group:

        def work(sender: Sender) -> None:
            for number in range(30):
                index = number % len(tenants)
                change = save(tenants[index], workflows[index], {"n": number, "by": id(sender)})
                group.put(change, sender, number)
                if number % 7 == 0:
                    sender.wait(number)
            sender.written(*range(30))

        threads = [threading.Thread(target=work, args=(sender,)) for sender in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [len(sender.outcomes) for sender in senders] == [30] * 8
    for tenant, workflow in zip(tenants, workflows, strict=True):
        newest = tenant.ana.get(tenant.at(workflow)).json()["current_version"]
        assert newest == 1 + 8 * 5
        assert resource_id(workflow)
        check_history(tenant)


def test_past_the_bound_a_caller_is_told_to_come_back(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "MAX_WAITING", 4)
    workflow, caller = tenant.workflow(), tenant.ana
    path = f"{tenant.at(workflow)}/versions"

    def post(number: int) -> httpx.Response:
        return caller.post(path, {"data": {"n": number}}, headers={"idempotency-key": f"key {number}"})

    with ThreadPoolExecutor(8) as threads:
        with held(tenant):
            sent = [threads.submit(post, 0)]
            until_taken(tenant.server.context.committer._group)  # type: ignore[attr-defined]
            sent += [threads.submit(post, number) for number in range(1, 8)]
            busy: list[Future[httpx.Response]] = []
            deadline = time.monotonic() + SECONDS
            while len(busy) < 5 and time.monotonic() < deadline:
                busy = [each for each in sent if each.done()]
                time.sleep(0.01)
            for each in busy:
                answer = each.result()
                refused(answer, 503, "busy")
                assert int(answer.headers["retry-after"]) > 0
        assert [each.result().status_code for each in sent if each not in busy] == [201] * 3
    # Nothing was kept of refused changes: their keys can be used again.
    assert [post(sent.index(each)).status_code for each in busy] == [201] * 5
    check_history(tenant)
