"""Subscriptions that take turns in a run of a job, so that a large one keeps none of the others waiting."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID

import structlog

from service.domain.ids import SubscriptionId
from service.domain.job_runs import JobRun

Position = TypeVar("Position")

log = structlog.get_logger(__name__)


def take_turns(
    run: JobRun,
    subscription_ids: Iterable[UUID],
    turn: Callable[[SubscriptionId, Position | None], Position | None],
) -> None:
    """Let each have turns until `turn`, which gets where the last one ended, returns None.

    Or until the run is over. What fails in one ends its turns; it is raised when the others had theirs.
    """
    waiting: deque[tuple[SubscriptionId, Position | None]] = deque(
        (SubscriptionId(each), None) for each in subscription_ids
    )
    failures: list[Exception] = []
    while waiting and not run.is_over:
        subscription_id, position = waiting.popleft()
        try:
            position = turn(subscription_id, position)
        except Exception as error:
            log.exception("a job failed in a subscription", job=run.job, subscription_id=str(subscription_id))
            failures.append(error)
        else:
            if position is not None:
                waiting.append((subscription_id, position))
    if failures:
        raise failures[0]
