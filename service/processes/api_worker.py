"""One API process of `annals serve`, which lives as long as its lifeline."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

from service.runtime import garbage_collector
from service.runtime.lifeline import Lifeline

# For requests under way when the server stops; a clone that takes longer is cut off.
GRACE_SECONDS = 10
# After them: for the committer's and the server log's last batches. The supervisor waits a little longer.
LEAVING_SECONDS = 8
KEEP_ALIVE_SECONDS = 30


def main() -> None:
    """Serve until the supervisor closes the pipe."""
    handed: dict[str, Any] = json.loads(sys.stdin.readline())
    # Before the imports, which take a second: a supervisor that is killed meanwhile must free its port.
    lifeline = Lifeline(grace_seconds=GRACE_SECONDS + LEAVING_SECONDS)
    garbage_collector.put_off()

    import uvicorn

    from service.http.app import create_app
    from service.runtime import log_setup
    from service.runtime.settings import Settings

    settings = Settings(**handed["settings"])
    log_setup.configure(settings.log_format, settings.log_level)
    app = create_app(
        settings, database_url=handed["database_url"], committer_socket=Path(handed["committer_socket"])
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # Without a named proxy, an address in a header is anybody's claim: the audit takes the socket's.
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)

    def end() -> None:
        server.should_exit = True

    lifeline.on_end = end
    garbage_collector.spare_what_stays()
    server.run(sockets=[socket.socket(fileno=handed["listener"])])


if __name__ == "__main__":
    main()
