"""Cron expressions, read as cron reads them, in their time zones."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

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


# Clocks are put forward at midnight in Havana, Santiago, Cairo and Beirut, and by half an hour on Lord Howe.
# https://github.com/agronholm/apscheduler/issues/606
@pytest.mark.parametrize(
    "zone",
    [
        *("US/Pacific", "Europe/Berlin", "America/Havana", "America/Santiago"),
        *("Africa/Cairo", "Asia/Beirut", "Australia/Lord_Howe"),
    ],
)
def test_each_day_of_a_year_has_its_midnight(zone: str) -> None:
    there = ZoneInfo(zone)
    begin, end = datetime(2026, 1, 1, tzinfo=there), datetime(2027, 1, 1, tzinfo=there)
    days = [slot.astimezone(there).date() for slot in Schedule("0 0 * * *", zone).slots(begin, end)]
    assert days == [begin.date() + timedelta(days=number) for number in range(1, 366)]


# https://github.com/agronholm/apscheduler/issues/529
def test_the_monday_after_a_change_of_clocks_is_not_lost() -> None:
    friday = datetime(2021, 3, 12, 12, tzinfo=UTC)
    assert first("0 0 * * 1-5", "US/Central", after=friday, count=2) == [
        *("Mon 15 Mar 05:00:00", "Tue 16 Mar 05:00:00")
    ]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "slots"),
    [
        # What the clocks skip comes when they are put forward, once.
        ("30 2 * * *", "Europe/Berlin", (3, 28, 12), ["29 Mar 01:00", "30 Mar 00:30"]),
        ("*/20 2 * * *", "Europe/Berlin", (3, 28, 12), ["29 Mar 01:00", "30 Mar 00:00"]),
        ("20,40 2 * * *", "Australia/Lord_Howe", (10, 3, 12), ["03 Oct 15:30", "03 Oct 15:40"]),
        ("15 */2 * * *", "Europe/Berlin", (3, 29, 0), ["29 Mar 01:00", "29 Mar 02:15"]),
        # What comes twice counts the first time, wherever one begins to look.
        ("30 2 * * *", "Europe/Berlin", (10, 24, 12), ["25 Oct 00:30", "26 Oct 01:30"]),
        ("30 2 * * *", "Europe/Berlin", (10, 25, 1), ["26 Oct 01:30", "27 Oct 01:30"]),
        ("45 1 * * *", "Australia/Lord_Howe", (4, 4, 12), ["04 Apr 14:45", "05 Apr 15:15"]),
        # What runs each hour does so in each hour that passes, and has none that is skipped.
        ("30 * * * *", "Europe/Berlin", (3, 29, 0), ["29 Mar 00:30", "29 Mar 01:30"]),
        ("0 * * * *", "Europe/Berlin", (10, 25, 0), ["25 Oct 01:00", "25 Oct 02:00"]),
        ("*/30 0-23 * * *", "Europe/Berlin", (10, 25, 0), ["25 Oct 00:30", "25 Oct 01:00"]),
        ("*/15 * * * *", "Australia/Lord_Howe", (4, 4, 14.75), ["04 Apr 15:00", "04 Apr 15:15"]),
        ("0 * * * 1-5", "US/Central", (3, 7, 12), ["09 Mar 05:00", "09 Mar 06:00"]),
    ],
)
def test_slots_are_those_of_cron_also_where_clocks_change(
    cron: str, zone: str, after: tuple[int, int, float], slots: list[str]
) -> None:
    month, day, hour = after
    moment = datetime(2026, month, day, tzinfo=UTC) + timedelta(hours=hour)
    found = first(cron, zone, after=moment, count=2)
    assert [slot[4:-3] for slot in found] == slots


def test_the_scheduler_is_woken_at_the_slots() -> None:
    schedule = Schedule("30 2 * * *", "Europe/Berlin")
    slots = list(schedule.slots(START, START + timedelta(days=400)))
    assert schedule.trigger.get_next_fire_time(None, START) == slots[0]
    # It may be late, so that it asks when the next slot has almost come.
    hours = timedelta(hours=23)
    assert [schedule.trigger.get_next_fire_time(slot, slot + hours) for slot in slots[:-1]] == slots[1:]


def test_the_scheduler_is_not_woken_for_what_clocks_skip_that_are_put_forward_by_years() -> None:
    now = START + timedelta(days=36_500)
    assert Schedule("* * * * *").trigger.get_next_fire_time(START, now) == now + timedelta(minutes=1)


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
