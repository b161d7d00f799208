"""Release the check-outs whose lease has expired.

An expired lease locks nothing from that instant on; this job records its end. Each check-out is released
under the lock of its resource, as when its holder releases it, so that a lease renewed meanwhile stays. In
closed subscriptions nothing is released.
"""

from datetime import datetime
from typing import Final

from service.audit import events
from service.audit.events import Subject, check_out_state
from service.domain.actions import Action
from service.domain.ids import SubscriptionId
from service.domain.job_runs import Counts, JobRun, PlannedPart, RunPlan
from service.domain.resource_kinds import Kind
from service.usecases.context import JobContext, Parts
from service.usecases.maintenance.actors import with_policy
from service.usecases.maintenance.turns import take_turns
from sql.database import PLATFORM
from sql.queries import check_outs, release_check_outs, resources
from sql.queries.release_check_outs import Leased

NAME: Final = "release-check-outs"

# Check-outs of one subscription before the next subscription has its turn.
TURN = 100
WHAT = "check-outs"


def run(context: JobContext, run: JobRun) -> Counts:
    """Release expired check-outs, the oldest first; subscriptions take turns."""
    released = 0

    def turn(subscription_id: SubscriptionId, _: bool | None) -> bool | None:
        nonlocal released
        with context.database.transaction(subscription_id) as tx:
            found = release_check_outs.over(tx, subscription_id, run.at, limit=TURN)
        ended = sum(not run.is_over and _release(context, run, subscription_id, each) for each in found)
        if ended:
            run.tell("check-outs were released", {"subscription_id": subscription_id, "check_outs": ended})
        released += ended
        # If none was released, all were renewed or released meanwhile: the subscription is done.
        return True if ended else None

    with context.database.transaction(PLATFORM) as tx:
        waiting = [subscription_id for subscription_id, _ in release_check_outs.subscriptions(tx, run.at)]
    take_turns(run, waiting, turn)
    return {"check_outs": released}


def plan(context: Parts, at: datetime) -> RunPlan:
    """Count the check-outs that a run would release."""
    with context.database.transaction(PLATFORM) as tx:
        found = release_check_outs.subscriptions(tx, at)
    return RunPlan(
        at=at, parts=[PlannedPart(what=WHAT, subscription_id=each, rows=rows) for each, rows in found]
    )


def _release(context: JobContext, run: JobRun, subscription_id: SubscriptionId, leased: Leased) -> bool:
    """Record the end of a check-out at the end of its lease; returns False if it was renewed or released."""
    kind = Kind(leased.resource_type)
    with context.database.transaction(subscription_id) as tx:
        # The resource is locked first, as for a check-out or a renewal. A purged resource has no row to lock,
        # but nobody can check it out.
        row = resources.lock(tx, subscription_id, kind, [leased.resource_id]).get(leased.resource_id)
        held = check_outs.unreleased(tx, subscription_id, kind, [leased.resource_id]).get(leased.resource_id)
        if held is None or held.expires_at > run.at:
            return False
        check_outs.release(tx, subscription_id, held, at=held.expires_at, by=None, kind="expired")
        if row is None:
            subject = Subject(
                kind, leased.resource_id, release_check_outs.name_then(tx, subscription_id, held)
            )
        else:
            subject = Subject.of(row)
        events.record(
            tx,
            with_policy(tx, subscription_id, run.machine),
            subscription_id,
            subject,
            Action.CANCEL_CHECK_OUT,
            context.clock(),
            old=check_out_state(held),
        )
    return True
