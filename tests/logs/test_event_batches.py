"""Batches of events, which a thread makes rows of while others wait for the interpreter."""

import time

import pytest

from service.usecases.event_batches import EventBatch


def test_a_thread_that_makes_many_rows_rests_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = [0.0]
    rests: list[float] = []
    monkeypatch.setattr(time, "thread_time", lambda: computed[0])
    monkeypatch.setattr(time, "sleep", rests.append)

    def made(event: int) -> int:
        computed[0] += 0.0004
        return 2 * event

    found = EventBatch(range(1_000), is_single=False).map(made)
    assert found.events == [2 * number for number in range(1_000)]
    assert len(rests) >= 100
    assert max(rests) < 0.005
