"""The figures of reading by git: a clone against `git daemon`, and users who save beside many clones."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench import tenants
from bench.figures import Demand, Measured, Traffic
from bench.stage import Stage
from bench.tenants import Tenant
from gitstore.git import environment

_SAVERS = 8
_CLONE_SECONDS = 1800
_POLL_SECONDS = 0.05
_MEMORY = "/dev/shm"  # noqa: S108 - a folder in memory
_ENVIRONMENT = environment(GIT_TERMINAL_PROMPT="0")
# Enough requests for the time that the clones may take; requests that are left over are not sent.
_SAVES_RESERVE = 40_000

CLONE = Demand(
    "clone",
    "`git clone` of 10,000 versions against `git daemon` on the repository",
    1.2,
    1.05,
    "×",
    at_most=True,
)
BESIDE = Demand(
    "clones-p99", "50 clones at once while 8 clients save: saves' p99 against alone", 3, 2, "×", at_most=True
)
LASTING = Demand("clones-time", "the same: time of the 50 clones against alone", 2, 2, "×", at_most=True)


class CloneFailed(Exception):
    """A clone was refused or interrupted; the message is git's."""


def clone(stage: Stage) -> list[Measured]:
    """Measure a bare clone: writing the files out would cost the same on both sides and hide a difference."""
    tenant = stage.cloned()
    service = stage.service()
    measured = Measured(CLONE, measure="s")
    with _daemon(service.data_dir / "git") as daemon:
        for _ in range(stage.sizes.pairs):
            by_daemon = _clone(stage, f"{daemon}/{tenant.subscription_id}.git")
            by_service = _clone(stage, _url(stage, tenant))
            measured.add(by_service, by_daemon)
            stage.say(f"clone, pair {len(measured.ratios)}: {by_service:.2f} s against {by_daemon:.2f} s")
    measured.notes.append(f"bare clones of {stage.sizes.cloned_versions:,} versions")
    return [measured]


def clones(stage: Stage) -> list[Measured]:
    """Measure users who save in the hot subscription while many clone another one."""
    tenant, hot = stage.cloned(), stage.hot()
    beside, lasting = Measured(BESIDE, measure="ms"), Measured(LASTING, measure="s")
    urls = [_url(stage, tenant)] * stage.sizes.clones
    for _ in range(stage.sizes.pairs):
        alone = stage.turn(
            lambda amount: list(tenants.saves([hot], amount, stage.rng)), "save", clients=_SAVERS
        )
        clones_alone = _Clones(urls).wait()
        clones_beside, turn = _clones_beside_saves(stage, hot, urls)
        beside.add(turn.p99, alone.p99)
        beside.traffic.append(turn)
        lasting.add(clones_beside, clones_alone)
        stage.say(
            f"clones, pair {len(beside.ratios)}: p99 {turn.p99:.0f} ms against {alone.p99:.0f} ms alone, "
            f"clones in {clones_beside:.1f} s against {clones_alone:.1f} s alone"
        )
    beside.notes.append(
        f"{len(urls)} bare clones of {stage.sizes.cloned_versions:,} versions, their clients on this machine "
        "in memory and at a low priority"
    )
    return [beside, lasting]


def _clones_beside_saves(stage: Stage, hot: Tenant, urls: list[str]) -> tuple[float, Traffic]:
    chains = list(tenants.saves([hot], _SAVES_RESERVE, stage.rng))
    running = _Clones(urls)
    outcome, cpu = stage.service().measured(chains, clients=_SAVERS, until=running.are_done)
    lasted = running.wait()
    stage.note(chains, outcome)
    return lasted, Traffic.of(outcome, "save", cpu)


def _clone(stage: Stage, url: str) -> float:
    """Clone from an address; returns the seconds that it took."""
    folder = stage.scratch("clones")
    began = time.perf_counter()
    done = subprocess.run(
        _command(url, folder / "0"), env=_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    if done.returncode != 0:
        raise CloneFailed(done.stderr)
    return seconds


def _command(url: str, folder: Path) -> list[str]:
    return ["git", "clone", "--bare", "--quiet", url, str(folder)]


class _Clones:
    """Clones that run side by side, like those of clients on other machines."""

    def __init__(self, urls: list[str]) -> None:
        # The clones are written to memory: the writes of clients must not burden the server's disk.
        self._folder = Path(tempfile.mkdtemp(prefix="annals-bench-", dir=_MEMORY))
        self._number = len(urls)
        self._looked = 0.0
        commands = [_command(url, self._folder / str(number)) for number, url in enumerate(urls)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.elsewhere"],
            env=_ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(commands))
            self._process.stdin.close()

    def are_done(self) -> bool:
        """Return True once all clones have ended.

        The load generator asks often, so the process is polled only now and then.
        """
        now = time.perf_counter()
        if now - self._looked < _POLL_SECONDS:
            return False
        self._looked = now
        return self._process.poll() is not None

    def wait(self) -> float:
        """Wait for the last clone; returns the seconds until its end, and raises CloneFailed."""
        try:
            self._process.wait(_CLONE_SECONDS)
            lines = [] if self._process.stdout is None else list(map(json.loads, self._process.stdout))
        except subprocess.TimeoutExpired:
            raise CloneFailed(f"not done in {_CLONE_SECONDS} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            shutil.rmtree(self._folder)
        for line in lines:
            if line["returncode"] != 0:
                raise CloneFailed(line["stderr"])
        if len(lines) != self._number:
            raise CloneFailed(f"{self._number - len(lines)} clones did not report their end")
        return max(float(line["seconds"]) for line in lines)


def _url(stage: Stage, tenant: Tenant) -> str:
    service = stage.service()
    return f"http://bench:{tenant.keys[0]}@{service.host}/git/{tenant.subscription_id}.git"


@contextmanager
def _daemon(base: Path) -> Iterator[str]:
    """Run `git daemon` on a folder of repositories, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            *("git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--export-all"),
            *(f"--base-path={base}", str(base)),
        ],
        env=environment(),
        # The daemon complains of each probe below, so its output is dropped; a failed clone has a message of
        # its own.
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"git://127.0.0.1:{port}"
    finally:
        # The real daemon is a child of the git process, so the whole session is ended.
        os.killpg(process.pid, 15)
        process.wait()
