"""Page of the server log: requests, how many, how slow and how often in vain, by time and by route."""

from dataclasses import replace
from functools import partial
from typing import Final

from fastapi import APIRouter, Response

from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.exports import FileWriter, of_access, statistics, whole
from service.http.schemas.server_logs import PostedServerLogQuery
from service.usecases import people, request_exploring, server_logs
from service.usecases.server_logs import ServerBucket, ServerLogFilter
from service.web import charts, log_filters, log_times, request_charts
from service.web.charts import TimeAxis
from service.web.cookies import zone_of
from service.web.log_filters import ReadingLog

router = APIRouter(include_in_schema=False)

SHOWN: Final = 40
_FIELDS: Final = ("endpoint", "status", "user_id", "actor_id", "ip_address", "request_id")
_FILTERS: Final = (*_FIELDS, "source", "origin")
_NAMES: Final = (*_FILTERS, log_filters.COUNTS, *log_times.NAMES)
# Classes of status that failures can be narrowed to.
CLASSES: Final = {"4xx": "refused (4xx)", "5xx": "failed (5xx)"}


@router.get("/s/{subscription_id}/server")
@audits(Action.READ, "server_log")
def show_server_log(view: ReadingLog) -> Response:
    """Show the newest requests of a time with their figures, or with `format` all of them as a file."""
    asked = log_filters.chosen(view, _NAMES)
    if (short := log_filters.shortened(view, asked)) is not None:
        return short
    shown = log_times.of(view)
    filters = ServerLogFilter(**log_filters.checked(asked, PostedServerLogQuery, _FILTERS).model_dump())
    rows = log_filters.rows_of(asked, shown, filters)
    if (form := view.file_format) is not None:
        writer = FileWriter(view.request, form)
        if log_filters.table_of(view, "routes") is not None:
            routes = request_exploring.routes(view.context, view.caller, view.subscription_id, rows)
            by = request_exploring.ROUTE
            return statistics(writer, of_access(view), "server_log_routes", ServerBucket, by, routes)
        narrowed = replace(filters, since=shown.since, until=shown.until)
        read = partial(server_logs.server_page, view.context, view.caller, view.subscription_id, narrowed)
        listed = whole("server_log", server_logs.ServerEvent, narrowed.given(), read)
        return view.file(form, listed)
    found = request_exploring.explore(
        view.context, view.caller, view.subscription_id, rows, view.paging(SHOWN), charts.width_for
    )
    counted = found.counted
    axis = TimeAxis(begins=counted.begins, width=counted.width, zone=zone_of(view.request))
    answer = view.show(
        "server.html",
        asked=asked,
        times=shown,
        found=found,
        requests=request_charts.outcomes(axis, counted.by_time),
        durations=request_charts.durations(axis, counted.by_time),
        fields=_FIELDS,
        classes=CLASSES,
        older=log_filters.older(asked, shown, found.page.next_cursor),
        is_first=view.asked("cursor") is None,
        files=log_filters.files(asked, shown),
        tables={"routes": log_filters.files(asked, shown, table="routes").items()},
        names=people.names(view.context, view.subscription_id, (row.user_id for row in found.page.items)),
        subscription_id=view.subscription_id,
    )
    return log_filters.pushed(view, asked, answer)
