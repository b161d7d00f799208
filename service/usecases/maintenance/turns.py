"""Turns of subscriptions in a job run, so that a large subscription does not delay the others."""

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
    """Call `turn` for one subscription after the other, round after round.

    `turn` gets the position that it last returned for the subscription, None at first; if it returns None,
    the subscription is done. All turns end when the run is over. An exception ends the turns of its
    subscription; the first exception is raised when all other subscriptions are done.
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
