"""Repeats of equal things are counted within bounds."""

from datetime import UTC, datetime, timedelta

import pytest

from service.runtime import repeats
from service.runtime.repeats import Likeness, Repeated, Repeats


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def told(counts: Repeats[str], who: str, what: str) -> bool:
    """Tell of a thing; returns if it is told at once."""
    beginning = counts.beginning(Likeness(who, what, "short"))
    if beginning is not None:
        counts.begin(beginning, f"{who} {what}" if beginning.is_exact else "short")
    return beginning is not None


def test_the_first_is_told_and_the_others_are_counted_until_the_window_ends(time: Time) -> None:
    counts: Repeats[str] = Repeats(time)
    assert [told(counts, "a", "x") for _ in range(3)] == [True, False, False]
    assert told(counts, "a", "y")
    assert counts.ended() == []
    time.now += repeats.WINDOW
    assert counts.ended() == [Repeated("a x", 2)]
    assert len(counts) == 0
    assert told(counts, "a", "x")


def test_a_window_that_nobody_has_looked_at_ends_nevertheless(time: Time) -> None:
    counts: Repeats[str] = Repeats(time)
    assert [told(counts, "a", "x") for _ in range(2)] == [True, False]
    time.now += repeats.WINDOW
    assert told(counts, "a", "x")
    assert counts.ended() == [Repeated("a x", 1)]


def test_a_clock_that_is_set_back_ends_every_window(time: Time) -> None:
    counts: Repeats[str] = Repeats(time)
    assert [told(counts, "a", "x") for _ in range(2)] == [True, False]
    time.now -= timedelta(hours=1)
    assert told(counts, "a", "x")


@pytest.mark.parametrize(("bound", "whose"), [("MAX_WINDOWS", "abcdef"), ("MAX_WINDOWS_OF_ONE", "aaaaaa")])
def test_what_has_no_room_is_counted_in_short(
    time: Time, monkeypatch: pytest.MonkeyPatch, bound: str, whose: str
) -> None:
    monkeypatch.setattr(repeats, bound, 2)
    counts: Repeats[str] = Repeats(time)
    at_once = [told(counts, who, str(number)) for number, who in enumerate(whose)]
    assert at_once == [True, True, True, False, False, False]
    assert counts.ended(also_open=True) == [Repeated("short", 3)]


def test_while_nobody_takes_what_has_ended_no_more_is_kept_than_the_bound(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MAX_WINDOWS", 2)
    counts: Repeats[str] = Repeats(time)
    at_once = 0
    for _ in range(10):
        at_once += told(counts, "a", "x") + told(counts, "a", "x")
        time.now += repeats.WINDOW
    assert len(counts) == 3
    assert sum(found.occurrences for found in counts.ended(also_open=True)) == 20 - at_once
