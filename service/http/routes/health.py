"""Health of the process: liveness, readiness, version and metrics; and the pages of the problems."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from service.domain.errors import Unavailable
from service.http import problems
from service.http.auth.headers import require_metrics_key
from service.http.description.declarations import refuses
from service.http.responses import answer
from service.http.schemas.answers import Liveness, ServerVersion
from service.runtime import version as installed
from service.usecases.health import Health, Readiness

router = APIRouter(tags=["operations"])


@router.get("/livez", response_model=Liveness)
async def livez() -> Response:
    """Tell that the process is alive, also while every thread is busy."""
    return answer({"status": "alive"})


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "A part fails, or does not answer"}},
)
async def readyz(request: Request) -> Response:
    """Check each part that requests need, by name; 503 if one fails or does not answer within 2.5 seconds."""
    readiness = await health_of(request).readiness()
    if readiness.ready:
        return answer(readiness)
    response = answer(readiness, 503)
    response.headers["Retry-After"] = str(problems.RETRY_AFTER_SECONDS)
    return response


@router.get("/version", response_model=ServerVersion)
def version() -> Response:
    """Show the version of this server."""
    return answer({"name": "annals", "version": installed.version()})


@router.get("/metrics", response_model=str, response_class=PlainTextResponse)
@refuses(Unavailable)
async def metrics(request: Request, _: Annotated[None, Depends(require_metrics_key)]) -> Response:
    """Show the metrics in Prometheus' text format, which are made once a second at most."""
    return Response(await health_of(request).exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def health_of(request: Request) -> Health:
    """Health of this process."""
    return cast("Health", request.app.state.health)


@router.get("/docs/problems", include_in_schema=False)
def problem_index() -> HTMLResponse:
    """List every problem that a client can see."""
    return HTMLResponse(problems.index())


@router.get("/docs/problems/{code}", include_in_schema=False)
def problem_page(code: str) -> HTMLResponse:
    """Explain one problem, and the next step."""
    return HTMLResponse(problems.page(code))
