"""First page of the operator: how the platform is used and answers, what is wrong, and all tenants."""

from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from service.documents.tabular import FileFormat
from service.domain.actions import Action
from service.domain.callers import Right
from service.http.audited_operations import audits
from service.http.exports import FileWriter, statistics, whole
from service.http.routes.health import health_of
from service.usecases import platform_overview, server_logs, subscriptions
from service.usecases.health import Readiness
from service.usecases.log_reading import AskedFigures
from service.usecases.maintenance import scheduled_jobs
from service.usecases.overview import FigureSpan
from service.usecases.platform_overview import ListedTenant, PlatformFigures, TenantOrder
from service.usecases.server_logs import ServerBucket, ServerLogFilter
from service.web import charts, files, request_charts, spans
from service.web.charts import TimeAxis
from service.web.cookies import zone_of
from service.web.filter_forms import member, shortened
from service.web.platform_gate import PlatformView, viewing_platform
from service.web.spans import ends_of

PATH: Final = "/platform"
# Rows of a page of the list.
SHOWN: Final = 25
USUAL: Final = "24h"
RANGES: Final = ("24h", "7d", "30d")
_TIMES: Final = ("range", "since", "until")
_PARAMETERS: Final = (*_TIMES, "sort")

router = APIRouter(include_in_schema=False)
SeeingTenants = Annotated[PlatformView, Depends(viewing_platform(Right.CREATE_SUBSCRIPTIONS))]
SeeingPlatform = Annotated[PlatformView, Depends(viewing_platform(Right.READ_PLATFORM_LOGS))]


async def _readiness(request: Request, _: SeeingPlatform) -> Readiness:
    return await health_of(request).readiness()


@router.get(PATH)
@audits(Action.READ, "server_log")
def show_platform(view: SeeingPlatform, health: Annotated[Readiness, Depends(_readiness)]) -> Response:
    """Show the platform, or with `format` the figures of its requests as a file."""
    if (short := shortened(view, _PARAMETERS)) is not None:
        return short
    asked = spans.of(view, USUAL)
    if (form := view.file_format) is not None:
        return _file(view, asked.span, form)
    order = _order(view)
    found = platform_overview.read(view.context, view.caller, asked.span)
    jobs = scheduled_jobs.all_jobs(view.context)
    overdue = [job for job in jobs if job.is_overdue]
    told = tuple(f"the job {job.name} is overdue" for job in overdue)
    ranked = None if order is None else platform_overview.ranked(view.context, view.caller, order)
    listed, cursor = ranked, None
    if listed is None:
        page = platform_overview.tenants(view.context, view.caller, view.paging(SHOWN))
        listed, cursor = page.items, page.next_cursor
    return view.show(
        "platform.html",
        asked=asked,
        ranges=RANGES,
        found=found,
        drawn=_drawn(view, asked.span, found.figures),
        files=files.links(PATH, **ends_of(asked.span)),
        call=_call(asked.span),
        overdue=overdue,
        failed=[job for job in jobs if job.last_run is not None and job.last_run.state == "failed"],
        health=health,
        # Those of overdue jobs are told above.
        warnings=[each for each in health.warnings if not each.startswith(told)],
        order=order,
        is_too_slow=order is not None and ranked is None,
        listed=listed,
        cursor=cursor,
        here=_here(view, *_PARAMETERS),
        without_order=_here(view, *_TIMES),
        most=subscriptions.MAX_COUNTED,
        most_active=platform_overview.MAX_LOG_ROWS,
        most_ranked=platform_overview.MOST_RANKED,
    )


@router.get(PATH + "/subscriptions")
@audits(Action.READ, "subscription")
def list_subscriptions(view: SeeingTenants) -> Response:
    """Answer with all subscriptions, their sizes and their activity as a file."""
    form = view.file_format
    if form is None:
        return view.lead_to(PATH + "#tenants")
    read = partial(platform_overview.tenants, view.context, view.caller)
    return view.file(form, whole("subscription", ListedTenant, {}, read))


def _order(view: PlatformView) -> TenantOrder | None:
    """Order of the list; None for the newest first."""
    text = view.asked("sort")
    return None if text is None else member(TenantOrder, "sort", text)


def _here(view: PlatformView, *names: str) -> str:
    """Query of this page with some of its parameters, ready for one more."""
    given = {name: value for name in names if (value := view.asked(name)) is not None}
    return f"{PATH}?{urlencode(given)}" if given else PATH


def _drawn(
    view: PlatformView, span: FigureSpan, figures: PlatformFigures | None
) -> tuple[charts.Chart, charts.Chart] | None:
    if figures is None:
        return None
    axis = TimeAxis(begins=figures.begins, width=span.width, zone=zone_of(view.request))
    return request_charts.outcomes(axis, figures.by_time), request_charts.durations(axis, figures.by_time)


def _call(span: FigureSpan) -> str:
    """Address of the same figures in the API."""
    return f"/v1/server-logs/stats?{urlencode({**ends_of(span), 'bucket': span.bucket})}"


def _file(view: PlatformView, span: FigureSpan, form: FileFormat) -> Response:
    filters, asked = ServerLogFilter(since=span.since, until=span.until), AskedFigures(bucket=span.bucket)
    found = server_logs.server_statistics(view.context, view.caller, None, filters, asked)
    writer = FileWriter(view.request, form)
    return statistics(writer, view.exporting, "server_log", ServerBucket, (), found)
