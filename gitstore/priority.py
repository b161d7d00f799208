"""Priorities of processes that may wait for the processors."""

import os
from contextlib import suppress
from pathlib import Path


def give_way(pid: int, niceness: int) -> None:
    """Lower the priority of a process, also relative to other sessions (sched(7), "The autogroup feature").

    Best effort: a kernel without autogroups has no such file, and only root may write it more than ten times
    a second.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))
