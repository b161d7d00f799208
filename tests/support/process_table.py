"""Running processes, as Linux shows them."""

from collections.abc import Collection
from pathlib import Path


def children(process: int) -> list[int]:
    """Return the processes that a process has started.

    Linux's own list, `/proc/PID/task/TID/children`, leaves some out while others start and end.
    """
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == process:
            found.append(int(stat.parent.name))
    return found


def lives(process: int) -> bool:
    """True if the process runs; an orphan may stay a zombie until the init process reaps it."""
    status = Path(f"/proc/{process}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def starters(process: int, *, but: Collection[int] = ()) -> list[int]:
    """Return the programs that start git for a process, except for known ones."""
    return [
        child
        for child in children(process)
        if child not in but and lives(child) and b"starter.py" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def name_of(process: int) -> str:
    """Return the name that a process has given itself, or an empty text after its end."""
    try:
        return Path(f"/proc/{process}/comm").read_text().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descriptors(process: int) -> int:
    """Count the open files of a process."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))
