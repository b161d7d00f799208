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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import uvicorn

# For requests under way when the server stops; a clone that takes longer is cut off.
GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 30


class Lifeline:
    """Ends the process when the supervisor is gone: at once while it starts, in good order later."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        threading.Thread(target=self._follow, name="lifeline", daemon=True).start()

    def _follow(self) -> None:
        sys.stdin.read()
        if self.server is not None:
            self.server.should_exit = True
            time.sleep(GRACE_SECONDS + 5)
        # Nothing was begun yet, or something blocks the way out.
        os._exit(1)


def main() -> None:
    """Serve until the supervisor closes the pipe."""
    handed: dict[str, Any] = json.loads(sys.stdin.readline())
    # Before the imports, which take a second: a supervisor that is killed meanwhile must free its port.
    lifeline = Lifeline()

    import uvicorn

    from service import log_format
    from service.main import create_app
    from service.settings import Settings

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
    lifeline.server = uvicorn.Server(config)
    lifeline.server.run(sockets=[socket.socket(fileno=handed["listener"])])


if __name__ == "__main__":
    main()
