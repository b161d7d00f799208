"""Cron expressions, read as cron reads them, in their time zones."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from service.domain.schedules import BadSchedule, Schedule
from service.usecases.maintenance.table import SCHEDULED_JOBS

# A Thursday.
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
FAR = START + timedelta(days=4000)


def first(cron: str, zone: str = "UTC", *, after: datetime = START, count: int = 3) -> list[str]:
    return [f"{slot:%a %d %b %H:%M:%S}" for slot in islice(Schedule(cron, zone).slots(after, FAR), count)]


@pytest.mark.parametrize(
    ("cron", "slots"),
    [
        ("15 2 * * *", ["Fri 02 Jan 02:15:00", "Sat 03 Jan 02:15:00", "Sun 04 Jan 02:15:00"]),
        ("*/20 * * * * *", ["Thu 01 Jan 12:00:20", "Thu 01 Jan 12:00:40", "Thu 01 Jan 12:01:00"]),
        # Cron counts the days from Sunday, which is 0 and 7.
        ("0 0 * * 0", ["Sun 04 Jan 00:00:00", "Sun 11 Jan 00:00:00", "Sun 18 Jan 00:00:00"]),
        ("0 0 * * 7", ["Sun 04 Jan 00:00:00", "Sun 11 Jan 00:00:00", "Sun 18 Jan 00:00:00"]),
        ("0 0 * * 1-5/2", ["Fri 02 Jan 00:00:00", "Mon 05 Jan 00:00:00", "Wed 07 Jan 00:00:00"]),
        ("0 0 * * fri-sun", ["Fri 02 Jan 00:00:00", "Sat 03 Jan 00:00:00", "Sun 04 Jan 00:00:00"]),
        ("0 0 * * */3", ["Sat 03 Jan 00:00:00", "Sun 04 Jan 00:00:00", "Wed 07 Jan 00:00:00"]),
        ("30 6 31 * *", ["Sat 31 Jan 06:30:00", "Tue 31 Mar 06:30:00", "Sun 31 May 06:30:00"]),
    ],
)
def test_slots_are_those_of_cron(cron: str, slots: list[str]) -> None:
    assert first(cron) == slots


def test_a_time_zone_moves_the_slots_also_over_its_change_of_clocks() -> None:
    # Berlin puts its clocks forward in the night to 29 March 2026, and back in that to 25 October.
    march, october = datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2026, 10, 23, 12, tzinfo=UTC)
    berlin = "Europe/Berlin"
    assert first("0 6 * * *", berlin, after=march) == [
        *("Sat 28 Mar 05:00:00", "Sun 29 Mar 04:00:00", "Mon 30 Mar 04:00:00")
    ]
    assert first("0 6 * * *", berlin, after=october) == [
        *("Sat 24 Oct 04:00:00", "Sun 25 Oct 05:00:00", "Mon 26 Oct 05:00:00")
    ]
    # What runs each hour does so in the hour that comes twice as well.
    night = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    assert [slot[-8:-6] for slot in first("0 * * * *", berlin, after=night)] == ["00", "01", "02"]


@pytest.mark.parametrize(
    ("cron", "zone", "field", "says"),
    [
        ("* * * *", "UTC", "cron", "five fields"),
        ("61 * * * *", "UTC", "cron", "can't be read"),
        ("* * * * 8", "UTC", "cron", "no day of the week"),
        ("* * * * 5-2", "UTC", "cron", "backwards"),
        ("* * * * 1/0", "UTC", "cron", "no step"),
        ("0 0 31 2 *", "UTC", "cron", "never"),
        ("0 0 1 * 1", "UTC", "cron", "together"),
        ("x * * * *", "UTC", "cron", "can't be read"),
        ("* * * * *", "Mars/Olympus", "time_zone", "no time zone"),
        ("* * * * *", "localtime", "time_zone", "no time zone"),
        ("٣ * * * *", "UTC", "cron", "five fields"),
        ("* * * * *", "../../etc/passwd", "time_zone", "no time zone"),
    ],
)
def test_what_is_no_schedule_is_refused_and_says_why(cron: str, zone: str, field: str, says: str) -> None:
    with pytest.raises(BadSchedule, match=says) as caught:
        Schedule(cron, zone)
    assert caught.value.field == field


def test_every_job_has_a_schedule_by_default() -> None:
    assert SCHEDULED_JOBS
    for kind in SCHEDULED_JOBS.values():
        assert Schedule(kind.cron).next_after(START) is not None
