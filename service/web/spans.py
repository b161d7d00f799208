"""Times that a page of figures shows: one of a usual length that ends now, or one that a reader chose."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from service.domain.errors import Invalid
from service.http.schemas.filters import TimeQuery
from service.usecases.log_reading import asked_time, begins_of
from service.usecases.overview import FigureSpan
from service.web import charts
from service.web.cookies import zone_of
from service.web.filter_forms import field_time, filters_of
from service.web.gate import View

RANGES: Final = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
USUAL: Final = "7d"
_TIMES: Final = ("since", "until")
# ExecutionsFigures of a longer time are for a report.
LONGEST: Final = timedelta(days=3_660)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedSpan:
    """A time as a page asks for it; `name` is its usual length, None for a time that was chosen.

    `query` is the part of an address that asks for it again; `since` and `until` are for fields of a form.
    """

    span: FigureSpan
    name: str | None
    query: str
    since: str
    until: str


def of(view: View) -> AskedSpan:
    """Read the time that an address asks for; raises Invalid."""
    zone, at = zone_of(view.request), view.context.clock()
    given = filters_of(view, TimeQuery, _TIMES)
    if given.since is None and given.until is None:
        name = view.asked("range") or USUAL
        if name not in RANGES:
            raise Invalid.of("range", f"is one of {', '.join(RANGES)}")
        width = charts.width_for(RANGES[name])
        # From the beginning of a bucket on, so that the first column is a whole one.
        begin = begins_of(at - RANGES[name], at, width)[0]
        span = FigureSpan(since=begin, until=at, width=width, name=name)
        return AskedSpan(span=span, name=name, query=urlencode({"range": name}), since="", until="")
    begin, end = asked_time(given.since, given.until, at, RANGES[USUAL])
    if end - begin > LONGEST:
        raise Invalid.of("since", f"a page shows at most {LONGEST.days:,} days: take a shorter time")
    asked = {name: view.asked(name) for name in _TIMES if view.asked(name) is not None}
    return AskedSpan(
        span=FigureSpan(since=begin, until=end, width=charts.width_for(end - begin)),
        name=None,
        query=urlencode(asked),
        since=field_time(given.since, zone),
        until=field_time(given.until, zone),
    )
