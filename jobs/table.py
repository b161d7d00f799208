"""The jobs: one use case each, by the names of `service.job_names`."""

from collections.abc import Callable, Mapping
from typing import Final

from service.context import JobContext
from service.job_names import (
    CLEAN_UP,
    DEEP_UPKEEP,
    EXPIRE_DELETIONS,
    PURGE_CLOSED,
    RECONCILE,
    RELEASE_CHECK_OUTS,
    RETENTION,
    UPKEEP,
)
from service.runs import Counts, JobRun
from service.usecases import clean_up, expiry, leases, purging, repository_jobs, retention

Work = Callable[[JobContext, JobRun], Counts]

TABLE: Final[Mapping[str, Work]] = {
    RETENTION: retention.run,
    EXPIRE_DELETIONS: expiry.run,
    RELEASE_CHECK_OUTS: leases.run,
    CLEAN_UP: clean_up.run,
    PURGE_CLOSED: purging.run,
    UPKEEP: repository_jobs.upkeep,
    DEEP_UPKEEP: repository_jobs.deep_upkeep,
    RECONCILE: repository_jobs.reconcile,
}
