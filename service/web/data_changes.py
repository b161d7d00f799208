"""Page of the data change history: changes of records, each with what it changed, and the same as a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Response

from service.domain.actions import Action, EventOrigin
from service.http.audited_operations import audits
from service.http.exports import whole
from service.http.schemas.data_changes import ChangeQuery
from service.usecases import data_changes, people, resources
from service.usecases.data_changes import DataChange, DataChangeFilter
from service.web import log_filters, log_times
from service.web.gate import View
from service.web.log_filters import ReadingLog

router = APIRouter(include_in_schema=False)

SHOWN: Final = 30
# Operations of a change that its row shows.
_MOST_OPERATIONS: Final = 8
_FIELDS: Final = ("table_name", "record_id", "changed_by", "request_id")
_FILTERS: Final = (*_FIELDS, "source", "origin", "recorded_by")
_NAMES: Final = (*_FILTERS, *log_times.NAMES)
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownOperation:
    """An operation of a change: the path in words, and the value before, if it is known, and after."""

    verb: str
    path: str
    has_before: bool
    before: Any
    has_after: bool
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChange:
    """A data change with its first operations, or a diff that was cut."""

    row: DataChange
    operations: tuple[ShownOperation, ...]
    more: int
    document: Any


@router.get("/s/{subscription_id}/changes")
@audits(Action.READ, "change_history")
def show_changes(view: ReadingLog) -> Response:
    """Show the newest changes of a time, or with `format` all of them as a file."""
    asked = log_filters.chosen(view, _NAMES)
    if (short := log_filters.shortened(view, asked)) is not None:
        return short
    shown = log_times.of(view)
    filters = DataChangeFilter(
        **log_filters.checked(asked, ChangeQuery, _FILTERS).model_dump(exclude={"expand"})
    )
    rows = log_filters.rows_of(asked, shown, filters)
    read = partial(data_changes.change_page, view.context, view.caller, view.subscription_id, rows.narrowed)
    if (form := view.file_format) is not None:
        listed = whole("change_history", DataChange, rows.narrowed.given(), read)
        return view.file(form, listed)
    page = read(view.paging(SHOWN), told=rows.told)
    answer = view.show(
        "changes.html",
        asked=asked,
        times=shown,
        changes=[_shown(row) for row in page.items],
        pages=_pages(view, page.items),
        fields=_FIELDS,
        names=people.names(view.context, view.subscription_id, (row.changed_by for row in page.items)),
        older=log_filters.older(asked, shown, page.next_cursor),
        is_first=view.asked("cursor") is None,
        files=log_filters.files(asked, shown),
        url=view.context.public_url,
        subscription_id=view.subscription_id,
    )
    return log_filters.pushed(view, asked, answer)


def _shown(row: DataChange) -> ShownChange:
    diff = row.diff
    operations = tuple(_operations(row, diff[:_MOST_OPERATIONS])) if isinstance(diff, list) else ()
    return ShownChange(
        row=replace(row, old_data=None, new_data=None, diff=None),
        operations=operations,
        more=len(diff) - len(operations) if isinstance(diff, list) else 0,
        document=diff if isinstance(diff, dict) else None,
    )


def _operations(row: DataChange, diff: list[dict[str, Any]]) -> Iterator[ShownOperation]:
    for each in diff:
        path, verb = str(each.get("path", "")), str(each.get("op", ""))
        before = _at(row.old_data, path) if verb in ("replace", "remove") else _ABSENT
        has_after = "value" in each
        yield ShownOperation(
            verb={"add": "added", "remove": "removed", "replace": "changed"}.get(verb, verb),
            path=" › ".join(_steps(path)) or "the whole record",
            has_before=before is not _ABSENT,
            before=None if before is _ABSENT else before,
            has_after=has_after,
            after=each.get("value"),
        )


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _at(document: Any, path: str) -> Any:
    """Return the value at a JSON pointer in a state that the log has; _ABSENT if it has none there."""
    found = _ABSENT if document is None else document
    for step in _steps(path):
        if isinstance(found, dict):
            found = found.get(step, _ABSENT)
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            return _ABSENT
    return found


def _pages(view: View, rows: Sequence[DataChange]) -> dict[tuple[str, str], str]:
    """Return the addresses of the resources that changed, by table and id, as far as they are there."""
    own = [row for row in rows if row.origin == EventOrigin.ANNALS]
    named = {(row.table_name.removesuffix("s"), row.record_id) for row in own}
    there = resources.existing(view.context, view.subscription_id, named)
    return {(f"{kind}s", text): f"{view.base}/{kind}s/{text}" for kind, text in there}
