"""Processor time by group of processes, read from /proc: what one save costs whom."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Who a process of `annals serve` works for, by what stands in its command line.
_SERVICE = {"service.processes.api_worker": "API", "service.processes.committer": "committer"}
_OTHERS = "supervisor"
DATABASE = "database"


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    command: str
    # Of its own and of the children that it has waited for.
    seconds: float


def usage(supervisor: int, postmaster: int, database: str, database_oid: int) -> dict[str, float]:
    """Seconds of processor time that each group has used so far.

    Of the database server those processes count that serve this database, and those that serve all.
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
    """Seconds of processor time that anything at all has used on this machine so far."""
    fields = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    user, nice, system, _idle, _iowait, *interrupts = fields
    return sum(map(int, (user, nice, system, *interrupts))) / _TICKS


def has_committer(supervisor: int) -> bool:
    """Whether the committer is a process of its own; else it is a thread of the API worker."""
    found = {process.pid: process for process in _all()}
    return any(_group(process, found, supervisor) == "committer" for process in found.values())


def postmaster_of(backend: int) -> int | None:
    """The process that started a backend, None where its processes are not to be seen from here."""
    for process in _all():
        if process.pid == backend and process.command.startswith("postgres"):
            return process.parent
    return None


def _group(process: _Process, found: dict[int, _Process], supervisor: int) -> str | None:
    """The group of the nearest ancestor that has one; None for a process that is not the service's."""
    at: _Process | None = process
    while at is not None:
        for word, group in _SERVICE.items():
            if word in at.command and _descends(at, found, supervisor):
                return group
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
    """Whether a server process works for another database; its title says for which."""
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
                # What precedes the last parenthesis is the name, which may hold blanks.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            yield _Process(
                pid=int(folder.name),
                parent=int(fields[1]),
                command=command.strip(),
                seconds=sum(map(int, fields[11:15])) / _TICKS,
            )
