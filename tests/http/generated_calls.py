"""Calls that schemathesis generates from the description of the API: `script/test generated`.

Each role makes calls of every operation, valid and invalid, one alone and in sequences. No answer may be a
5xx, or differ from the description in status, headers or body. The keys that call have to survive it.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.databases import Cluster, cluster_url
from tests.support.running_server import OPERATOR_KEY
from tests.support.standing_server import Tenant, serving, workspace

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
PHASES = ("examples", "coverage", "fuzzing", "stateful")
REQUESTS = 20_000
# Examples of an operation in a round; a round on demand makes some thousand calls, most of them for coverage.
EXAMPLES = 20
# Generated input may be refused for what no description tells, such as a resource that does not exist. A head
# past its limit is refused by 431, as the description says, which the tool's own list of refusals lacks.
_CONFIG = """\
headers = {{ Authorization = "Bearer {key}" }}
parameters = {{ {parameters} }}
request-timeout = 60

[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = [
    400, 401, 403, 404, 405, 406, 409, 415, 422, 428, 429, 431, "5xx",
]
"""


@dataclass(frozen=True)
class Seat:
    """A caller with a key, and the path parameters that name what it works on."""

    name: str
    role: str
    key: str
    path: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """The calls that were made, and each failure in words."""

    calls: int
    failures: list[str]


def seats(url: str) -> list[Seat]:
    """Make a subscription with a workspace, and the seats of its admin and of the operator."""
    tenant = Tenant(url)
    with tenant.client(url) as client:
        resource_id = workspace(client, "Generated")["resource_id"]
    its = {"subscription_id": tenant.subscription_id}
    resource = its | {"collection": "workspaces", "resource_id": resource_id, "ref": "current"}
    return [
        Seat("admin", "admin", tenant.key, its),
        Seat("admin of a resource", "admin", tenant.key, resource),
        Seat("operator", "operator", OPERATOR_KEY, its),
    ]


def generated(
    url: str, seat: Seat, folder: Path, *, phases: Sequence[str], examples: int, seed: int
) -> Outcome:
    """Call every operation by schemathesis, from a seat; raises RuntimeError if it could not."""
    config, report = folder / "schemathesis.toml", folder / "report.json"
    parameters = ", ".join(f'"path.{name}" = "{value}"' for name, value in seat.path.items())
    config.write_text(_CONFIG.format(key=seat.key, parameters=parameters))
    command = [
        *(str(SCHEMATHESIS), "--config-file", str(config), "run", f"{url}/openapi.json", "--no-color"),
        *("--phases", ",".join(phases), "--max-examples", str(examples), "--seed", str(seed), "--no-shrink"),
        *("--continue-on-failure", "--report", "json", "--report-json-path", str(report)),
    ]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if not report.exists():
        raise RuntimeError(ran.stdout + ran.stderr)
    found = json.loads(report.read_text())
    failures = [json.dumps(each) for each in (*found["failures"], *found["errors"])]
    if failures:
        failures.append(ran.stdout)
    if ran.returncode and not failures:
        raise RuntimeError(ran.stdout + ran.stderr)
    if not _survives(url, seat):
        failures.append(f"the key of the {seat.name} did not survive")
    return Outcome(found["test_cases"]["generated"], failures)


def _survives(url: str, seat: Seat) -> bool:
    answer = httpx.get(f"{url}/v1/whoami", headers={"Authorization": f"Bearer {seat.key}"}, timeout=60)
    return answer.status_code == 200 and answer.json()["role"] == seat.role


def main() -> int:
    """Make rounds of calls until there were enough; the exit code is 1 if there are failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="calls to make, at the least")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="seed of the first round")
    options = parser.parse_args()
    calls, failures, seed, began = 0, list[str](), options.seed, time.monotonic()
    cluster = Cluster(cluster_url(), "generated")
    try:
        with (
            tempfile.TemporaryDirectory() as name,
            serving(cluster, Path(name), ANNALS_FAILED_LOGINS="off") as (server, _),
        ):
            while calls < options.requests:
                for seat in seats(server.url):
                    outcome = generated(
                        server.url, seat, Path(name), phases=PHASES, examples=EXAMPLES, seed=seed
                    )
                    calls += outcome.calls
                    failures += outcome.failures
                    print(
                        f"{seat.name}, seed {seed}: {outcome.calls} calls, {len(outcome.failures)} failures",
                        flush=True,
                    )
                seed += 1
    finally:
        cluster.close()
    print("\n".join(failures))
    print(f"{calls} calls in {time.monotonic() - began:.0f} s, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
