"""The jobs: one use case each, by the names of `service.usecases.maintenance.table`."""

from collections.abc import Callable, Mapping
from typing import Final

from service.domain.job_runs import Counts, JobRun
from service.usecases.context import JobContext
from service.usecases.maintenance import (
    clean_up,
    expire_deletions,
    purge_closed,
    release_check_outs,
    repositories,
    retention,
)
from service.usecases.maintenance.table import (
    CLEAN_UP,
    DEEP_UPKEEP,
    EXPIRE_DELETIONS,
    PURGE_CLOSED,
    RECONCILE,
    RELEASE_CHECK_OUTS,
    RETENTION,
    UPKEEP,
)

Work = Callable[[JobContext, JobRun], Counts]

TABLE: Final[Mapping[str, Work]] = {
    RETENTION: retention.run,
    EXPIRE_DELETIONS: expire_deletions.run,
    RELEASE_CHECK_OUTS: release_check_outs.run,
    CLEAN_UP: clean_up.run,
    PURGE_CLOSED: purge_closed.run,
    UPKEEP: repositories.upkeep,
    DEEP_UPKEEP: repositories.deep_upkeep,
    RECONCILE: repositories.reconcile,
}
