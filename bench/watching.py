"""Report events and follow live tails, until standard input is closed.

It runs as a process of its own, and numbers the rows of logs as a leading scheduler does. The input is JSON
in one line: `database`, `url`, and `tenants` with `path`, `key`, `stream` and the `cookies` of their tails.
Prints `ready`, and at the end the number of lines that came by all tails.
"""

import json
import queue
import sys
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from service.runtime.clock import system_clock
from service.sealing.sequencer import Sequencer
from sql.database import Database

# Events that each tenant reports at once, and seconds between two such calls.
EVENTS, REST_SECONDS = 5, 0.25


def main() -> None:
    """Work until the other end of the input is closed."""
    given = json.loads(sys.stdin.readline())
    ended = threading.Event()
    sequencer = Sequencer(Database(given["database"], pool_size=1), system_clock)
    sequencer.start()
    netloc = urlsplit(given["url"]).netloc
    lines: list[int] = []
    begun: queue.Queue[int] = queue.Queue()
    tails = [(each["stream"], cookie) for each in given["tenants"] for cookie in each["cookies"]]
    for stream, cookie in tails:
        _begin(_follow, netloc, stream, cookie, lines, begun)
    refused = [status for status in (begun.get() for _ in tails) if status != 200]
    if refused:
        sys.exit(f"tails were answered {refused}")
    reporters = [_begin(_report, netloc, each, ended) for each in given["tenants"]]
    print("ready", flush=True)
    sys.stdin.read()
    ended.set()
    for reporter in reporters:
        reporter.join()
    sequencer.stop()
    print(sum(lines), flush=True)


def _begin(work: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def _follow(netloc: str, stream: str, cookie: str, lines: list[int], begun: queue.Queue[int]) -> None:
    connection = HTTPConnection(netloc, timeout=120)
    connection.request("GET", stream, headers={"Accept": "text/event-stream", "Cookie": cookie})
    answer = connection.getresponse()
    begun.put(answer.status)
    lines.extend(line.count(b"<li>") for line in answer)


def _report(netloc: str, tenant: dict[str, Any], ended: threading.Event) -> None:
    connection = HTTPConnection(netloc, timeout=120)
    headers = {"Authorization": f"Bearer {tenant['key']}", "Content-Type": "application/json"}
    event = {"execution_id": "watched", "execution_type": "workflow", "log_level": "INFO"}
    body = json.dumps([event | {"log_message": f"event {number}"} for number in range(EVENTS)])
    while not ended.wait(REST_SECONDS):
        connection.request("POST", f"{tenant['path']}/execution-logs", body, headers)
        connection.getresponse().read()


if __name__ == "__main__":
    main()
