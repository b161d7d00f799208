"""Forms that filter a list by GET; addresses to share lack the empty fields that browsers send, too."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ValidationError

from service.domain.errors import Fault, Invalid
from service.web import render
from service.web.cookies import zone_of
from service.web.gate import Addressed

QueryT = TypeVar("QueryT", bound=BaseModel)
WordT = TypeVar("WordT", bound=StrEnum)
_TIMES = frozenset({"since", "until"})
# Years of times that a page shows: at the ends of the calendar some zones have no such time.
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


def query_of(view: Addressed, names: Collection[str]) -> str:
    """Return the query that holds the given parameters as far as they are set, with its `?`; or nothing."""
    given = {name: to_share(view, name, value) for name in names if (value := view.asked(name)) is not None}
    return f"?{urlencode(given)}" if given else ""


def shortened(view: Addressed, names: Collection[str]) -> Response | None:
    """Lead to the address to share, without empty fields; None if it is that one.

    A part of a page is answered in place: `pushed` names its address.
    """
    if "hx-request" in view.request.headers:
        return None
    given = [(name, value) for name, value in view.request.query_params.items() if name in names]
    if all(is_to_share(view, name, value) for name, value in given):
        return None
    return RedirectResponse(view.request.url.path + query_of(view, names), 303, headers=render.HEADERS)


def pushed(view: Addressed, names: Collection[str], answer: Response) -> Response:
    """Tell htmx which address a list has with these filters, so that it can be shared."""
    if "hx-request" in view.request.headers:
        answer.headers["HX-Push-Url"] = view.request.url.path + query_of(view, names)
    return answer


def to_share(view: Addressed, name: str, value: str) -> str:
    """Return the value of a filter for an address: a time that names no zone is another one for others."""
    if name not in _TIMES or (found := _plain_time(value)) is None:
        return value
    try:
        moment = found.replace(tzinfo=zone_of(view.request)).astimezone(UTC)
    except OverflowError:
        return value
    return moment.isoformat().replace("+00:00", "Z")


def is_to_share(view: Addressed, name: str, value: str) -> bool:
    """Tell if an address may have a filter as it is given."""
    return value.strip() != "" and to_share(view, name, value) == value


def filters_of(view: Addressed, model: type[QueryT], names: Collection[str]) -> QueryT:
    """Read the filters of a list as the API has them; raises Invalid.

    A time without a zone, as fields of forms have it, is in the zone of the reader.
    """
    given = {name: value for name in names if (value := view.asked(name)) is not None}
    zone = zone_of(view.request)
    values = {name: zoned(value, zone) if name in _TIMES else value for name, value in given.items()}
    found = validated(model, values)
    for name in sorted(_TIMES):
        time = getattr(found, name, None)
        if isinstance(time, datetime) and not _FIRST_YEAR <= time.year <= _LAST_YEAR:
            detail = f"a page takes times of the years {_FIRST_YEAR} to {_LAST_YEAR}"
            raise Invalid.of(name, detail)
    return found


def validated(model: type[QueryT], values: Mapping[str, Any]) -> QueryT:
    """Check filters by the rules of the API; raises Invalid."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [
            Fault(str(each["msg"]).removeprefix("Value error, "), parameter=str(each["loc"][0]))
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise Invalid(f"{faults[0].parameter}: {faults[0].detail}.", faults=faults) from None


def member(kind: type[WordT], name: str, text: str) -> WordT:
    """Read a word of a closed set, which a parameter names; raises Invalid."""
    try:
        return kind(text)
    except ValueError:
        raise Invalid.of(name, f"is one of {', '.join(kind)}") from None


def instant_of(text: str, zone: ZoneInfo) -> datetime | None:
    """Read a date with a time, in the zone of the reader if it names none; None for any other text.

    An address has a space for a plus sign that was not escaped.
    """
    if ":" not in text:
        return None
    for each in (text, "+".join(text.rsplit(" ", 1))):
        try:
            found = datetime.fromisoformat(zoned(each, zone))
        except ValueError:
            continue
        return found if _FIRST_YEAR <= found.year <= _LAST_YEAR else None
    return None


def end_of_second(moment: datetime) -> datetime:
    """Return the last instant of a second, as pages show it; a time with a fraction is exact."""
    return moment if moment.microsecond else moment.replace(microsecond=999_999)


def field_time(value: datetime | None, zone: ZoneInfo) -> str:
    """Write a time as a field of a form takes it, in the zone of the reader."""
    return "" if value is None else value.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")


def zoned(text: str, zone: ZoneInfo) -> str:
    """Give a time without a zone that of the reader; other texts are left to the API's rule."""
    found = _plain_time(text)
    return text if found is None else found.replace(tzinfo=zone).isoformat()


def _plain_time(text: str) -> datetime | None:
    """Read a time without a zone; None for any other text."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found if found.tzinfo is None else None
