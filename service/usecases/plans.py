"""What a run of each job that takes something away would take, by the job's name."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from service.context import Parts
from service.job_names import CLEAN_UP, EXPIRE_DELETIONS, PURGE_CLOSED, RELEASE_CHECK_OUTS, RETENTION
from service.runs import Plan
from service.usecases import clean_up, expiry, leases, purging, retention

PLANS: Final[Mapping[str, Callable[[Parts, datetime], Plan]]] = {
    RETENTION: retention.plan,
    EXPIRE_DELETIONS: expiry.plan,
    RELEASE_CHECK_OUTS: leases.plan,
    CLEAN_UP: clean_up.plan,
    PURGE_CLOSED: purging.plan,
}
