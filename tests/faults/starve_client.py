"""A normal client: it reads, saves and fetches at a steady pace, and measures how long each answer takes."""

import http.client
import random
import threading
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from bench import documents
from bench.load import percentile
from tests.faults.starve_stage import Tenant
from tests.support.pkt_lines import LS_REFS, fetch

# Calls of a kind are spread over several connections, so that a late answer does not make the next ones late.
CONNECTIONS = {"read": 4, "save": 2, "fetch": 1}
CALLS_A_SECOND = {"read": 40, "save": 10, "fetch": 2}
# An answer that takes longer counts as none.
PATIENCE_SECONDS = 30
# The time after which a turn ends whatever was answered, in multiples of the time that it should take.
PATIENCE = 4
KINDS = tuple(CONNECTIONS)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and the status that its answer must have."""

    method: str
    path: str
    expected: int
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Turn:
    """The latencies of a turn in milliseconds by kind of call, lowest first, and the wrong answers."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    wrong: list[str] = field(default_factory=list)

    def p50(self, kind: str) -> float:
        """Return the median."""
        return percentile(self.latencies[kind], 0.5)

    def p99(self, kind: str) -> float:
        """Return the latency that one call in a hundred exceeds."""
        return percentile(self.latencies[kind], 0.99)


class Client:
    """A client of a tenant, who reads, saves and fetches at once."""

    def __init__(self, tenant: Tenant, *, seed: int = 1) -> None:
        self._tenant = tenant
        self._rng = random.Random(seed)
        self._commit = tenant.main()
        self._contents = {each: documents.document(number) for number, each in enumerate(tenant.workflows)}

    def turn(self, seconds: float) -> Turn:
        """Make the calls of so many seconds; a call is due at its time even if one before it is late."""
        turn = Turn()
        until = time.monotonic() + seconds * PATIENCE
        # All requests are made before the clock starts.
        makers = {"read": self._reads, "save": self._saves, "fetch": self._fetches}
        threads = []
        for kind, connections in CONNECTIONS.items():
            rate = CALLS_A_SECOND[kind] / connections
            for _ in range(connections):
                exchanges = makers[kind](max(1, int(rate * seconds)))
                given = (self._tenant.address, turn, kind, rate, exchanges, until)
                threads.append(threading.Thread(target=_make, args=given))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for latencies in turn.latencies.values():
            latencies.sort()
        return turn

    def _reads(self, amount: int) -> list[Exchange]:
        """Read resources and their histories by turns."""
        headers = {"Authorization": f"Bearer {self._tenant.editor}"}
        paths = [self._resource(self._rng.choice(self._tenant.workflows)) for _ in range(amount)]
        return [
            Exchange("GET", path + ("/versions" if number % 2 else ""), 200, None, headers)
            for number, path in enumerate(paths)
        ]

    def _saves(self, amount: int) -> list[Exchange]:
        headers = {"Authorization": f"Bearer {self._tenant.editor}", "Content-Type": "application/json"}
        found = []
        for _ in range(amount):
            workflow = self._rng.choice(self._tenant.workflows)
            content = self._contents[workflow] = documents.edited(self._contents[workflow], self._rng)
            path = f"{self._resource(workflow)}/versions"
            found.append(Exchange("POST", path, 201, b'{"data":%s}' % content, headers))
        return found

    def _fetches(self, amount: int) -> list[Exchange]:
        """List refs, and take a commit without its files, by turns."""
        basic = b64encode(f"user:{self._tenant.editor}".encode()).decode()
        headers = {
            "Authorization": f"Basic {basic}",
            "Git-Protocol": "version=2",
            "Content-Type": "application/x-git-upload-pack-request",
        }
        bodies = (LS_REFS, fetch(f"want {self._commit}", "deepen 1", "filter tree:0", "done"))
        path = f"{self._tenant.git_path}/git-upload-pack"
        return [Exchange("POST", path, 200, bodies[number % 2], headers) for number in range(amount)]

    def _resource(self, workflow: str) -> str:
        return f"{self._tenant.path}/workflows/{workflow}"


def _make(
    address: tuple[str, int], turn: Turn, kind: str, rate: float, exchanges: Sequence[Exchange], until: float
) -> None:
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE_SECONDS)
    began = time.monotonic()
    for number, exchange in enumerate(exchanges):
        due = began + number / rate
        now = time.monotonic()
        if now > until:
            turn.wrong.append(f"{len(exchanges) - number} calls of kind {kind} were not made in time")
            break
        # A client that woke up late counts from then on, one that still waited for an answer from its time.
        if now < due:
            time.sleep(due - now)
            due = time.monotonic()
        problem = _exchanged(connection, exchange)
        turn.latencies[kind].append((time.monotonic() - due) * 1000)
        if problem is not None:
            turn.wrong.append(problem)
    connection.close()


def _exchanged(connection: http.client.HTTPConnection, exchange: Exchange) -> str | None:
    """Make a call; returns what was wrong with its answer."""
    what = f"{exchange.method} {exchange.path.rpartition('/')[2]}"
    began = time.monotonic()
    try:
        connection.request(exchange.method, exchange.path, exchange.body, exchange.headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return f"{what}: {type(error).__name__} {error} after {time.monotonic() - began:.1f} s"
    if response.status == exchange.expected:
        return None
    return f"{what}: {response.status} after {time.monotonic() - began:.1f} s: {_detail(content)}"


def _detail(content: bytes) -> str:
    try:
        return str(orjson.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace")
