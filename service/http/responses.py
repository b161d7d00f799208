"""Answers: the results of use cases as JSON, and the types that describe them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import GenericAlias
from typing import Any, Literal, TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, create_model

from service.domain.pagination import Page
from service.http.admission import in_thread
from service.usecases.log_reading import LogFigures

Row = TypeVar("Row")

# Users of curl need the newline at the end.
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


def answer(value: Any, status: int = 200, *, etag: str | None = None) -> Response:
    """JSON answer of dataclasses and plain values; numbers keep the text that they were stored with."""
    headers = {} if etag is None else {"ETag": f'"{etag}"'}
    return Response(
        orjson.dumps(value, option=_OPTIONS), status, headers=headers, media_type="application/json"
    )


def page_answer(request: Request, page: Page[Any]) -> Response:
    """Answer with a page of a list, and a Link to the next page."""
    body = {"items": page.items, "next_cursor": page.next_cursor}
    return linked(request, answer(body), page.next_cursor)


async def expandable_page(
    request: Request,
    read: Callable[[], Page[Row]],
    expand: Callable[[Page[Row]], Awaitable[Page[Any]]] | None,
) -> Response:
    """Answer with a page of a log, to which `expand` adds documents; None adds nothing.

    The answer is made in a thread: it has many megabytes.
    """
    if expand is None:
        return await in_thread(request, lambda: page_answer(request, read()))
    found = await in_thread(request, read)
    return await in_thread(request, page_answer, request, await expand(found))


def linked(request: Request, response: Response, next_cursor: str | None) -> Response:
    """Add a Link to the next page, if there is one, to an answer."""
    if next_cursor is not None:
        # Relative, so that the link is right for any address that the client used.
        following = request.url.include_query_params(cursor=next_cursor)
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return response


def page_of(item: type[Any]) -> type[BaseModel]:
    """OpenAPI description of a page of a list."""
    fields: dict[str, Any] = {
        "items": (GenericAlias(list, (item,)), ...),
        "next_cursor": (str | None, ...),
    }
    return create_model(f"{item.__name__}Page", **fields)


def statistics_answer(rows: Sequence[Any], names: Mapping[str, str]) -> Response:
    """Answer with figures by buckets of time, and the names of ids among their groups."""
    return answer({"buckets": rows, "names": names})


def estimated_statistics_answer(found: LogFigures[Any]) -> Response:
    """Answer with figures by buckets of time, of which percentiles may be estimated."""
    return answer(
        {
            "buckets": found.buckets,
            "names": found.names,
            "figures_from": found.figures_from,
            "percentile_error": found.percentile_error,
        }
    )


def statistics_of(row: type[Any], *, is_estimated: bool = False) -> type[BaseModel]:
    """OpenAPI description of figures by buckets of time, of which percentiles may be estimated."""
    fields: dict[str, Any] = {
        "buckets": (GenericAlias(list, (row,)), ...),
        "names": (dict[str, str], ...),
    }
    if is_estimated:
        fields |= {"figures_from": (Literal["rows", "days"], ...), "percentile_error": (float, ...)}
    return create_model(f"{row.__name__}s", **fields)
