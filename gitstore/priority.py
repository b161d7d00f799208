"""Letting a git that was started give way to whoever answers requests."""

import os
from contextlib import suppress
from pathlib import Path

# A third of a share: who clones still gets on where much else is running.
NICENESS = 5


def give_way(leader: int) -> None:
    """Lower the priority of the processes of a session, by the id of its leader, also against other sessions.

    Where Linux shares the processors among sessions first (sched(7), "The autogroup feature"), a process's
    own niceness counts within its session alone. Best effort: a process that has ended has no priority.
    """
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PGRP, leader, NICENESS)
    with suppress(OSError):
        # Not there without autogroups, and refused to others than root more than ten times a second.
        Path(f"/proc/{leader}/autogroup").write_text(str(NICENESS))
