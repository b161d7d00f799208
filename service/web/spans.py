"""Times that a page of figures shows, with the width of their buckets."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from service.usecases.overview import FigureSpan
from service.web import charts, log_times
from service.web.gate import Addressed

_TIMES: Final = ("since", "until")


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


def of(view: Addressed, usual: str = log_times.USUAL) -> AskedSpan:
    """Read the time that an address asks for, of a usual length if it names none; raises Invalid."""
    shown = log_times.ending(view, view.context.clock(), usual)
    length = shown.until - shown.since if shown.name is None else log_times.RANGES[shown.name]
    width = charts.width_for(length)
    ends = {name: value for name in _TIMES if (value := view.asked(name)) is not None}
    return AskedSpan(
        span=FigureSpan(since=shown.since, until=shown.until, width=width, name=shown.name),
        name=shown.name,
        query=urlencode(ends if shown.name is None else {"range": shown.name}),
        since=shown.first,
        until=shown.last,
    )


def ends_of(span: FigureSpan) -> dict[str, str]:
    """Return the very time that is shown, as an address asks for it."""
    return {"since": span.since.isoformat(), "until": span.until.isoformat()}
