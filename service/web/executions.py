"""Pages of executions: those of all workflows or of one by version, and one with its nodes and its log."""

from functools import partial
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Path, Response

from service.documents import tabular
from service.documents.tabular import FileFormat
from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import Invalid
from service.domain.ids import ResourceId
from service.domain.resource_kinds import Kind
from service.domain.retention_levels import DEFAULT_DAYS, Level
from service.http.audited_operations import audits
from service.http.exports import FileWriter, of_access, whole
from service.http.schemas.executions import ExecutionsQuery
from service.http.schemas.filters import ReportedId
from service.usecases import execution_logs, executions, overview, version_health
from service.usecases.execution_logs import ExecutionEvent, ExecutionFilter
from service.usecases.executions import ExecutedNode, Execution, ExecutionsFilter
from service.usecases.overview import FigureSpan, ShownExecutions
from service.usecases.version_health import VersionHealth
from service.web import execution_charts, files, log_times, spans, timelines
from service.web.charts import ChartMark
from service.web.cookies import zone_of
from service.web.filter_forms import filters_of, pushed, shortened
from service.web.gate import View, viewing
from service.web.overview import figures_address, files_of, marks_of, tables_of
from service.web.spans import ends_of

EXECUTIONS = 25
_PARAMETERS = ("workflow_id", "status", "range", "since", "until", "cursor")
# Tables of one execution that are files, too.
_PARTS = ("nodes", "log")
_STATUSES = ("success", "failed", "timed_out", "cancelled", "skipped", "running")

router = APIRouter(include_in_schema=False)
Figures = Annotated[View, Depends(viewing(Right.READ_FIGURES))]
Logs = Annotated[View, Depends(viewing(Right.READ_LOGS))]


@router.get("/s/{subscription_id}/executions")
@audits(Action.READ, "execution_log")
def list_executions(view: Figures) -> Response:
    """Show the executions of all workflows, or of one by version."""
    if (short := shortened(view, _PARAMETERS)) is not None:
        return short
    asked = spans.of(view)
    workflow_id, status = workflow_of(view), _status(view)
    if (form := view.file_format) is not None:
        if view.asked("table") is not None:
            return _versions_file(view, asked.span, workflow_id, form)
        return _file(view, overview.listed(asked.span, workflow_id, status), form)
    found = overview.read_executions(
        view.context,
        view.caller,
        view.subscription_id,
        asked.span,
        workflow_id=workflow_id,
        status=status,
        paging=view.paging(EXECUTIONS),
    )
    kept = {"workflow_id": view.asked("workflow_id"), "status": status}
    given = {name: value for name, value in kept.items() if value is not None}
    zone = zone_of(view.request)
    marks = (
        [] if found.figures is None else [*marks_of(view, found.figures.events), *_first_runs(view, found)]
    )
    shown = asked.span if found.figures is None else found.figures.span
    pinned = ends_of(asked.span)
    of_one = {name: value for name, value in given.items() if name == "workflow_id"}
    here = f"{view.base}/executions"
    answer = view.show(
        "executions.html",
        asked=asked,
        ranges=list(log_times.RANGES),
        found=found,
        drawn=None
        if found.figures is None
        else execution_charts.drawn(found.figures, zone, sorted(marks, key=lambda each: each.at)),
        call=figures_address(view, shown, "status", workflow_id=view.asked("workflow_id")),
        files=files_of(view, shown, **of_one),
        tables={
            **tables_of(view, asked.span, **of_one),
            "versions": files.links(here, **of_one, **pinned, table="versions"),
        },
        lists=files.links(here, **given, **pinned),
        workflow_id=workflow_id,
        status=status,
        statuses=_STATUSES,
        kept=given,
        query=urlencode(given),
        here=here,
        older=f"{here}?{urlencode({**given, **pinned})}",
        url=view.context.public_url,
        subscription_id=view.subscription_id,
    )
    return pushed(view, _PARAMETERS, answer)


def _file(view: View, filters: ExecutionsFilter, form: FileFormat) -> Response:
    """Answer with the whole list, for those who read logs."""
    view.caller.needs(Right.READ_LOGS)
    read = partial(executions.page, view.context, view.caller, view.subscription_id, filters)
    listed = whole("execution_log", Execution, {"of": "executions", **filters.given()}, read)
    return view.file(form, listed)


def _versions_file(
    view: View, span: FigureSpan, workflow_id: ResourceId | None, form: FileFormat
) -> Response:
    """Answer with the executions of a workflow by version."""
    if view.asked("table") != "versions":
        raise Invalid.of("table", "is versions, or left out for the list")
    if workflow_id is None:
        raise Invalid.of("workflow_id", "is needed for executions by version")
    found = version_health.read(
        view.context,
        view.caller,
        view.subscription_id,
        Kind.WORKFLOW,
        workflow_id,
        since=span.since,
        until=span.until,
    )
    columns = tabular.columns_of(VersionHealth)
    return FileWriter(view.request, form).figures(of_access(view), "health", columns, found.versions)


def workflow_of(view: View) -> ResourceId | None:
    """Workflow that a page of executions is about; raises Invalid for what is no id."""
    text = view.asked("workflow_id")
    found = None if text is None else ids.parse(text)
    if text is not None and found is None:
        raise Invalid.of("workflow_id", "is no id of a workflow")
    return None if found is None else ResourceId(found)


def _status(view: View) -> str | None:
    return filters_of(view, ExecutionsQuery, ("status",)).status


def _first_runs(view: View, found: ShownExecutions) -> list[ChartMark]:
    """Mark the first executions of versions that others ran before in the time.

    A version may run before it is published, or without that.
    """
    if found.health is None:
        return []
    runs = sorted(
        (each.first_begun_at, each.version_number)
        for each in found.health.versions
        if each.version_number and each.git_commit_hash
    )
    page = f"{view.base}/workflows/{view.asked('workflow_id')}/versions"
    return [
        ChartMark(at=at, text=f"First execution of version {number}", href=f"{page}/{number}")
        for at, number in runs[1:]
    ]


@router.get("/s/{subscription_id}/executions/{execution_id:path}")
@audits(Action.READ, "execution_log")
def show_execution(view: Logs, execution_id: Annotated[ReportedId, Path()]) -> Response:
    """Show one execution: its nodes on a time line, and its log; or with `format` one of them as a file."""
    if (form := view.file_format) is not None:
        return _file_of_one(view, execution_id, form)
    here = f"{view.base}/executions/{quote(execution_id, safe='')}"
    found = executions.read_with_log(view.context, view.caller, view.subscription_id, execution_id)
    return view.show(
        "execution.html",
        found=found,
        of=found.execution,
        drawn=timelines.drawn(found.execution, found.nodes, zone_of(view.request)),
        most_lines=executions.MAX_LINES,
        node_days=DEFAULT_DAYS[Level.NODE],
        tables={name: files.links(here, table=name) for name in _PARTS},
    )


def _file_of_one(view: View, execution_id: str, form: FileFormat) -> Response:
    """Answer with the nodes of an execution, as far as one answer has them, or with all its events."""
    writer, table = FileWriter(view.request, form), view.asked("table")
    if table == "nodes":
        found = executions.read(view.context, view.caller, view.subscription_id, execution_id)
        return writer.figures(
            of_access(view), "execution_nodes", tabular.columns_of(ExecutedNode), found.nodes
        )
    if table != "log":
        raise Invalid.of("table", f"is one of {', '.join(_PARTS)}")
    filters = ExecutionFilter(execution_id=ids.canonical(execution_id))
    read = partial(execution_logs.execution_page, view.context, view.caller, view.subscription_id, filters)
    return view.file(form, whole("execution_log", ExecutionEvent, filters.given(), read))
