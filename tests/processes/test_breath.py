"""Breath: a thread that works for long rests as often as it computes."""

import time

import pytest

from service.runtime.breath import Breath

Rests = list[float]


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> Rests:
    """Rests that were taken, in a time that passes by `worked` alone."""
    taken: Rests = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def worked(monkeypatch: pytest.MonkeyPatch, at: float) -> None:
    monkeypatch.setattr(time, "thread_time", lambda: at)


def test_a_rest_takes_as_long_as_the_work_before_it(rests: Rests, monkeypatch: pytest.MonkeyPatch) -> None:
    worked(monkeypatch, 1.0)
    breath = Breath()
    worked(monkeypatch, 1.0 + 2**-6)
    breath.take()
    worked(monkeypatch, 1.0 + 2**-6 + 2**-7)
    breath.take()
    assert rests == [2**-6, 2**-7]


def test_short_work_is_added_up_until_it_is_worth_a_rest(
    rests: Rests, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked(monkeypatch, 1.0)
    breath = Breath()
    for number in range(1, 5):
        worked(monkeypatch, 1.0 + number * 2**-10)
        breath.take()
    assert rests == [3 * 2**-10]
