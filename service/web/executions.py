"""Pages of executions: those of all workflows or of one by version, and one with its nodes and its log."""

from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Response

from service.documents.tabular import FileFormat
from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import Invalid
from service.domain.ids import ResourceId
from service.domain.retention_levels import DEFAULT_DAYS, Level
from service.http.audited_operations import audits
from service.http.exports import FileWriter, of_access, whole
from service.http.schemas.executions import ExecutionsQuery
from service.http.schemas.filters import ReportedId
from service.usecases import executions, overview
from service.usecases.executions import Execution, ExecutionsFilter
from service.usecases.overview import ShownExecutions
from service.web import execution_charts, log_times, spans, timelines
from service.web.charts import ChartMark
from service.web.cookies import zone_of
from service.web.filter_forms import filters_of, pushed, shortened
from service.web.gate import View, viewing
from service.web.overview import figures_address, files_of, marks_of

EXECUTIONS = 25
_PARAMETERS = ("workflow_id", "status", "range", "since", "until", "cursor")
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
    if (form := view.asked("format")) in tuple(FileFormat):
        return _file(view, overview.listed(asked.span, workflow_id, status), FileFormat(form))
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
    pinned = {"since": asked.span.since.isoformat(), "until": asked.span.until.isoformat()}
    answer = view.show(
        "executions.html",
        asked=asked,
        ranges=list(log_times.RANGES),
        found=found,
        drawn=None
        if found.figures is None
        else execution_charts.drawn(found.figures, zone, sorted(marks, key=lambda each: each.at)),
        call=figures_address(view, shown, "status", workflow_id=view.asked("workflow_id")),
        files=files_of(view, shown, **{k: v for k, v in given.items() if k == "workflow_id"}),
        lists=[
            (form.name, f"{view.base}/executions?{urlencode({**given, **pinned, 'format': form.value})}")
            for form in FileFormat
        ],
        workflow_id=workflow_id,
        status=status,
        statuses=_STATUSES,
        kept=given,
        query=urlencode(given),
        here=f"{view.base}/executions",
        older=f"{view.base}/executions?{urlencode({**given, **pinned})}",
        url=view.context.public_url,
        subscription_id=view.subscription_id,
    )
    return pushed(view, _PARAMETERS, answer)


def _file(view: View, filters: ExecutionsFilter, form: FileFormat) -> Response:
    """Answer with the whole list, for those who read logs."""
    view.caller.needs(Right.READ_LOGS)
    read = partial(executions.page, view.context, view.caller, view.subscription_id, filters)
    listed = whole("execution_log", Execution, {"of": "executions", **filters.given()}, read)
    return FileWriter(view.request, form).whole(of_access(view), listed)


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
    """Show one execution: its nodes on a time line, and its log."""
    found = executions.read_with_log(view.context, view.caller, view.subscription_id, execution_id)
    return view.show(
        "execution.html",
        found=found,
        of=found.execution,
        drawn=timelines.drawn(found.execution, found.nodes, zone_of(view.request)),
        most_lines=executions.MAX_LINES,
        node_days=DEFAULT_DAYS[Level.NODE],
    )
