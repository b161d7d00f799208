"""The attacks of `script/test starve`, by the fault that each tries: within the limits and exceeding them.

"Within" is a caller whom no limit refuses: it may go on for good. "Exceeding" is one whom limits refuse, hold
up or cut off, or who calls as fast as it can without a key.
"""

import gzip
import random
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import orjson

from bench import documents
from tests.faults.starve_attacker import Plan, Request
from tests.faults.starve_stage import Stage
from tests.support.pkt_lines import LS_REFS, fetch

Strength = Literal["within", "exceeding"]
# The ratio of a normal client's p99 beside an attack to its p99 alone, at most.
BARS: Mapping[Strength, float] = {"within": 3.0, "exceeding": 5.0}

_KIB = 1024
_MIB = 1024 * _KIB
# Heads and request lines have 64 KiB at most.
_HEAD = 60 * _KIB
_HUGE = 1600  # times 64 KiB
# A document has 8 MiB and 100,000 values at most.
_DOCUMENT = 7_900_000
_VALUES = 90_000
_LARGE = 6_600_000
_EVENTS = 1_000
# So many saves of different content are in memory; then they begin again.
_SAVES = 1_000
_WORKFLOWS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An attack, and the statuses of which at least one has to refuse it where it exceeds a limit."""

    fault: str
    name: str
    strength: Strength
    plan: Callable[["Target"], Plan]
    refused: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name by which `--only` chooses it."""
        return f"{self.fault}/{self.name}/{self.strength}"


class Target:
    """The attackers' own subscription, and requests to it as bytes."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._tenant = stage.attackers
        self.host = "{}:{}".format(*stage.address)

    def request(
        self,
        method: str,
        path: str,
        role: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Make a request; a path that begins with `S` is that of the attackers' subscription."""
        lines = {"Host": self.host, **(headers or {})}
        if role is not None:
            lines.setdefault("Authorization", f"Bearer {self._tenant.keys[role]}")
        if body is not None:
            lines = {"Content-Type": "application/json", **lines, "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        path = path.replace("S/", f"{self._tenant.path}/", 1) if path.startswith("S/") else path
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")

    def get(self, path: str, role: str | None = None) -> Request:
        """Make a GET."""
        return Request([(self.request("GET", path, role), 1)])

    def post(self, path: str, role: str, body: bytes) -> Request:
        """Make a POST of JSON."""
        return Request([(self.request("POST", path, role, body), 1)])

    def upload_pack(self, body: bytes, **headers: str) -> Request:
        """Make a request to upload-pack, as a viewer."""
        path = f"{self._tenant.git_path}/git-upload-pack"
        more = {"Content-Type": "application/x-git-upload-pack-request", **self._git, **headers}
        return Request([(self.request("POST", path, None, body, more), 1)])

    def info_refs(self) -> Request:
        """Ask for the refs as before protocol 2, which lists them all."""
        path = f"{self._tenant.git_path}/info/refs?service=git-upload-pack"
        headers = {name: value for name, value in self._git.items() if name != "Git-Protocol"}
        return Request([(self.request("GET", path, None, None, headers), 1)])

    @cached_property
    def _git(self) -> dict[str, str]:
        basic = b64encode(f"user:{self._tenant.keys['viewer']}".encode()).decode()
        return {"Authorization": f"Basic {basic}", "Git-Protocol": "version=2"}

    @cached_property
    def large(self) -> str:
        """The path of a workflow of three large versions: one value differs, then the order of all."""
        path = f"/workflows/{self._tenant.workflows[0]}"
        for body in _large_versions():
            self._tenant.call("POST", f"{path}/versions", body)
        return f"S{path}"

    def saves(self, bodies: Iterator[bytes]) -> list[Request]:
        """Make saves of some workflows in turn, but not of the first, whose versions are large."""
        workflows = self._tenant.workflows[1 : 1 + _WORKFLOWS]
        return [
            self.post(f"S/workflows/{workflows[number % len(workflows)]}/versions", "editor", body)
            for number, body in enumerate(bodies)
        ]

    def clone(self) -> Request:
        """Ask for all that is in the repository, large versions included."""
        _ = self.large
        return self.upload_pack(fetch(f"want {self._tenant.main()}", "done"))

    def guesses(self, *, is_known: bool) -> list[Request]:
        """Guess the secret of a known key or of keys that do not exist."""
        known = self._tenant.keys["editor"].rpartition("_")[0] if is_known else None
        requests = []
        for _ in range(_SAVES):
            begins = known or f"annals_{secrets.token_hex(16)}"
            headers = {"Authorization": f"Bearer {begins}_{secrets.token_urlsafe(32)}"}
            requests.append(Request([(self.request("GET", "S/workflows", headers=headers), 1)]))
        return requests


def _large_versions() -> Iterator[bytes]:
    rng = random.Random(1)
    items = [{"id": number, "text": rng.randbytes(150).hex()} for number in range(_LARGE // 330)]
    yield orjson.dumps({"data": {"items": items}})
    items[len(items) // 2]["text"] = "another"
    yield orjson.dumps({"data": {"items": items}})
    rng.shuffle(items)
    yield orjson.dumps({"data": {"items": items}})


def _keys(amount: int, size: int) -> Iterator[bytes]:
    """Yield documents of so many values and bytes: one for each of _WORKFLOWS, then another for each."""
    filler = "x" * (size // amount - len('"fffff":"0",'))
    for digit in "01":
        body = orjson.dumps({"data": {f"{number:x}": filler + digit for number in range(amount)}})
        yield from [body] * _WORKFLOWS


def _small_edits() -> Iterator[bytes]:
    rng = random.Random(2)
    content = documents.document(1)
    for _ in range(_SAVES):
        content = documents.edited(content, rng)
        yield b'{"data":%s}' % content


def _events() -> bytes:
    event = {"action": "EXECUTE", "resource_type": "workflow", "new_values": {"text": "x" * 4_000}}
    return orjson.dumps([event] * _EVENTS)


def _haves(target: Target) -> Plan:
    rng = random.Random(3)
    lines = [f"have {rng.randbytes(20).hex()}" for _ in range(256)]
    body = gzip.compress(fetch(*lines, "done"))
    return _calls(5, target.upload_pack(body, **{"Content-Encoding": "gzip"}))


def _calls(connections: int, *requests: Request, pause: float = 0.0) -> Plan:
    return Plan(manner="calls", connections=connections, requests=requests, pause=pause)


def _gets(
    connections: int, path: str, role: str | None = None, pause: float = 0.0
) -> Callable[[Target], Plan]:
    return lambda target: _calls(connections, target.get(path, role), pause=pause)


def _head(connections: int, begin: bytes, piece: bytes, times: int, end: bytes) -> Callable[[Target], Plan]:
    return lambda _: _calls(connections, Request([(begin, 1), (piece, times), (end, 1)]))


def _dripped_body(target: Target) -> Plan:
    size = 8_000_000
    head = target.request(
        "POST", f"{target.large}/versions", "editor", headers={"Content-Length": str(size), **_JSON}
    )
    return Plan(manner="drip", connections=64, requests=[Request([(head, 1), (b" ", size)])], pause=1.0)


_JSON = {"Content-Type": "application/json"}
_LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
_A = b"a" * 64 * _KIB
_BOMB = gzip.compress(b"0004" * (2 << 20), 9)


def _attack(
    fault: str, name: str, strength: Strength, plan: Callable[[Target], Plan], *refused: str
) -> Attack:
    return Attack(fault=fault, name=name, strength=strength, plan=plan, refused=refused)


ATTACKS: tuple[Attack, ...] = (
    # A1: heads, which anybody can send.
    _attack("A1", "header-60k", "within", _head(8, _LIVE + b"X-A: ", b"a" * _HEAD, 1, b"\r\n\r\n")),
    _attack("A1", "headers-60k", "within", _head(8, _LIVE, b"X-A: a\r\n", _HEAD // 8, b"\r\n")),
    _attack("A1", "path-60k", "within", _head(8, b"GET /", b"a" * _HEAD, 1, b" HTTP/1.1\r\nHost: x\r\n\r\n")),
    _attack(
        "A1", "header-100m", "exceeding", _head(8, _LIVE + b"X-A: ", _A, _HUGE, b"\r\n\r\n"), "431", "reset"
    ),
    _attack(
        "A1",
        "headers-100m",
        "exceeding",
        _head(8, _LIVE, b"X-A: a\r\n" * 8192, _HUGE, b"\r\n"),
        "431",
        "reset",
    ),
    _attack(
        "A1",
        "path-100m",
        "exceeding",
        _head(8, b"GET /", _A, _HUGE, b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        *("414", "431", "reset"),
    ),
    _attack(
        "A1",
        "dripped-heads",
        "exceeding",
        lambda _: Plan(
            manner="drip", connections=200, requests=[Request([(_LIVE + b"X-A: ", 1), (_A, 1)])], pause=1.0
        ),
    ),
    _attack(
        "A1",
        "pipelined",
        "exceeding",
        lambda target: _calls(8, Request([(target.request("GET", "/livez"), 100)], answers=100)),
    ),
    _attack("A1", "livez", "exceeding", _gets(64, "/livez")),
    _attack("A1", "unknown-paths", "exceeding", _gets(64, "/v1/nothing-is-here")),
    _attack("A1", "openapi", "exceeding", _gets(64, "/openapi.json")),
    _attack("A1", "docs", "exceeding", _gets(64, "/static-offline-docs/swagger-ui-bundle.js")),
    # A2: what a client of git says that it wants and has.
    _attack("A2", "haves", "within", _haves),
    _attack(
        "A2",
        "gzip-bomb",
        "exceeding",
        lambda target: _calls(5, target.upload_pack(_BOMB, **{"Content-Encoding": "gzip"})),
        *("400", "413"),
    ),
    # A3: clones, and lists of refs.
    _attack("A3", "clones", "within", lambda target: _calls(4, target.clone())),
    _attack("A3", "clones", "exceeding", lambda target: _calls(32, target.clone())),
    _attack(
        "A3",
        "deaf-clones",
        "exceeding",
        lambda target: Plan(manner="deaf", connections=32, requests=[target.clone()]),
    ),
    _attack("A3", "ls-remote", "within", lambda target: _calls(4, target.upload_pack(LS_REFS))),
    _attack("A3", "ls-remote", "exceeding", lambda target: _calls(64, target.upload_pack(LS_REFS))),
    _attack("A3", "info-refs", "exceeding", lambda target: _calls(64, target.info_refs())),
    # A4: pages that are made anew for each call.
    _attack("A4", "metrics", "within", _gets(64, "/metrics", pause=1.0)),
    _attack("A4", "metrics", "exceeding", _gets(64, "/metrics")),
    _attack("A4", "readyz", "within", _gets(64, "/readyz", pause=1.0)),
    _attack("A4", "readyz", "exceeding", _gets(64, "/readyz")),
    # A6: connections.
    _attack("A6", "idle", "within", lambda _: Plan(manner="silent", connections=1_000)),
    _attack("A6", "idle", "exceeding", lambda _: Plan(manner="silent", connections=12_000)),
    _attack("A6", "dripped-bodies", "exceeding", _dripped_body),
    # A7: bodies.
    _attack("A7", "documents", "within", lambda target: _calls(2, *target.saves(_keys(_VALUES, _DOCUMENT)))),
    _attack(
        "A7", "documents", "exceeding", lambda target: _calls(32, *target.saves(_keys(_VALUES, _DOCUMENT)))
    ),
    _attack(
        "A7", "keys", "exceeding", lambda target: _calls(8, *target.saves(_keys(700_000, _DOCUMENT))), "422"
    ),
    _attack(
        "A7", "events", "within", lambda target: _calls(2, target.post("S/audit-logs", "editor", _events()))
    ),
    _attack(
        "A7",
        "events",
        "exceeding",
        lambda target: _calls(32, target.post("S/audit-logs", "editor", _events())),
    ),
    # A8: many calls.
    _attack("A8", "guesses", "within", lambda target: _calls(1, *target.guesses(is_known=False), pause=6.5)),
    _attack("A8", "guesses", "exceeding", lambda target: _calls(16, *target.guesses(is_known=False)), "429"),
    _attack(
        "A8",
        "guesses-at-a-key",
        "exceeding",
        lambda target: _calls(16, *target.guesses(is_known=True)),
        "429",
    ),
    _attack("A8", "saves", "within", lambda target: _calls(64, *target.saves(_small_edits()))),
    _attack("A8", "lists", "within", _gets(64, "S/audit-logs?limit=200", "auditor")),
    _attack(
        "A8", "statistics", "within", _gets(8, "S/audit-logs/stats?bucket=1m&group_by=user_id", "auditor")
    ),
    # A9: differences of large versions.
    _attack(
        "A9",
        "diffs",
        "within",
        lambda target: _calls(2, target.get(f"{target.large}/diff?from=2&to=3", "viewer")),
    ),
    _attack(
        "A9",
        "diffs",
        "exceeding",
        lambda target: _calls(
            16,
            target.get(f"{target.large}/diff?from=2&to=3", "viewer"),
            target.get(f"{target.large}/diff?from=3&to=4", "viewer"),
        ),
    ),
)
