"""Several schedulers on one database, jobs each second, and leaders killed at random: `script/test jobs`."""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from tests.support.databases import Cluster, Database, cluster_url
from tests.support.running_server import ANNALS

SECOND = timedelta(seconds=1)
EACH_SECOND = "* * * * * *"
TAKEOVER_SECONDS = 5.0
READY_SECONDS = 60
# In an empty database these jobs have almost nothing to do.
JOBS = ("upkeep", "reconcile", "expire-deletions", "release-check-outs", "clean-up")

_SCHEDULE = """
INSERT INTO job_schedules (job, cron, time_zone, is_paused, changed_at, changed_by)
SELECT job, %s, NULL, false, now(), 'system:test' FROM unnest(%s::text[]) AS job
"""
_LEADER = """
SELECT process FROM job_runs WHERE started_at > now() - interval '2 seconds'
ORDER BY started_at DESC LIMIT 1
"""
_ROWS = "SELECT scheduled_for, state, process, started_at FROM job_runs WHERE job = %s ORDER BY scheduled_for"
# Each run writes such a row when it begins.
_BEGUN = """
SELECT execution_id, count(*) FROM execution_logs WHERE log_message LIKE '%%: started'
GROUP BY execution_id HAVING count(*) > 1
"""
_UNTOLD = """
SELECT count(*) FROM job_runs WHERE started_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM execution_logs WHERE execution_id = run_id::text AND log_message LIKE '%%: started')
"""


@dataclass
class Hosts:
    """Schedulers of one database; each killed one is started again, as its supervisor would do."""

    database: Database
    folder: Path
    count: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    takeovers: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start one more scheduler."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNALS_")}
        with (self.folder / "schedulers.log").open("ab") as log:
            self.running.append(
                subprocess.Popen(
                    [ANNALS, "jobs", "run", "--data-dir", self.folder / "data"],
                    env=clean | {"DATABASE_URL": self.database.url, "ANNALS_LOG_LEVEL": "warning"},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def leader(self) -> subprocess.Popen[bytes] | None:
        """Return the process that began the last run, if it still runs."""
        rows = self.database.rows(_LEADER)
        pid = int(rows[0][0].rpartition(":")[2]) if rows else None
        return next((each for each in self.running if each.pid == pid), None)

    def wait_for_leader(self, *, other_than: int | None = None) -> float:
        """Return the seconds until a process other than `other_than` runs jobs."""
        began = time.monotonic()
        while time.monotonic() < began + READY_SECONDS:
            leader = self.leader()
            if leader is not None and leader.pid != other_than:
                return time.monotonic() - began
            time.sleep(0.1)
        raise AssertionError((self.folder / "schedulers.log").read_text())

    def kill_leader(self) -> None:
        """Kill the leader with SIGKILL, and record how long no other process ran jobs."""
        leader = self.leader()
        if leader is None:
            return
        leader.send_signal(signal.SIGKILL)
        leader.wait()
        self.running.remove(leader)
        self.start()
        self.kills.append(time.monotonic())
        self.takeovers.append(self.wait_for_leader(other_than=leader.pid))

    def end(self) -> None:
        """Stop the schedulers in order."""
        for each in self.running:
            each.terminate()
        for each in self.running:
            # A scheduler that was just started may not handle SIGTERM yet.
            assert each.wait(60) in (0, -signal.SIGTERM), (self.folder / "schedulers.log").read_text()


@contextmanager
def hosts(database: Database, folder: Path, count: int) -> Iterator[Hosts]:
    """Run several schedulers, one of which runs jobs each second."""
    (folder / "data" / "git").mkdir(parents=True)
    with database.connection() as connection:
        connection.execute(_SCHEDULE, [EACH_SECOND, list(JOBS)])
    found = Hosts(database, folder, count)
    try:
        for _ in range(count):
            found.start()
        found.wait_for_leader()
        yield found
        found.end()
    finally:
        for each in found.running:
            if each.poll() is None:
                each.kill()
                each.wait()


def stress(found: Hosts, *, seconds: float, between: tuple[float, float], seed: int) -> None:
    """Kill one leader after another, with pauses of some seconds."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    while (pause := chance.uniform(*between)) and time.monotonic() + pause < until:
        time.sleep(pause)
        found.kill_leader()
    time.sleep(max(0.0, until - time.monotonic()))


@dataclass
class Outcome:
    """The outcome of every slot, and its violations."""

    states: Counter[str]
    slots: int
    kills: int
    slowest: float
    wrong: list[str]

    def described(self) -> str:
        """Describe the outcome, as a run prints it."""
        states = ", ".join(f"{count} {state}" for state, count in self.states.most_common())
        lines = [f"{self.slots} slots of {len(JOBS)} jobs: {states}"]
        lines.append(f"{self.kills} leaders killed; the slowest took over within {self.slowest:.1f} s")
        lines += [f"VIOLATION: {each}" for each in self.wrong]
        return "\n".join([*lines, f"violations: {len(self.wrong)}"])


def examine(found: Hosts) -> Outcome:
    """Check that each slot has one row, and that its run began once and was logged."""
    states: Counter[str] = Counter()
    wrong: list[str] = []
    slots = 0
    for job in JOBS:
        rows = found.database.rows(_ROWS, job)
        states += Counter(row[1] for row in rows)
        slots += len(rows)
        wrong += [f"{job} at {gap}: no record" for gap in _gaps([row[0] for row in rows])]
        wrong += [
            f"{job} at {row[0]}: {row[1]}" for row in rows if row[1] in ("running", "waiting", "failed")
        ]
    wrong += [f"run {row[0]} began {row[1]} times" for row in found.database.rows(_BEGUN)]
    [(untold,)] = found.database.rows(_UNTOLD)
    wrong += [f"{untold} runs began and told nobody"] if untold else []
    slowest = max(found.takeovers, default=0.0)
    if slowest > TAKEOVER_SECONDS:
        wrong.append(f"it took {slowest:.1f} s until another led")
    if states["interrupted"] > len(found.kills) * len(JOBS):
        wrong.append(f"{states['interrupted']} runs were interrupted by {len(found.kills)} kills")
    return Outcome(states, slots, len(found.kills), slowest, wrong)


def _gaps(slots: Sequence[datetime]) -> list[datetime]:
    """Return the seconds between the first and the last slot that have no slot."""
    there = set(slots)
    expected = (slots[0] + SECOND * n for n in range(int((slots[-1] - slots[0]) / SECOND) + 1))
    return [each for each in expected if each not in there]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stress; returns 1 if there was a violation."""
    parser = argparse.ArgumentParser(prog="script/test jobs", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    cluster = Cluster(cluster_url(), "jobs")
    try:
        with tempfile.TemporaryDirectory() as folder:
            with hosts(cluster.migrated(), Path(folder), options.hosts) as found:
                stress(found, seconds=options.minutes * 60, between=(4.0, 20.0), seed=options.seed)
            outcome = examine(found)
    finally:
        cluster.close()
    print(outcome.described())
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
