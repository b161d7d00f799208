"""The levels of logging, and for how long each is kept unless an operator says otherwise."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """What a log row is about, as the specification's table of retention has it."""

    SERVER = "server"
    WORKFLOW = "workflow"
    NODE = "node"
    JOB = "job"
    JOBPACKAGE = "jobpackage"
    USER_ACTIONS = "user_actions"
    DATA_CHANGES = "data_changes"


# In days, None for good; the migration stores the same.
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

# The levels of a log's rows: of executions by their type, where that is none of the three a workflow's.
LEVELS_OF: Final[Mapping[str, tuple[Level, ...]]] = {
    "server_logs": (Level.SERVER,),
    "node_execution_logs": (Level.NODE,),
    "execution_logs": (Level.WORKFLOW, Level.JOB, Level.JOBPACKAGE),
    "audit_logs": (Level.USER_ACTIONS,),
    "data_change_history": (Level.DATA_CHANGES,),
}

# What nobody can bring back and the specification keeps for good: only shortened by who says so twice.
PERMANENT: Final = frozenset(level for level, days in DEFAULT_DAYS.items() if days is None)
