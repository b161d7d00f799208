"""Health of the process: liveness, readiness, version and metrics; and the pages of the problems."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from service.http import problems
from service.http.requests import context_of
from service.http.responses import answer
from service.runtime import metrics
from service.runtime import version as installed
from service.usecases import health

router = APIRouter(tags=["operations"])


@router.get("/livez")
async def livez() -> Response:
    """Tell that the process is alive, also while every thread is busy."""
    return answer({"status": "alive"})


@router.get("/readyz")
def readyz(request: Request) -> Response:
    """Check each part that requests need, by name; 503 if one fails."""
    readiness = health.readiness(context_of(request))
    return answer(readiness, 200 if readiness.ready else 503)


@router.get("/version")
def version() -> Response:
    """Show the version of this server."""
    return answer({"name": "annals", "version": installed.version()})


@router.get("/metrics")
def figures(request: Request) -> Response:
    """Show the metrics in Prometheus' text format."""
    context = context_of(request)
    text, media_type = metrics.exposition(lambda: health.figures(context))
    return Response(text, headers={"Content-Type": media_type})


@router.get("/docs/problems", include_in_schema=False)
def problem_index() -> HTMLResponse:
    """List every problem that a client can see."""
    return HTMLResponse(problems.index())


@router.get("/docs/problems/{code}", include_in_schema=False)
def problem_page(code: str) -> HTMLResponse:
    """Explain one problem, and the next step."""
    return HTMLResponse(problems.page(code))
