"""Is it alive, is it ready, what is it, what did it count, and what do its problems mean."""

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
    """The process answers, also while every thread is busy."""
    return answer({"status": "alive"})


@router.get("/readyz")
def readyz(request: Request) -> Response:
    """Each part that requests need, by name; 503 where one fails."""
    readiness = health.readiness(context_of(request))
    return answer(readiness, 200 if readiness.ready else 503)


@router.get("/version")
def version() -> Response:
    """The version of this server."""
    return answer({"name": "annals", "version": installed.version()})


@router.get("/metrics")
def figures(request: Request) -> Response:
    """Prometheus' text format."""
    context = context_of(request)
    text, media_type = metrics.exposition(lambda: health.figures(context))
    return Response(text, headers={"Content-Type": media_type})


@router.get("/docs/problems", include_in_schema=False)
def problem_index() -> HTMLResponse:
    """Every problem that a client can see."""
    return HTMLResponse(problems.index())


@router.get("/docs/problems/{code}", include_in_schema=False)
def problem_page(code: str) -> HTMLResponse:
    """What one problem means and what to do next."""
    return HTMLResponse(problems.page(code))
