"""Filters of the pages of logs: an address holds what was chosen, each filter with one value or several."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar, get_origin
from urllib.parse import urlencode

from fastapi import Depends, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from service.documents.tabular import FileFormat
from service.domain.callers import Right
from service.domain.errors import Invalid
from service.usecases.log_exploring import AskedRows, LogFilter
from service.web import log_times, render
from service.web.filter_forms import is_to_share, to_share, validated
from service.web.gate import View, viewing
from service.web.log_times import ShownTime

QueryT = TypeVar("QueryT", bound=BaseModel)
FilterT = TypeVar("FilterT", bound=LogFilter)
Pairs = tuple[tuple[str, str], ...]

# With the value `all`, figures count all rows of a time, however many.
COUNTS: Final = "counted"


# The entrance of every page of a log.
ReadingLog = Annotated[View, Depends(viewing(Right.READ_LOGS))]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The filters that an address has: `names` in their order, without empty ones."""

    path: str
    pairs: Pairs

    def values(self, name: str) -> list[str]:
        """Return the values of a filter."""
        return [value for each, value in self.pairs if each == name]

    def first(self, name: str) -> str:
        """Return the value of a filter, or an empty text."""
        return next(iter(self.values(name)), "")

    def has(self, name: str, value: str) -> bool:
        """Tell if a filter has a value."""
        return (name, value) in self.pairs

    @property
    def address(self) -> str:
        """Return the address that asks for the same."""
        return self._at(self.pairs)

    def plus(self, name: str, value: str) -> str:
        """Return the address that asks for one more value."""
        return self._at((*self.pairs, (name, value)))

    def minus(self, name: str, value: str) -> str:
        """Return the address that asks for one value less."""
        return self._at(tuple(pair for pair in self.pairs if pair != (name, value)))

    def at(self, **pairs: str) -> str:
        """Return the address with other values of some filters; an empty one removes its filter."""
        kept = tuple(pair for pair in self.pairs if pair[0] not in pairs)
        return self._at((*kept, *((name, value) for name, value in pairs.items() if value)))

    def kept(self, *but: str) -> Pairs:
        """Return what a form keeps in hidden fields, except for its own fields."""
        return tuple(pair for pair in self.pairs if pair[0] not in but)

    def chips(self, *but: str) -> Iterator[tuple[str, str, str]]:
        """Yield each filter that was chosen, its value and the address without it."""
        for name, value in self.pairs:
            if name not in (*log_times.NAMES, *but):
                yield name, value, self.minus(name, value)

    def _at(self, pairs: Pairs) -> str:
        return self.path + (f"?{urlencode(pairs)}" if pairs else "")


def chosen(view: View, names: Collection[str]) -> Chosen:
    """Read what an address asks for."""
    given = view.request.query_params.multi_items()
    found = {
        (name, to_share(view, name, value.strip())): None
        for name, value in given
        if name in names and value.strip()
    }
    has_ends = any(name in ("since", "until") for name, _ in found)
    pairs = tuple(pair for pair in found if not (has_ends and pair[0] == "range"))
    return Chosen(view.request.url.path, pairs)


def shortened(view: View, asked: Chosen) -> Response | None:
    """Lead to the address to share, without empty fields; None if it is that one, or of a part of a page."""
    if "hx-request" in view.request.headers:
        return None
    if all(is_to_share(view, name, value) for name, value in view.request.query_params.multi_items()):
        return None
    return RedirectResponse(asked.address, 303, headers=render.HEADERS)


def pushed(view: View, asked: Chosen, answer: Response) -> Response:
    """Tell htmx which address the list has with these filters, so that it can be shared."""
    if "hx-request" in view.request.headers:
        answer.headers["HX-Push-Url"] = asked.address
    return answer


def checked(asked: Chosen, model: type[QueryT], names: Collection[str]) -> QueryT:
    """Read filters by the rules of the API; raises Invalid."""
    values: dict[str, Any] = {}
    for name in names:
        found = asked.values(name)
        if found:
            is_list = get_origin(model.model_fields[name].annotation) is list
            values[name] = found if is_list else found[-1]
    return validated(model, values)


def rows_of(asked: Chosen, shown: ShownTime, filters: FilterT) -> AskedRows[FilterT]:
    """Make the question for the rows of a page."""
    return AskedRows(
        filters=filters,
        since=shown.since,
        until=shown.until,
        recorded=shown.recorded(),
        counts_all=asked.first(COUNTS) == "all",
    )


def older(asked: Chosen, shown: ShownTime, cursor: str | None) -> str | None:
    """Return the address of the next page of a list; None on the last one."""
    return None if cursor is None else asked.at(**_pinned(asked, shown), cursor=cursor)


def files(asked: Chosen, shown: ShownTime, **more: str) -> dict[str, str]:
    """Return addresses of all rows as a file, by format; they are of the time that the page shows."""
    return {form.name: asked.at(**_pinned(asked, shown), **more, format=form) for form in FileFormat}


def table_of(view: View, name: str) -> str | None:
    """Return the table that a file is asked of, None for the list; raises Invalid for one but `name`."""
    asked = view.asked("table")
    if asked not in (None, name):
        raise Invalid.of("table", f"is {name}, or left out for the list")
    return asked


def _pinned(asked: Chosen, shown: ShownTime) -> dict[str, str]:
    return {} if asked.values("until") else {log_times.ANCHOR: shown.anchor}
