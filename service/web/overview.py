"""First page of a subscription: how its executions went, what fails and what is slow, and what changed."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Response

from service.documents.tabular import FileFormat
from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right, SubscriptionState
from service.domain.errors import Invalid
from service.domain.ids import ResourceId
from service.http.audited_operations import audits
from service.http.exports import FileWriter, of_access, statistics
from service.usecases import execution_logs, overview, overview_tables
from service.usecases.execution_logs import ExecutionBucket
from service.usecases.log_reading import AskedFigures
from service.usecases.overview import ENDED, FigureSpan, VersionEvent
from service.usecases.overview_tables import OverviewTable
from service.web import execution_charts, files, log_times, spans
from service.web.charts import ChartMark
from service.web.cookies import zone_of
from service.web.files import FileLinks
from service.web.filter_forms import member, pushed, shortened
from service.web.gate import View, viewing
from service.web.spans import ends_of

_PARAMETERS = ("range", "since", "until")

_SAID = {
    "PUBLISH": "{name}: version {version} published",
    "ROLLBACK": "{name}: version {version} made by a rollback",
    "RUN": "{name}: first execution of version {version}, which was saved later",
}

router = APIRouter(include_in_schema=False)


@router.get("/s/{subscription_id}")
@audits(Action.READ, "execution_log")
def show_overview(view: Annotated[View, Depends(viewing(Right.SEE_SUBSCRIPTION))]) -> Response:
    """Show the overview to those who see figures; others are led to the settings."""
    if not view.caller.may(Right.READ_FIGURES) or view.state is SubscriptionState.PURGED:
        return view.lead_to(f"{view.base}/{'resources' if view.caller.may(Right.READ) else 'settings'}")
    if (short := shortened(view, _PARAMETERS)) is not None:
        return short
    asked = spans.of(view)
    if (form := view.file_format) is not None:
        return _file(view, asked.span, form)
    found = overview.read(view.context, view.caller, view.subscription_id, asked.span)
    zone = zone_of(view.request)
    answer = view.show(
        "overview.html",
        asked=asked,
        ranges=list(log_times.RANGES),
        found=found,
        drawn=execution_charts.drawn(found.figures, zone, marks_of(view, found.figures.events)),
        call=figures_address(view, found.figures.span, "status"),
        files=files_of(view, found.figures.span),
        tables=tables_of(view, found.figures.span),
        url=view.context.public_url,
        subscription_id=view.subscription_id,
    )
    return pushed(view, _PARAMETERS, answer)


def _file(view: View, span: FigureSpan, form: FileFormat) -> Response:
    """Answer with the figures of the charts or of a table, of all workflows or of one."""
    writer, found_id = FileWriter(view.request, form), ids.parse(view.asked("workflow_id") or "")
    workflow_id = None if found_id is None else ResourceId(found_id)
    if (name := view.asked("table")) is not None:
        table = member(OverviewTable, "table", name)
        by, groups = overview_tables.read(
            view.context, view.caller, view.subscription_id, table, span, workflow_id
        )
        noun = f"execution_log_{table}"
        return statistics(writer, of_access(view), noun, ExecutionBucket, by, groups, is_estimated=True)
    filters = overview.executed(span, workflow_id)
    buckets = (span.bucket, span.by_days.bucket)
    bucket = view.asked("bucket") or span.bucket
    if bucket not in buckets:
        raise Invalid.of("bucket", f"is one of {', '.join(dict.fromkeys(buckets))}")
    asked = AskedFigures(bucket=bucket, group_by=("status",))
    found = execution_logs.execution_statistics(
        view.context, view.caller, view.subscription_id, filters, asked
    )
    by = asked.group_by
    return statistics(writer, of_access(view), "execution_log", ExecutionBucket, by, found, is_estimated=True)


def files_of(view: View, span: FigureSpan, **kept: str) -> FileLinks:
    """Return the formats and addresses of the charts' figures as files, in the buckets that are shown."""
    return files.links(view.base, **kept, **ends_of(span), bucket=span.bucket)


def tables_of(view: View, span: FigureSpan, **kept: str) -> dict[str, FileLinks]:
    """Return the formats and addresses of the tables of a time as files, by their names."""
    return {
        table.value: files.links(view.base, **kept, **ends_of(span), table=table.value)
        for table in OverviewTable
    }


def marks_of(view: View, happened: Sequence[VersionEvent]) -> list[ChartMark]:
    """Make the marks of what happened to versions, the oldest first."""
    return [
        ChartMark(
            at=each.at,
            text=_SAID[each.action].format(name=each.name, version=each.version_number),
            href=f"{view.base}/workflows/{each.resource_id}/versions/{each.version_number}",
        )
        for each in reversed(happened)
    ]


def figures_address(view: View, span: FigureSpan, *group_by: str, workflow_id: str | None = None) -> str:
    """Address of the same figures in the API."""
    asked = [
        *ends_of(span).items(),
        *(("time", "occurred_at"), ("execution_type", "workflow"), ("bucket", span.bucket)),
        *(("status", each) for each in ENDED),
        *(("group_by", each) for each in group_by),
        *(() if workflow_id is None else (("workflow_id", workflow_id),)),
    ]
    return f"/v1/subscriptions/{view.subscription_id}/execution-logs/stats?{urlencode(asked)}"
