"""The jobs: one use case each, by the names of `service.job_names`."""

from collections.abc import Callable, Mapping
from typing import Final

from service.context import JobContext
from service.job_names import DEEP_UPKEEP, RECONCILE, UPKEEP
from service.runs import Counts, JobRun
from service.usecases import repository_jobs

Work = Callable[[JobContext, JobRun], Counts]

TABLE: Final[Mapping[str, Work]] = {
    UPKEEP: repository_jobs.upkeep,
    DEEP_UPKEEP: repository_jobs.deep_upkeep,
    RECONCILE: repository_jobs.reconcile,
}
