"""The facts of a measurement: the machine, its disk, the versions of its software."""

import importlib.metadata
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

import pygit2

from bench.service import DURABLE, Database

_PROBES = 200
_OTHER_DATABASES = (
    "SELECT count(*) FROM pg_database"
    " WHERE datallowconn AND datname NOT IN (current_database(), 'postgres', 'template1')"
)


class NoDisk(Exception):
    """The folder is in memory, where fsync costs nothing: choose another with --folder."""


def facts(folder: Path, database: Database) -> dict[str, str]:
    """Collect the facts, each a name and a value; raises NoDisk."""
    kind, device = _file_system(folder)
    if kind in ("tmpfs", "ramfs"):
        raise NoDisk(f"{folder} is on {kind}, where fsync costs nothing: choose another with --folder")
    durable = ", ".join(f"{name} {database.value('SELECT current_setting(%s)', name)}" for name in DURABLE)
    extension = database.rows("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "file system": f"{kind} on {device}, an fsync of 4 KiB in {_fsync_ms(folder):.2f} ms (median)",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "Python": platform.python_version(),
        "git": subprocess.check_output(["git", "--version"], text=True).split()[2],
        "pygit2": f"{importlib.metadata.version('pygit2')}, libgit2 {pygit2.LIBGIT2_VERSION}",
        "PostgreSQL": f"{database.value('SHOW server_version')}, {durable}",
        "TimescaleDB": extension[0][0] if extension else "none",
        # Each of these databases has background workers of its own, whose processor time counts as the
        # service's.
        "other databases on that server": str(database.value(_OTHER_DATABASES)),
        "commit": _commit(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> tuple[str, str]:
    found = ("unknown", "unknown")
    longest = 0
    for line in Path("/proc/mounts").read_text().splitlines():
        device, mounted, kind, *_ = line.split()
        if folder.is_relative_to(mounted) and len(mounted) >= longest:
            found, longest = (kind, device), len(mounted)
    return found


def _fsync_ms(folder: Path) -> float:
    file = folder / "fsync-probe"
    taken = []
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(_PROBES):
            os.write(descriptor, b"x" * 4096)
            began = time.perf_counter()
            os.fsync(descriptor)
            taken.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        file.unlink()
    return statistics.median(taken) * 1000


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"
