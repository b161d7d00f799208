"""Composition root: make the application from settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import anyio
import anyio.to_thread
import orjson
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.types import Lifespan

from gitstore.read.blob_reader import Reader
from gitstore.serve.upload_pack import UploadPack
from gitstore.store import Store
from service.committer.client import SocketCommitter, ThreadCommitter
from service.committer.group_commit import WRITERS
from service.documents.workers import IN_THREAD, DocumentWorkers
from service.http import error_handlers
from service.http.admission import STREAMS, Admission
from service.http.auth.rate_limits import RateLimits
from service.http.cross_origin import CrossOrigin
from service.http.description.document import described, published
from service.http.middleware import RequestMiddleware
from service.http.refusals import RefusalRecorder
from service.http.routes import (
    api_keys,
    as_of,
    audit_logs,
    audit_policies,
    check_outs,
    comments,
    data_changes,
    deletions,
    execution_logs,
    executions,
    git,
    health,
    legal_holds,
    otlp_logs,
    platform,
    publications,
    references,
    resources,
    retention_policies,
    rollbacks,
    scheduled_jobs,
    server_logs,
    subscriptions,
    tags,
    users,
    version_health,
    versions,
)
from service.http.served_paths import ServedPaths
from service.http.server_log.writer import ServerLogWriter
from service.http.tails import TAIL_THREADS, TailLimits, Tails
from service.runtime.clock import Clock, system_clock
from service.runtime.fair_places import FairPlaces
from service.runtime.fair_threads import FairThreads
from service.runtime.sampling import Sampler
from service.runtime.settings import Settings
from service.runtime.version import version
from service.usecases.authentication import Authenticator
from service.usecases.context import Context
from service.usecases.cors_origins import OriginReader
from service.usecases.credentials import CredentialReader, SessionReader
from service.usecases.health import Health
from service.usecases.logins import LoginRecorder
from sql.database import STATEMENT_SECONDS, Database

# A clone that can't begin within this time is refused; the client can try it again later.
GIT_QUEUE_SECONDS = 60
# Lists of refs for one subscription at a time, which take a moment each; all together have twice as many.
GIT_LISTINGS = 2
# A diff computes in Python and by git: one of a subscription at a time, beside one of another's.
DIFF_THREADS = 2


def create_app(
    settings: Settings,
    *,
    database_url: str,
    committer_socket: Path | None = None,
    documents: DocumentWorkers = IN_THREAD,
    clock: Clock = system_clock,
) -> FastAPI:
    """Make the application on a database whose schema is up to date.

    The committer is the process behind `committer_socket`; without one, it is threads of this process. So is
    the work on large documents without `documents`.
    """
    public_url = settings.reachable_url
    admission = Admission(threads=settings.threads)
    connections = admission.all_threads + DIFF_THREADS + TAIL_THREADS + STREAMS + 4
    if committer_socket is None:
        connections += WRITERS + 2
    database = Database(database_url, pool_size=connections, statement_seconds=STATEMENT_SECONDS)
    authenticator = Authenticator(
        CredentialReader(database), SessionReader(database), LoginRecorder(database, clock), clock
    )
    origins = OriginReader(database)
    refusals = RefusalRecorder(database, clock)
    server_log = ServerLogWriter(database_url, clock)
    store = Store(settings.git_dir)
    committer: ThreadCommitter | SocketCommitter = (
        ThreadCommitter(
            database,
            store,
            clock=clock,
            public_url=public_url,
            documents=documents,
            restorable_for=timedelta(days=settings.restore_days),
        )
        if committer_socket is None
        else SocketCommitter(committer_socket)
    )
    context = Context(
        settings=settings,
        database=database,
        store=store,
        reader=Reader(store, read_large=documents.read),
        documents=documents,
        committer=committer,
        clock=clock,
        public_url=public_url,
        diffs=FairThreads(DIFF_THREADS, each=1),
    )

    tails = Tails(TailLimits.of(settings))
    sampler = Sampler("api", {"requests": database}, server_log.sample, admission.sample, tails.sample)
    vitals = Health(context, database_url, sample=sampler.sample)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = admission.all_threads
        await committer.start()
        server_log.start()
        sampler.start()
        try:
            yield
        finally:
            await tails.close()
            await committer.stop()
            await anyio.to_thread.run_sync(server_log.stop)
            app.state.upload_pack.close()
            await refusals.close()
            await authenticator.credentials.close()
            await authenticator.sessions.close()
            await origins.close()
            sampler.stop()
            vitals.close()
            database.close()

    app = routed(lifespan)
    app.state.context = context
    app.state.admission = admission
    app.state.health = vitals
    app.state.tails = tails
    app.state.authenticator = authenticator
    app.state.refusals = refusals
    # Set by those who add pages for people: see `error_handlers.ErrorPage`.
    app.state.error_page = None
    app.state.origin_reader = origins
    app.state.rate_limits = RateLimits(settings, clock)
    app.state.upload_pack = UploadPack(
        store,
        transfers=FairPlaces(2 * settings.git_processes, each=settings.git_processes),
        listings=FairPlaces(2 * GIT_LISTINGS, each=GIT_LISTINGS),
        deadline_seconds=settings.git_timeout,
        queue_seconds=GIT_QUEUE_SECONDS,
    )
    app.add_middleware(
        RequestMiddleware,
        admission=admission,
        record=server_log.add,
        clock=clock,
        cross_origin=CrossOrigin(settings.allowed_origins, origins.origins),
        over_tls=public_url.startswith("https://"),
    )
    return app


def routed(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """Make an application with all routes and their description, without the parts that serve them."""
    app = FastAPIOffline(
        title="Annals",
        version=version(),
        lifespan=lifespan,
        redoc_url=None,
        # Off: `runtime.metrics` and the log suffice, and FastAPI would look for listeners in each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.served_paths = ServedPaths(app.router.routes)
    app.router.routes.insert(0, app.state.served_paths)
    app.include_router(health.router)
    # Routes are tried one after the other, so that those of the most frequent calls have to be first.
    nouns = (
        versions,
        check_outs,
        resources,
        git,
        tags,
        publications,
        comments,
        references,
        rollbacks,
        deletions,
        as_of,
        audit_logs,
        execution_logs,
        executions,
        version_health,
        otlp_logs,
        server_logs,
        data_changes,
        audit_policies,
        legal_holds,
        retention_policies,
        scheduled_jobs,
        platform,
        subscriptions,
        users,
        api_keys,
    )
    for router in nouns:
        app.include_router(router.router)
    _describe(app)
    error_handlers.install(app)
    return app


def _describe(app: FastAPI) -> None:
    """Serve the description of the API, whose text is made once, in a thread: it takes some 100 ms."""
    app.openapi = cache(partial(described, app))  # type: ignore[method-assign]
    path = app.openapi_url or ""
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") != path]

    making = anyio.Lock()
    made: list[bytes] = []

    def make() -> None:
        made.append(orjson.dumps(published(app)))

    async def description(_: Request) -> Response:
        async with making:
            if not made:
                await anyio.to_thread.run_sync(make)
        return Response(made[0], media_type="application/json")

    app.add_route(path, description, include_in_schema=False)
