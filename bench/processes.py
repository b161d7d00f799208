"""Processor time by group of processes, read from /proc: the cost of a save, by the group that bears it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# The groups of the processes of `annals serve`, by the processes' own names.
_SERVICE = {"annals: api": "API", "annals: commits": "committer"}
_OTHERS = "supervisor"
DATABASE = "database"


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    name: str
    command: str
    # The process's own time, and that of the children that it has waited for.
    seconds: float


def usage(supervisor: int, postmaster: int, database: str, database_oid: int) -> dict[str, float]:
    """Sum the seconds of processor time that each group has used so far.

    Of the database server, processes that serve this database or all databases are counted.
    """
    found = {process.pid: process for process in _all()}
    groups = {"API": 0.0, "committer": 0.0, _OTHERS: 0.0, DATABASE: 0.0}
    for process in found.values():
        if process.pid == postmaster or process.parent == postmaster:
            if not _is_foreign(process.command, database, database_oid):
                groups[DATABASE] += process.seconds
            continue
        group = _group(process, found, supervisor)
        if group is not None:
            groups[group] += process.seconds
    return groups


def busy() -> float:
    """Return the seconds of processor time that all processes of this machine have used so far."""
    fields = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    user, nice, system, _idle, _iowait, *interrupts = fields
    return sum(map(int, (user, nice, system, *interrupts))) / _TICKS


def memory(supervisor: int) -> int:
    """Sum the bytes of memory of a supervisor and its children; what they share counts in parts."""
    pids = [process.pid for process in _all() if supervisor in (process.pid, process.parent)]
    return sum(map(_memory_of, pids))


def _memory_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def has_committer(supervisor: int) -> bool:
    """Return True if the committer is a process of its own, and not a thread of the API worker."""
    found = {process.pid: process for process in _all()}
    return any(_group(process, found, supervisor) == "committer" for process in found.values())


def postmaster_of(backend: int) -> int | None:
    """Return the process that started a backend, or None if the server's processes are invisible here."""
    for process in _all():
        if process.pid == backend and process.command.startswith("postgres"):
            return process.parent
    return None


def _group(process: _Process, found: dict[int, _Process], supervisor: int) -> str | None:
    """Return the group of the nearest ancestor that has one, or None if the process is not the service's."""
    at: _Process | None = process
    while at is not None:
        if at.name in _SERVICE and _descends(at, found, supervisor):
            return _SERVICE[at.name]
        if at.pid == supervisor:
            return _OTHERS
        at = found.get(at.parent)
    return None


def _descends(process: _Process, found: dict[int, _Process], ancestor: int) -> bool:
    at: _Process | None = process
    while at is not None and at.pid != ancestor:
        at = found.get(at.parent)
    return at is not None


def _is_foreign(command: str, database: str, oid: int) -> bool:
    """Return True if a server process works for another database, which its title names."""
    title = command.removeprefix("postgres: ").split()
    if "Scheduler" in title:
        return str(oid) not in title
    if title[:2] == ["autovacuum", "worker"]:
        return database not in title
    is_client = any("(" in word and word[0].isdigit() for word in title) or "[local]" in title
    return is_client and database not in title


def _all() -> Iterator[_Process]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                # The name, which may hold blanks, ends at the last parenthesis.
                head, _, rest = (folder / "stat").read_text().rpartition(")")
            except OSError:
                continue
            fields = rest.split()
            yield _Process(
                pid=int(folder.name),
                name=head.partition("(")[2],
                parent=int(fields[1]),
                command=command.strip(),
                seconds=sum(map(int, fields[11:15])) / _TICKS,
            )
