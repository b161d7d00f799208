"""Page of the audit log: events with their numbers by time and by facet, and the same as a file."""

from dataclasses import replace
from functools import partial
from typing import Final

from fastapi import APIRouter, Response

from service.documents import tabular
from service.documents.tabular import FileFormat
from service.domain.actions import Action
from service.domain.pagination import Page
from service.domain.resource_kinds import Kind
from service.http.audited_operations import audits
from service.http.exports import FileWriter, of_access, whole
from service.http.schemas.audit_logs import PostedAuditQuery
from service.usecases import audit_exploring, audit_logs, resources
from service.usecases.audit_facets import CountedValue
from service.usecases.audit_logs import AuditBucket, AuditEvent, AuditFilter
from service.usecases.log_exploring import AskedRows, Counted
from service.web import charts, log_filters, log_times, words
from service.web.charts import Chart, Series, TimeAxis
from service.web.cookies import zone_of
from service.web.gate import View
from service.web.log_filters import Chosen, ReadingLog
from service.web.log_times import ShownTime

router = APIRouter(include_in_schema=False)

SHOWN: Final = 50
# Filters by facets, and those of the form.
FACETS: Final = {"action": "Actions", "user_id": "People", "resource_type": "On", "status": "Outcomes"}
_FIELDS: Final = ("resource_id", "request_id", "username", "actor_name", "ip_address")
_FILTERS: Final = (*FACETS, *_FIELDS, "source", "workspace_id", "origin")
# `reads` shows the readings of logs, too.
_NAMES: Final = (*_FILTERS, "reads", log_filters.COUNTS, *log_times.NAMES)
# Outcomes of events, with the name and the class of their columns.
_OUTCOMES: Final = (
    ("success", "Success", "info"),
    ("failed", "Failed", "warn"),
    ("unauthorized", "Refused", "bad"),
)


@router.get("/s/{subscription_id}/audit")
@audits(Action.READ, "audit_log")
def show_audit_log(view: ReadingLog) -> Response:
    """Show the newest events of a time, or with `format` all of them as a file."""
    asked = log_filters.chosen(view, _NAMES)
    if (short := log_filters.shortened(view, asked)) is not None:
        return short
    shown = log_times.of(view)
    filters = filter_of(asked)
    rows = log_filters.rows_of(asked, shown, filters)
    if (form := view.file_format) is not None:
        if log_filters.table_of(view, "facets") is not None:
            return _facets_file(view, rows, form)
        return _file(view, filters, shown, form)
    found = audit_exploring.explore(
        view.context, view.caller, view.subscription_id, rows, view.paging(SHOWN), charts.width_for
    )
    answer = view.show(
        "audit.html",
        asked=asked,
        times=shown,
        found=found,
        titles=FACETS,
        names={each.value: each.name for each in found.facets["user_id"].values if each.name},
        chart=_chart(view, found.counted),
        older=log_filters.older(asked, shown, found.page.next_cursor),
        is_first=view.asked("cursor") is None,
        files=log_filters.files(asked, shown),
        tables={"facets": log_filters.files(asked, shown, table="facets").items()},
        pages=_pages(view, found.page),
        url=view.context.public_url,
        subscription_id=view.subscription_id,
    )
    return log_filters.pushed(view, asked, answer)


def filter_of(asked: Chosen) -> AuditFilter:
    """Make the filter that an address asks for; readings of logs are left out unless they are asked for."""
    query = log_filters.checked(asked, PostedAuditQuery, _FILTERS)
    found = query.model_dump()
    if asked.first("reads") != "1" and Action.READ not in {each.upper() for each in query.action}:
        found["without"] = Action.READ.value
    return AuditFilter(**found)


def _file(view: View, filters: AuditFilter, shown: ShownTime, form: FileFormat) -> Response:
    narrowed = replace(filters, since=shown.since, until=shown.until)
    read = partial(audit_logs.audit_page, view.context, view.caller, view.subscription_id, narrowed)
    listed = whole("audit_log", AuditEvent, narrowed.given(), read)
    return view.file(form, listed)


def _facets_file(view: View, rows: AskedRows[AuditFilter], form: FileFormat) -> Response:
    lines = audit_exploring.facets(view.context, view.caller, view.subscription_id, rows)
    columns = tabular.columns_of(CountedValue)
    return FileWriter(view.request, form).figures(of_access(view), "audit_log_facets", columns, lines)


def _chart(view: View, counted: Counted[AuditBucket]) -> Chart:
    found = {(each.time, each.group): each.count for each in counted.by_time}
    axis = TimeAxis(begins=counted.begins, width=counted.width, zone=zone_of(view.request))
    series = [
        Series(name=name, tone=tone, values=[found.get((begin, status), 0) for begin in counted.begins])
        for status, name, tone in _OUTCOMES
    ]
    return charts.columns(axis, series, say=words.number)


def _pages(view: View, page: Page[AuditEvent]) -> dict[tuple[str, str], str]:
    """Return the addresses of the resources that events are about, as far as they are there."""
    named = {(each.resource_type, each.resource_id) for each in page.items}
    there = resources.existing(view.context, view.subscription_id, named)
    return {(kind, text): f"{view.base}/{Kind(kind).collection}/{text}" for kind, text in there}
