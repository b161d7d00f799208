"""Schedules: cron expressions in a time zone, read as cron reads them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, cached_property
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from apscheduler.triggers.cron import CronTrigger

DEFAULT_ZONE: Final = "UTC"
MAX_LENGTH: Final = 200

_FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")
# Cron counts the days of a week from Sunday, and Sunday is 7 as well; APScheduler counts from Monday.
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_STEP = timedelta(microseconds=1)


class BadSchedule(ValueError):
    """Invalid cron expression or time zone; the message gives the reason."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True)
class Schedule:
    """Cron expression of five fields, or six with seconds first, in an IANA time zone; raises BadSchedule."""

    cron: str
    time_zone: str = DEFAULT_ZONE

    def __post_init__(self) -> None:
        if self.next_after(datetime.now(UTC)) is None:
            raise BadSchedule("cron", "this never comes")

    @cached_property
    def trigger(self) -> CronTrigger:
        """Trigger of APScheduler for this schedule."""
        parts = self.cron.split() if self.cron.isascii() else []
        if len(parts) not in (len(_FIELDS) - 1, len(_FIELDS)):
            raise BadSchedule("cron", "an expression has five fields, or six with seconds first")
        fields = dict(zip(_FIELDS, ["0", *parts][-len(_FIELDS) :], strict=True))
        if fields["day"] != "*" and fields["day_of_week"] != "*":
            raise BadSchedule("cron", "a day of the month and one of the week together mean different things")
        fields["day_of_week"] = _named_days(fields["day_of_week"])
        zone = _zone(self.time_zone)
        try:
            return CronTrigger(**fields, timezone=zone)
        except (ValueError, TypeError, OverflowError) as error:
            raise BadSchedule("cron", f"it can't be read: {error}") from None

    def next_after(self, moment: datetime) -> datetime | None:
        """First slot after a moment; None where there is none."""
        found = self.trigger.get_next_fire_time(None, moment + _STEP)
        return None if found is None else found.astimezone(UTC)

    def slots(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the slots after one moment and up to another, oldest first."""
        slot = self.next_after(after)
        while slot is not None and slot <= until:
            yield slot
            slot = self.next_after(slot)


@cache
def _zone(name: str) -> tzinfo:
    # `localtime` is excluded: it is another zone on another host.
    if name not in available_timezones() - {"localtime"}:
        raise BadSchedule("time_zone", f"there is no time zone {name!r}: they are as Europe/Berlin")
    return ZoneInfo(name)


def _named_days(field: str) -> str:
    """Translate the days of a week from cron's numbers to names; a step counts from Sunday."""
    names = []
    for part in field.lower().split(","):
        days, _, step = part.partition("/")
        if days == "*" and not step:
            return "*"
        if step and not re.fullmatch(r"[1-9]\d?", step):
            raise BadSchedule("cron", f"{step!r} is no step")
        first, last = _days(days)
        names += [_DAYS[day] for day in range(first, last + 1, int(step or 1))]
    return ",".join(dict.fromkeys(names))


def _days(days: str) -> tuple[int, int]:
    if days == "*":
        return 0, 6
    first, is_range, last = days.partition("-")
    begin = _day(first)
    end = _day(last) if is_range else begin
    if is_range and end == 0:
        end = 7
    if end < begin:
        raise BadSchedule("cron", f"the days {days} run backwards")
    return begin, end


def _day(text: str) -> int:
    if re.fullmatch(r"[0-7]", text):
        return int(text)
    if text in _DAYS:
        return _DAYS.index(text)
    raise BadSchedule("cron", f"{text!r} is no day of the week: 0 to 7, or sun to sat")
