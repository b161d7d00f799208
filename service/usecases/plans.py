"""What a run of each job that takes something away would take, by the job's name."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from service.domain.job_runs import Plan
from service.usecases.context import Parts
from service.usecases.maintenance import (
    clean_up,
    expire_deletions,
    purge_closed,
    release_check_outs,
    retention,
)
from service.usecases.maintenance.table import (
    CLEAN_UP,
    EXPIRE_DELETIONS,
    PURGE_CLOSED,
    RELEASE_CHECK_OUTS,
    RETENTION,
)

PLANS: Final[Mapping[str, Callable[[Parts, datetime], Plan]]] = {
    RETENTION: retention.plan,
    EXPIRE_DELETIONS: expire_deletions.plan,
    RELEASE_CHECK_OUTS: release_check_outs.plan,
    CLEAN_UP: clean_up.plan,
    PURGE_CLOSED: purge_closed.plan,
}
