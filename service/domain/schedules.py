"""Schedules: cron expressions in a time zone, read as cron reads them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, cached_property
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger

DEFAULT_ZONE: Final = "UTC"
MAX_LENGTH: Final = 200

_FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")
# Cron counts the days of a week from Sunday, and Sunday is 7 as well; APScheduler counts from Monday.
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_STEP = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


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
    def trigger(self) -> "SlotTrigger":
        """Trigger of APScheduler for this schedule."""
        return SlotTrigger(self)

    def next_after(self, moment: datetime) -> datetime | None:
        """First slot after a moment; None where there is none.

        A schedule that names hours has each of its times once, as cron(8) says: a time that the clocks skip
        comes when they are put forward, and one that comes twice counts the first time. A schedule of every
        hour has slots in each hour that passes.
        """
        wall = self._wall(moment)
        while (reading := self._next_reading(wall)) is not None:
            wall = reading
            slot = self._instant(wall)
            if slot > moment and not (self._is_hourly and self._wall(slot) != wall):
                return self._repeated(moment, slot) if self._is_hourly else slot
        return None

    def slots(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the slots after one moment and up to another, oldest first."""
        slot = self.next_after(after)
        while slot is not None and slot <= until:
            yield slot
            slot = self.next_after(slot)

    def _next_reading(self, wall: datetime) -> datetime | None:
        """First reading of the wall clock after another that the expression names."""
        found = self._readings.get_next_fire_time(None, wall.replace(tzinfo=UTC) + _STEP)
        return None if found is None else found.replace(tzinfo=None)

    def _repeated(self, moment: datetime, slot: datetime) -> datetime:
        """First slot after a moment, if clocks that are put back repeat one before `slot`; else `slot`."""
        if self._offset(moment - _DAY) == self._offset(moment + _DAY):
            return slot
        offset = self._offset(slot)
        wall = (moment + offset).replace(tzinfo=None)
        while (reading := self._next_reading(wall)) is not None:
            wall = reading
            found = wall.replace(tzinfo=UTC) - offset
            if found >= slot:
                break
            if self._offset(found) == offset:
                return found
        return slot

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None)

    def _offset(self, moment: datetime) -> timedelta:
        return self._wall(moment) - moment.astimezone(UTC).replace(tzinfo=None)

    def _instant(self, wall: datetime) -> datetime:
        """First instant at which the clocks show a reading; for a skipped one, that of the change."""
        late = wall.replace(tzinfo=self._zone).astimezone(UTC)
        if self._wall(late) == wall:
            return late
        # The change is after the first of these and not after the second; offsets have whole seconds.
        early = wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        before = self._offset(early)
        while late - early > _SECOND:
            middle = early + (late - early) // 2
            middle -= timedelta(microseconds=middle.microsecond)
            if self._offset(middle) == before:
                early = middle
            else:
                late = middle
        return late

    @cached_property
    def _zone(self) -> tzinfo:
        return _zone_named(self.time_zone)

    @cached_property
    def _readings(self) -> CronTrigger:
        """Expression as a trigger that knows no change of clocks.

        Over such a change, APScheduler's own triggers lose days: in a zone that puts its clocks forward, the
        midnight after. https://github.com/agronholm/apscheduler/issues/606
        """
        parts = self.cron.split() if self.cron.isascii() else []
        if len(parts) not in (len(_FIELDS) - 1, len(_FIELDS)):
            raise BadSchedule("cron", "an expression has five fields, or six with seconds first")
        fields = dict(zip(_FIELDS, ["0", *parts][-len(_FIELDS) :], strict=True))
        if fields["day"] != "*" and fields["day_of_week"] != "*":
            raise BadSchedule("cron", "a day of the month and one of the week together mean different things")
        fields["day_of_week"] = _named_days(fields["day_of_week"])
        try:
            return CronTrigger(**fields, timezone=UTC)
        except (ValueError, TypeError, OverflowError) as error:
            raise BadSchedule("cron", f"it can't be read: {error}") from None

    @cached_property
    def _is_hourly(self) -> bool:
        """Every hour of a day is one of the schedule."""
        hours = next(field for field in self._readings.fields if field.name == "hour")
        return all(hours.get_next_value(datetime(2000, 1, 1, hour, tzinfo=UTC)) == hour for hour in range(24))


class SlotTrigger(BaseTrigger):  # type: ignore[misc]
    """Trigger of APScheduler that comes at the slots of a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """First slot after the last one that came; of slots that are more than a day late, none.

        APScheduler collects all that is late. Clocks that are put forward by years would have it collect for
        hours. https://github.com/agronholm/apscheduler/issues/1066
        """
        if previous_fire_time is None or now - previous_fire_time > _DAY:
            return self._schedule.next_after(now)
        return self._schedule.next_after(previous_fire_time)


@cache
def _zone_named(name: str) -> tzinfo:
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
