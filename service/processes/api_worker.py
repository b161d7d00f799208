"""One API process of `annals serve`, which lives as long as its lifeline."""

import socket

import uvicorn

from service.documents.workers import DocumentWorkers
from service.http.app import create_app
from service.http.connections.limits import limits_of_this_process
from service.http.connections.protocols import protocol_class
from service.http.connections.server import HttpServer
from service.http.tails import Tails
from service.processes.children import Setup
from service.runtime import garbage_collector
from service.runtime.clock import system_clock
from service.runtime.heartbeat import Heartbeat
from service.runtime.lifeline import Lifeline
from service.usecases.platform_events import PlatformEvents
from service.web.app import add_pages

# Time for the requests that are under way when the server stops; a clone that takes longer is cut off.
GRACE_SECONDS = 10
# Time after this for the last batches of the committer and the server log. The supervisor waits a little
# longer than both.
LEAVING_SECONDS = 8
KEEP_ALIVE_SECONDS = 30


class _BeatingServer(HttpServer):
    """Beats at each of its ticks, ten times a second, as long as the event loop turns."""

    def __init__(self, config: uvicorn.Config, heartbeat: Heartbeat, tails: Tails) -> None:
        super().__init__(config)
        self._heartbeat = heartbeat
        self._tails = tails

    async def on_tick(self, counter: int) -> bool:
        """Beat, and do what uvicorn does at a tick."""
        self._heartbeat.beat()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the tails, for which the time of grace would pass in vain, and do what the server does."""
        self._tails.end()
        await super().shutdown(sockets)


def run(setup: Setup) -> None:
    """Serve until the supervisor closes the pipe."""
    lifeline = Lifeline(grace_seconds=GRACE_SECONDS + LEAVING_SECONDS)
    settings = setup.settings
    app = create_app(
        settings,
        database_url=setup.database_url,
        committer_socket=setup.committer_socket,
        documents=DocumentWorkers(setup.documents_socket),
    )
    add_pages(app)
    if setup.replaces is not None:
        events = PlatformEvents(app.state.context.database, system_clock)
        events.record("api_worker_restarted", f"an API worker was started again: {setup.replaces}")
    config = uvicorn.Config(
        app,
        http=protocol_class(limits_of_this_process()),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # A client can send a false address in a header: without a trusted proxy the socket's counts.
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _BeatingServer(config, setup.heartbeat, app.state.tails)

    def end() -> None:
        server.should_exit = True

    lifeline.on_end = end
    garbage_collector.spare_what_stays()
    assert setup.listener is not None  # noqa: S101 - the supervisor opened it
    server.run(sockets=[setup.listener])
