"""The composition root: settings in, application out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Match

from gitstore.errors import GitStoreError
from gitstore.history import Reader
from gitstore.layout import Store
from gitstore.upload_pack import UploadPack
from service import problems
from service.clock import Clock, system_clock
from service.committer.group import WRITERS
from service.committer.transport import SocketCommitter, ThreadCommitter
from service.context import Context
from service.credentials import CredentialReader
from service.errors import AnnalsError, Fault, Invalid, MethodNotAllowed, PathNotFound
from service.middleware import RequestMiddleware
from service.routes import (
    checkouts,
    comments,
    git,
    health,
    logs,
    publications,
    resources,
    rollbacks,
    tags,
    tenancy,
    versions,
)
from service.settings import Settings
from service.usecases.health import version
from sql.database import Database
from sql.errors import DatabaseError

log = structlog.get_logger(__name__)

# A clone that can't start within this time is told to come back rather than kept waiting.
GIT_QUEUE_SECONDS = 60
# More than are made at once, so that one of them waits for its turn while others are made.
DIFF_THREADS = 4


_PROBLEM = {
    "description": "A problem (RFC 9457); `type` resolves to what it means",
    "content": {problems.MEDIA_TYPE: {}},
}


def create_app(
    settings: Settings,
    *,
    database_url: str,
    committer_socket: Path | None = None,
    clock: Clock = system_clock,
) -> FastAPI:
    """The application on a database whose schema is up to date.

    The committer is the process behind `committer_socket`, or where there is none threads of this process.
    """
    public_url = settings.public_url or f"http://{settings.host}:{settings.port}"
    connections = settings.threads + DIFF_THREADS + 1 + (WRITERS + 1 if committer_socket is None else 0)
    database = Database(database_url, pool_size=connections)
    credentials = CredentialReader(database)
    store = Store(settings.git_dir)
    committer: ThreadCommitter | SocketCommitter = (
        ThreadCommitter(database, store, clock=clock, public_url=public_url)
        if committer_socket is None
        else SocketCommitter(committer_socket)
    )
    context = Context(
        settings=settings,
        database=database,
        credentials=credentials,
        store=store,
        reader=Reader(store),
        committer=committer,
        clock=clock,
        public_url=public_url,
        diff_threads=anyio.CapacityLimiter(DIFF_THREADS),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
        await committer.start()
        try:
            yield
        finally:
            await committer.stop()
            app.state.upload_pack.close()
            credentials.close()
            database.close()

    app = FastAPIOffline(
        title="Annals",
        version=version(),
        description="A git-backed versioning service with an audit store.",
        lifespan=lifespan,
        redoc_url=None,
        # `service.metrics` and the log say what is to be known; asking who else listens costs each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        redirect_slashes=False,
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM, 422: _PROBLEM},
    )
    app.state.context = context
    app.state.upload_pack = UploadPack(
        store,
        limit=settings.git_processes,
        deadline_seconds=settings.git_timeout,
        queue_seconds=GIT_QUEUE_SECONDS,
    )
    app.add_middleware(RequestMiddleware)
    app.include_router(health.router)
    # Routes are tried one after the other: the calls of every day first.
    nouns = (versions, checkouts, resources, git, tags, publications, comments, rollbacks, logs, tenancy)
    for router in nouns:
        app.include_router(router.router)
    _describe_keys(app)
    for kind, handler in (
        (AnnalsError, _refused),
        (DatabaseError, _failed),
        (GitStoreError, _failed),
        (RequestValidationError, _unfit),
        (HTTPException, _unserved),
    ):
        app.add_exception_handler(kind, handler)
    return app


def _describe_keys(app: FastAPI) -> None:
    """Say in the description that calls take a key: what a key may do is each route's own dependency.

    A security scheme of FastAPI's would be carried out in each request, to no end.
    """
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = describe()
            schemes = description.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes["HTTPBearer"] = {"type": "http", "scheme": "bearer"}
            for path, methods in description["paths"].items():
                if path.startswith(("/v1/", "/git/")):
                    for operation in methods.values():
                        operation["security"] = [{"HTTPBearer": []}]
        return app.openapi_schema or describe()

    app.openapi = described  # type: ignore[method-assign]


def _problem(request: Request, error: AnnalsError) -> Response:
    is_git = request.url.path.startswith("/git/")
    return problems.answer(error, request.state.request_id, basic_realm=is_git)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnnalsError)  # noqa: S101 - registered for nothing else
    return _problem(request, error)


async def _failed(request: Request, error: Exception) -> Response:
    known = problems.from_store(error)
    if known is None:
        raise error
    log.warning("a store failed", request_id=request.state.request_id, error=repr(error))
    return _problem(request, known)


async def _unfit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    faults = [
        Fault(str(p["msg"]).removeprefix("Value error, "), parameter=str(p["loc"][-1]))
        for p in error.errors()
    ]
    shown = "; ".join(f"{fault.parameter}: {fault.detail}" for fault in faults)
    return _problem(request, Invalid(f"The query is not valid: {shown}.", faults=faults))


async def _unserved(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if error.status_code == 405:
        response = _problem(request, MethodNotAllowed(f"{request.method} does not apply to this path."))
        response.headers["Allow"] = ", ".join(_methods(request))
        return response
    if error.status_code == 404:
        return _problem(request, PathNotFound("Nothing is served at this address."))
    raise error


def _methods(request: Request) -> list[str]:
    """What the address takes: Starlette names the methods of the first route that fits only."""
    routes = request.app.router.routes
    return [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
