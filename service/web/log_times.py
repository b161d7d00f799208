"""Times of the pages of logs: one of a usual length that ends now, or one that a reader chose."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from service.domain.errors import Invalid
from service.http.schemas.filters import TimeQuery
from service.usecases.log_reading import asked_time, begins_of
from service.web import charts
from service.web.cookies import zone_of
from service.web.filter_forms import field_time, filters_of, instant_of
from service.web.gate import Addressed

RANGES: Final = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
USUAL: Final = "7d"
# Figures of a longer time are for a report.
LONGEST: Final = timedelta(days=3_660)
_ENDS: Final = ("since", "until")
NAMES: Final = ("range", *_ENDS)
# The time at which the first page of a list was read: further ones are of the same time.
ANCHOR: Final = "anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTime:
    """The time of a page; `name` is its usual length, None for one that was chosen.

    `first` and `last` are its ends as fields of a form have them; `anchor` is the end for further pages.
    """

    since: datetime
    until: datetime
    name: str | None
    first: str = ""
    last: str = ""

    @property
    def anchor(self) -> str:
        """Return the end, by which an address asks for the very same time."""
        return self.until.isoformat()

    def recorded(self) -> dict[str, Any]:
        """Return the time as the event of a reading has it; readings of a usual length are of the same."""
        return {"since": self.since, "until": self.until} if self.name is None else {"range": self.name}


def of(view: Addressed) -> ShownTime:
    """Read the time that an address of a list asks for, which may have an anchor; raises Invalid."""
    anchor = instant_of(view.asked(ANCHOR) or "", zone_of(view.request))
    return ending(view, anchor or view.context.clock())


def ending(view: Addressed, end: datetime, usual: str = USUAL) -> ShownTime:
    """Read the time that an address asks for, up to `end` where it names none; raises Invalid."""
    zone = zone_of(view.request)
    given = filters_of(view, TimeQuery, _ENDS)
    if given.since is None and given.until is None:
        name = view.asked("range") or usual
        if name not in RANGES:
            raise Invalid.of("range", f"is one of {', '.join(RANGES)}")
        length = RANGES[name]
        # From the beginning of a column on, so that the first one is whole.
        return ShownTime(
            since=begins_of(end - length, end, charts.width_for(length))[0], until=end, name=name
        )
    since, until = asked_time(given.since, given.until, end, RANGES[usual])
    if until - since > LONGEST:
        raise Invalid.of("since", f"a page shows at most {LONGEST.days:,} days: take a shorter time")
    first, last = field_time(given.since, zone), field_time(given.until, zone)
    return ShownTime(since=since, until=until, name=None, first=first, last=last)
