"""One API process of `annals serve`: it lives as long as its standard input stays open.

The supervisor writes one line of JSON, the settings, and keeps the pipe; however it ends, the pipe closes
with it, and so does this process.
"""

import json
import os
import socket
import sys
import threading
import time
from typing import Any

import uvicorn

from service import log_format
from service.main import create_app
from service.settings import Settings

# For requests under way when the server stops; a clone that takes longer is cut off.
GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 30


def main() -> None:
    """Serve until the supervisor closes the pipe."""
    handed: dict[str, Any] = json.loads(sys.stdin.readline())
    settings = Settings(**handed["settings"])
    log_format.configure(settings.log_format, settings.log_level)
    app = create_app(settings, database_url=handed["database_url"])
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
    threading.Thread(target=_follow_supervisor, args=[server], name="lifeline", daemon=True).start()
    server.run(sockets=[socket.socket(fileno=handed["listener"])])


def _follow_supervisor(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True
    time.sleep(GRACE_SECONDS + 5)
    # Still here: something blocks the way out, and the supervisor is gone or waiting.
    os._exit(1)


if __name__ == "__main__":
    main()
