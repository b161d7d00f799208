"""Chromium without a window, and a small site whose pages report what their script found."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

from tests.support.api import Json

CHROMIUM = shutil.which("chromium")
SECONDS = 60
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-dev-shm-usage", "--no-first-run", "--disable-component-update"),
)
_PAGE = """<!doctype html>
<title>page</title>
<script type="module">
const found = {origin: location.origin};
try {
%s
} catch (error) {
    found.error = String(error);
}
await fetch("/found", {method: "POST", body: JSON.stringify(found)});
</script>
"""


class Site:
    """A web server of this machine, which `localhost` and `127.0.0.1` reach as two origins.

    Each of its pages runs the script, which sets fields of `found`.
    """

    def __init__(self, script: str) -> None:
        self.found: Queue[Json] = Queue()
        page, found = (_PAGE % script).encode(), self.found

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(page)

            def do_POST(self) -> None:
                found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer(b"")

            def _answer(self, content: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def origin(self, host: str) -> str:
        """Return the origin of the pages under a name of this machine."""
        return f"http://{host}:{self.server.server_port}"


@contextmanager
def site(script: str) -> Iterator[Site]:
    """Serve pages until the block ends."""
    made = Site(script)
    thread = Thread(target=made.server.serve_forever, name="site")
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()


def visited(pages: Site, host: str, folder: Path) -> Json:
    """Open a page in a browser; returns what its script found."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *_OPTIONS, f"--user-data-dir={folder / host}", pages.origin(host)]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return pages.found.get(timeout=SECONDS)
    finally:
        browser.terminate()
        browser.wait(SECONDS)
