"""The figure of the live tails: how long a save takes beside twenty of them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection

from bench import tenants
from bench.browsing import auditor, signed_in
from bench.figures import Demand, Measured, Traffic
from bench.load import Chain, LoadFailed
from bench.service import ROOT, Service
from bench.stage import Stage
from bench.tenants import Tenant

TAILS = Demand(
    "tails", "median of a save beside 20 live tails, against without them", 1.1, 1.05, "×", at_most=True
)

_TAILS_EACH, _OF_SESSION = 10, 3
_SAVERS = 4


def saves(stage: Stage) -> list[Measured]:
    """Save alone, and beside tails of two subscriptions; both report events all the time."""
    measured = Measured(TAILS, measure="ms")
    service = stage.service()
    among = [(tenant, auditor(service, tenant)) for tenant in (stage.hot(), stage.small())]

    def saved(tails: int) -> tuple[Traffic, int]:
        def make(amount: int) -> list[Chain]:
            return list(tenants.saves([stage.hot()], amount, stage.rng))

        with _watched(service, among, tails) as watch:
            turn = stage.turn(make, "save", clients=_SAVERS)
        return turn, watch.lines

    for number in range(stage.sizes.pairs):
        alone, _ = saved(0)
        beside, lines = saved(_TAILS_EACH)
        if not lines:
            raise LoadFailed("no line came by any tail")
        measured.add(beside.p50, alone.p50)
        measured.traffic.append(beside)
        measured.notes.append(
            f"{lines:,} lines came by {_TAILS_EACH * len(among)} tails beside the saves; processor ms "
            f"a save, beside and without: API {beside.cpu_ms['API']:.2f}, {alone.cpu_ms['API']:.2f}, "
            f"database {beside.cpu_ms['database']:.2f}, {alone.cpu_ms['database']:.2f}; "
            f"others took {beside.others:.0%} and {alone.others:.0%} of the machine"
        )
        stage.say(
            f"tails, pair {number + 1}: p50 {beside.p50:.2f} ms beside tails, {alone.p50:.2f} ms without"
        )
    return [measured]


@dataclass(slots=True)
class _Watch:
    lines: int = 0


@contextmanager
def _watched(service: Service, among: Sequence[tuple[Tenant, str]], tails: int) -> Iterator[_Watch]:
    """Report events of each tenant, and follow so many tails of each, while the block works."""
    given = {
        "database": service.database.url,
        "url": service.url,
        "tenants": [
            {
                "path": tenant.path,
                "key": tenant.keys[0],
                "stream": f"/s/{tenant.subscription_id}/executions/tail/lines",
                "cookies": _cookies(service, key, tails),
            }
            for tenant, key in among
        ],
    }
    watch = _Watch()
    command = [sys.executable, "-m", "bench.watching"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    if process.stdin is None or process.stdout is None:
        raise LoadFailed("the tails have no pipes")
    process.stdin.write(json.dumps(given) + "\n")
    process.stdin.flush()
    if process.stdout.readline() != "ready\n":
        raise LoadFailed("the tails did not begin")
    try:
        yield watch
    finally:
        process.stdin.close()
        watch.lines = int(process.stdout.read() or 0)
        process.stdout.close()
        process.wait()


def _cookies(service: Service, key: str, tails: int) -> list[str]:
    """Sign in as often as so many tails need; returns the cookie of each tail."""
    with closing(HTTPConnection(*service.address, timeout=60)) as connection:
        sessions = [signed_in(connection, key) for _ in range(0, tails, _OF_SESSION)]
    return [sessions[number // _OF_SESSION] for number in range(tails)]
