"""Retention levels of log rows, and their default terms.

To add a level, use two releases (decision 22). In the first, extend `Level`, and add a revision that allows
the level in `retention_policies.level`. In the second, extend `DEFAULT_DAYS` and `LEVELS_OF`, and add a
revision with the level's default row and the level in `retention_log`. docs/operations/retention.md lists it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """Retention level of a log row, from the specification's table of retention."""

    SERVER = "server"
    WORKFLOW = "workflow"
    NODE = "node"
    JOB = "job"
    JOBPACKAGE = "jobpackage"
    USER_ACTIONS = "user_actions"
    DATA_CHANGES = "data_changes"


# In days; None keeps for good. The migration stores the same terms.
DEFAULT_DAYS: Final[Mapping[Level, int | None]] = {
    Level.SERVER: 90,
    Level.WORKFLOW: 365,
    Level.NODE: 90,
    Level.JOB: 365,
    Level.JOBPACKAGE: 365,
    Level.USER_ACTIONS: None,
    Level.DATA_CHANGES: None,
}
MAX_DAYS: Final = 36_500
# Rules of single subscriptions: all are read and written at once.
MAX_RULES: Final = 10_000

# Levels by log. The type of an execution tells its level; any type but these three counts as workflow.
LEVELS_OF: Final[Mapping[str, tuple[Level, ...]]] = {
    "server_logs": (Level.SERVER,),
    "node_execution_logs": (Level.NODE,),
    "execution_logs": (Level.WORKFLOW, Level.JOB, Level.JOBPACKAGE),
    "audit_logs": (Level.USER_ACTIONS,),
    "data_change_history": (Level.DATA_CHANGES,),
}

# The specification keeps these for good. Deleted rows are lost, so that a shorter term needs a confirmation.
PERMANENT: Final = frozenset(level for level, days in DEFAULT_DAYS.items() if days is None)
