"""Several `annals serve` on one database and one folder of repositories, under competing threads."""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.faults.fault_calls import Json, Operation, Stuck, Wire, make, member
from tests.support.api import git, run_git
from tests.support.databases import Cluster, Database, cluster_url
from tests.support.histories import check_history
from tests.support.running_server import OPERATOR_KEY, running

# The statuses of these calls in API.md; 503 is documented too, and counted.
DOCUMENTED = {200, 201, 204, 409, 412, 423, 503}
UNAVAILABLE_AT_MOST = 0.01
HELD_SECONDS = 0.03
END_SECONDS = 120

_OVERLAPPING = """
SELECT a.resource_id, a.checked_out_at, b.checked_out_at FROM check_outs a JOIN check_outs b
  ON a.resource_id = b.resource_id AND a.check_out_id <> b.check_out_id
WHERE a.subscription_id = %s AND a.checked_out_at <= b.checked_out_at
  AND coalesce(a.released_at, 'infinity') > b.checked_out_at
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A time in which a user certainly held a resource, from an answer to the next call (monotonic)."""

    resource_id: str
    user_id: str
    since: float
    until: float


@dataclass(slots=True)
class Stress:
    """The calls of the threads, and the violations."""

    operations: list[Operation] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    seconds: float = 0.0

    @property
    def answers(self) -> Counter[int | str]:
        """The number of attempts by outcome."""
        return Counter(attempt.outcome for each in self.operations for attempt in each.attempts)

    def described(self) -> str:
        """Describe the outcome, as a run prints it."""
        done = Counter(each.name for each in self.operations if each.succeeded)
        lines = [f"{sum(done.values())} acknowledged in {self.seconds:.0f} s: "]
        lines[0] += ", ".join(f"{count} {name}" for name, count in done.most_common())
        total = sum(self.answers.values())
        share = self.answers[503] / total if total else 0.0
        answers = ", ".join(f"{count} × {status}" for status, count in self.answers.most_common())
        lines.append(f"{total} answers: {answers}; 503: {share:.2%}")
        lines.append(f"{len(self.held)} times that somebody held a resource, none of them another's")
        lines += [f"VIOLATION: {each}" for each in self.wrong]
        lines.append(f"violations: {len(self.wrong)}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Side:
    database: Database


@dataclass(frozen=True, slots=True)
class Shared:
    """The subscription that all threads share, in the form that the checks of histories take."""

    database: Database
    repository: Path
    subscription_id: str
    base: str
    resources: tuple[Json, ...]
    users: tuple[Json, ...]

    @property
    def server(self) -> _Side:
        return _Side(self.database)

    def git(self, *arguments: str) -> str:
        return git(self.repository, *arguments)

    def main(self) -> str:
        return self.git("for-each-ref", "--format=%(objectname)", "refs/heads/main").strip()


@contextmanager
def hosts(folder: Path, database: Database, count: int) -> Iterator[list[int]]:
    """Run servers whose data directories share the repositories; yields their ports."""
    shared = folder / "shared"
    shared.mkdir()
    with ExitStack() as stack:
        ports = []
        for number in range(count):
            # As on several machines with one shared volume, each host has its own data directory otherwise.
            data = folder / f"host-{number}"
            data.mkdir(mode=0o700)
            (data / "git").symlink_to(shared)
            server = stack.enter_context(
                running(data, DATABASE_URL=database.url, ANNALS_OPERATOR_KEY=OPERATOR_KEY)
            )
            ports.append(int(server.url.rpartition(":")[2]))
        yield ports


def prepared(port: int, database: Database, folder: Path, *, resources: int, users: int) -> Shared:
    """Make a subscription with a number of connectors and editors."""
    operator = Wire(port, OPERATOR_KEY)
    subscription_id = make(operator, "POST", "/v1/subscriptions", {"name": "three hosts"})["subscription_id"]
    base = f"/v1/subscriptions/{subscription_id}"
    editors = tuple(member(operator, base, f"user{number}") for number in range(users))
    operator.close()
    wire = Wire(port, editors[0]["api_key"])
    workspace_id = make(wire, "POST", f"{base}/workspaces", {"name": "w"})["resource_id"]
    made = tuple(
        make(wire, "POST", f"{base}/connectors", {"workspace_id": workspace_id, "name": f"c{number}"})
        for number in range(resources)
    )
    wire.close()
    repository = folder / "shared" / f"{subscription_id}.git"
    return Shared(database, repository, subscription_id, base, made, editors)


def stress(shared: Shared, ports: Sequence[int], *, threads: int, seconds: float, seed: int) -> Stress:
    """Check out and in, save and roll back for a time, then check; each thread is a user at one host."""
    found = Stress()
    began = time.monotonic()
    workers = [
        threading.Thread(
            target=_work,
            args=(shared, ports[number % len(ports)], shared.users[number], found, began + seconds),
            kwargs={"draw": random.Random(f"{seed}/{number}")},
            daemon=True,
        )
        for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(0.0, began + seconds + END_SECONDS - time.monotonic()))
        if worker.is_alive():
            found.wrong.append("a thread got no answer")
    found.seconds = time.monotonic() - began
    _check(shared, found)
    return found


def _work(shared: Shared, port: int, user: Json, found: Stress, until: float, *, draw: random.Random) -> None:
    wire = Wire(port, user["api_key"])

    def call(name: str, method: str, path: str, body: Json | None = None) -> Operation:
        operation = wire.call(name, method, path, body)
        with found.lock:
            found.operations.append(operation)
        return operation

    try:
        while time.monotonic() < until:
            resource = draw.choice(shared.resources)
            at = f"{shared.base}/connectors/{resource['resource_id']}"
            data = {"data": {"by": user["user_id"], "n": draw.getrandbits(64) % 2**53}}
            match draw.choices(("hold", "save", "roll back"), (6, 3, 1))[0]:
                case "save":
                    call("save", "POST", f"{at}/versions", data)
                case "roll back":
                    call("rollback", "POST", f"{at}/rollback", {"to": 1})
                case _:
                    if not call("check-out", "POST", f"{at}/check-out", {}).succeeded:
                        continue
                    since = time.monotonic()
                    time.sleep(draw.random() * HELD_SECONDS)
                    held = Held(resource["resource_id"], user["user_id"], since, time.monotonic())
                    if draw.random() < 0.8:
                        ended = call("check-in", "POST", f"{at}/check-in", data)
                    else:
                        ended = call("release", "DELETE", f"{at}/check-out")
                    with found.lock:
                        found.held.append(held)
                        # No other user may end this check-out: a refusal means that it was lost.
                        if not ended.succeeded and not ended.was_unknown:
                            found.wrong.append(f"a holder was refused: {ended.described()} {ended.answer}")
    except Stuck as stuck:
        with found.lock:
            found.wrong.append(f"stuck: {stuck}")
    finally:
        wire.close()


def _check(shared: Shared, found: Stress) -> None:
    answers = found.answers
    found.wrong += [
        f"{count} answers that nobody documented: {status}"
        for status, count in answers.items()
        if status not in DOCUMENTED
    ]
    if answers[503] >= UNAVAILABLE_AT_MOST * sum(answers.values()):
        found.wrong.append(f"{answers[503]} of {sum(answers.values())} answers were 503")
    by_resource: dict[str, list[Held]] = {}
    for held in sorted(found.held, key=lambda held: held.since):
        by_resource.setdefault(held.resource_id, []).append(held)
    for intervals in by_resource.values():
        found.wrong += [
            f"two held {one.resource_id} at once: {one} {two}"
            for one, two in pairwise(intervals)
            if two.since < one.until
        ]
    overlapping = shared.database.rows(_OVERLAPPING, shared.subscription_id)
    found.wrong += [f"check-outs overlap in their rows: {row}" for row in overlapping]
    made = [each for each in found.operations if each.status == 201]
    rows = shared.database.rows(
        "SELECT resource_id::text, version_number, version_id::text, git_commit_hash FROM versions"
        " WHERE subscription_id = %s",
        shared.subscription_id,
    )
    stored = {row[:2]: row[2:] for row in rows}
    for each in made:
        told = each.answer
        place = (told["resource_id"], told["version_number"])
        if stored.get(place) != (told["version_id"], told["git_commit_hash"]):
            found.wrong.append(f"acknowledged, but not stored so: {each.described()}")
    if len({(e.answer["resource_id"], e.answer["version_number"]) for e in made}) != len(made):
        found.wrong.append("one version was acknowledged to two calls")
    try:
        check_history(shared)
    except AssertionError as error:
        found.wrong.append(f"rows and git differ: {error!r}")
    # A clone of all that the hosts wrote has to succeed, as after any load.
    run_git(shared.repository.parent, "clone", "-q", "--bare", str(shared.repository), "copy.git")


def main(arguments: Sequence[str]) -> int:
    """Run the stress; returns 1 if there was a violation."""
    parser = argparse.ArgumentParser(
        prog="script/test hosts", description="Several servers on one database and one folder, under load."
    )
    parser.add_argument("--seconds", type=float, default=60, help="default 60")
    parser.add_argument("--hosts", type=int, default=3, help="default 3")
    parser.add_argument("--threads", type=int, default=64, help="default 64")
    parser.add_argument("--resources", type=int, default=10, help="default 10")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    chosen = parser.parse_args(arguments)
    cluster = Cluster(cluster_url(), "hosts")
    try:
        database = cluster.migrated()
        with (
            tempfile.TemporaryDirectory(prefix="annals-hosts-") as name,
            hosts(Path(name), database, chosen.hosts) as ports,
        ):
            shared = prepared(
                ports[0], database, Path(name), resources=chosen.resources, users=chosen.threads
            )
            found = stress(shared, ports, threads=chosen.threads, seconds=chosen.seconds, seed=chosen.seed)
    finally:
        cluster.close()
    print(f"{chosen.hosts} hosts, {chosen.threads} threads, {chosen.resources} resources")
    print(found.described())
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
