"""Lists and figures as files: `format=csv` or `format=ndjson` on the calls that answer them as JSON.

A list is exported as a whole: all pages of its filters, one after the other, as fast as its reader reads.
"""

import re
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import quote

from anyio import CancelScope
from fastapi import Depends, Query, Request, Response
from starlette.types import Receive, Scope, Send

from service.documents import tabular
from service.documents.tabular import FileFormat
from service.domain.callers import Caller
from service.domain.errors import Busy, Invalid
from service.domain.pagination import Page, Paging
from service.http.admission import in_thread, visit_of
from service.http.auth.access import Access
from service.http.connections.guard import DISCONNECTED
from service.http.description.declarations import refuses, sends
from service.http.description.headers import DISPOSITION
from service.http.requests import context_of
from service.http.responses import estimated_statistics_answer, page_answer, statistics_answer
from service.usecases import exports, group_names
from service.usecases.exports import Exporting, WholeList
from service.usecases.log_reading import LogFigures

# For the description of a route that takes `format`.
FILES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        }
    }
}
# Parameters that ask for a part of a list, or for its order.
_OF_PAGES: Final = ("limit", "cursor", "order", "from", "expand")
_UNFIT: Final = re.compile(r"[^\w.]+")

Form = Annotated[
    FileFormat | None,
    Query(alias="format", description="answer with the whole list as a file, instead of a page"),
]
FormOfFigures = Annotated[
    FileFormat | None, Query(alias="format", description="answer with a file, instead of JSON")
]


@dataclass(frozen=True, slots=True)
class FileWriter:
    """The request for a file, and its format."""

    request: Request
    form: FileFormat

    def whole(self, of: Exporting, listed: WholeList) -> Response:
        """Answer with a whole list."""
        return ExportAnswer(self, of, listed)

    def figures(self, of: Exporting, noun: str, columns: Sequence[str], rows: Sequence[Any]) -> Response:
        """Answer with figures, whose reading is recorded."""
        content = tabular.head(self.form, columns) + tabular.lines(self.form, columns, rows)
        return Response(content, headers=self.headers(of, noun))

    def headers(self, of: Exporting, noun: str) -> dict[str, str]:
        """Make the headers of a file."""
        name = file_name(of.tenant, noun, of.context.clock(), self.form)
        plain = name.encode("ascii", "ignore").decode()
        return {
            "Content-Type": self.form.media_type,
            "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}",
        }


def file_name(tenant: str, noun: str, at: datetime, form: FileFormat) -> str:
    """Make the name of a file, with tenant and time."""
    parts = (tenant, noun, f"{at:%Y%m%dT%H%M%SZ}")
    return "-".join(_UNFIT.sub("-", part).strip("-.") for part in parts)[-200:].strip("-.") + f".{form}"


@sends(DISPOSITION)
@refuses(Invalid, Busy)
async def _whole_file(request: Request, form: Form = None) -> FileWriter | None:
    if form is None:
        return None
    for name in _OF_PAGES:
        if name in request.query_params:
            raise Invalid.of(name, "does not go with `format`, which asks for the whole list")
    return FileWriter(request, form)


@sends(DISPOSITION)
async def _file_of_figures(request: Request, form: FormOfFigures = None) -> FileWriter | None:
    return None if form is None else FileWriter(request, form)


# For lists, and for figures; None where the caller asks for JSON.
ListFile = Annotated[FileWriter | None, Depends(_whole_file)]
FiguresFile = Annotated[FileWriter | None, Depends(_file_of_figures)]


def of_access(access: Access) -> Exporting:
    """Make the exporting of a caller in a subscription."""
    return Exporting(
        context=access.context,
        caller=access.caller,
        subscription_id=access.subscription_id,
        tenant=access.tenant,
    )


def of_caller(request: Request, caller: Caller) -> Exporting:
    """Make the exporting of a caller who asks for what is theirs: the operator, of all subscriptions."""
    return Exporting(
        context=context_of(request),
        caller=caller,
        subscription_id=caller.subscription_id,
        tenant=caller.subscription_name or "platform",
    )


def whole(
    noun: str, kind: type[Any], filters: Mapping[str, Any], read: Callable[[Paging], Page[Any]]
) -> WholeList:
    """Make a list to be exported, of rows of a dataclass."""
    return WholeList(noun=noun, columns=tabular.columns_of(kind), filters=filters, read=read)


def list_answer(
    request: Request, file: FileWriter | None, of: Exporting, listed: WholeList, paging: Paging
) -> Response:
    """Answer with a page of a list, or with the whole list as a file."""
    return page_answer(request, listed.read(paging)) if file is None else file.whole(of, listed)


def statistics(
    file: FileWriter | None,
    of: Exporting,
    noun: str,
    kind: type[Any],
    by: Sequence[str],
    found: LogFigures[Any],
    *,
    is_estimated: bool = False,
) -> Response:
    """Answer with figures by buckets of time and groups; `kind` is the dataclass of a bucket."""
    if file is None:
        if is_estimated:
            return estimated_statistics_answer(found)
        return statistics_answer(found.buckets, found.names)
    columns, rows = figures_table(kind, by, found)
    if is_estimated:
        columns = [*columns, "percentile_error"]
        rows = [row | {"percentile_error": found.percentile_error} for row in rows]
    return file.figures(of, f"{noun}_figures", columns, rows)


def figures_table(
    kind: type[Any], by: Sequence[str], found: LogFigures[Any]
) -> tuple[Sequence[str], list[dict[str, Any]]]:
    """Make a table of figures: a column for each by which they are grouped, and one for its names."""
    named = frozenset(by) & group_names.NAMED
    groups = [column for name in by for column in ((name, f"{name}_name") if name in named else (name,))]
    figures = [name for name in tabular.columns_of(kind) if name not in ("time", "group", "groups")]
    rows = []
    for bucket in found.buckets:
        row = {"time": bucket.time}
        for name, value in zip(by, bucket.groups, strict=True):
            row |= {name: value} | ({f"{name}_name": found.names.get(value)} if name in named else {})
        rows.append(row | {name: getattr(bucket, name) for name in figures})
    return ["time", *groups, *figures], rows


class ExportAnswer(Response):
    """Answer with a whole list, page by page; no more than one page of it is in memory.

    Refusals of the first page become problems; whatever fails later breaks the answer off before its end.
    """

    def __init__(self, file: FileWriter, of: Exporting, listed: WholeList) -> None:
        super().__init__(headers=file.headers(of, listed.noun))
        del self.headers["content-length"]
        self._request = file.request
        self._form = file.form
        self._of = of
        self._listed = listed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the list."""
        async with visit_of(self._request).exporting():
            page = await in_thread(self._request, self._listed.part, None)
            if self._request.state.method == "HEAD":
                await self._begin(send)
                await self._send(send, b"", more=False)
            else:
                await self._stream(page, scope["extensions"].get(DISCONNECTED), receive, send)

    async def _stream(self, page: Page[Any], gone: Future[None] | None, receive: Receive, send: Send) -> None:
        form, listed = self._form, self._listed
        rows, is_whole = 0, False
        try:
            await self._begin(send)
            await self._send(send, tabular.head(form, listed.columns))
            while True:
                text = await in_thread(self._request, tabular.lines, form, listed.columns, page.items)
                rows += len(page.items)
                await self._send(send, text)
                is_whole = page.next_cursor is None
                if is_whole:
                    break
                if gone is not None and gone.done():
                    # Tells the log of requests, too.
                    await receive()
                    break
                page = await in_thread(self._request, listed.part, page.next_cursor)
        finally:
            # Recorded before the end is sent, so that there is no whole export without an event.
            with CancelScope(shield=True):
                write = partial(exports.record, self._of, listed, form, rows=rows, is_whole=is_whole)
                await in_thread(self._request, write)
        if is_whole:
            await self._send(send, b"", more=False)

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    @staticmethod
    async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
        if body or not more:
            await send({"type": "http.response.body", "body": body, "more_body": more})
