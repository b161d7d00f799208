"""A value that all share: made once a second, whoever asks, and never waited for by more than one thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from service.runtime.probe import Probe

AT = datetime(2026, 11, 30, tzinfo=UTC)
SECONDS = 10


class Counted:
    """A maker of numbers that can be held up, and a clock that stands still."""

    def __init__(self) -> None:
        self.made = 0
        self.at = AT
        self.may_end = threading.Event()
        self.may_end.set()

    def make(self) -> int:
        assert self.may_end.wait(SECONDS)
        self.made += 1
        return self.made

    def probe(self) -> Probe[int]:
        return Probe("test", self.make, lambda: self.at)

    @contextmanager
    def held_up(self) -> Iterator[None]:
        self.may_end.clear()
        yield
        self.may_end.set()


def test_a_value_is_made_once_for_all_who_ask_within_a_second() -> None:
    counted = Counted()
    probe = counted.probe()
    assert [probe.asked().result(SECONDS) for _ in range(64)] == [1] * 64


@pytest.mark.parametrize("by", [timedelta(seconds=1.1), timedelta(days=-365 * 60)])
def test_a_value_is_made_anew_when_the_clock_has_moved(by: timedelta) -> None:
    counted = Counted()
    probe = counted.probe()
    probe.asked().result(SECONDS)
    counted.at += by
    assert probe.asked().result(SECONDS) == 2


def test_all_wait_for_the_one_that_is_being_made() -> None:
    counted = Counted()
    probe = counted.probe()
    with counted.held_up():
        waiting = [probe.asked() for _ in range(64)]
        assert len({id(each) for each in waiting}) == 1
        assert probe.seconds() >= 0
    assert waiting[0].result(SECONDS) == 1


def test_who_asks_gets_the_error_and_a_later_one_a_new_value() -> None:
    counted = Counted()

    def fails() -> int:
        raise LookupError("nothing there")

    probe = Probe("test", fails, lambda: counted.at)
    with pytest.raises(LookupError):
        probe.asked().result(SECONDS)
    probe._make = counted.make
    counted.at += timedelta(seconds=2)
    assert probe.asked().result(SECONDS) == 1
