"""Legal holds as a bar to deleting resources for good."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from service.domain.errors import Held
from sql.database import Transaction
from sql.queries import legal_holds, places
from sql.queries.legal_holds import HoldRow
from sql.queries.resources import ResourceRow


def check(tx: Transaction, subscription_id: UUID, tree: Sequence[ResourceRow], at: datetime) -> None:
    """Raise Held where a legal hold forbids to delete resources for good; see `blocking`."""
    hold = blocking(tx, subscription_id, tree, at)
    if hold is not None:
        raise held(hold)


def blocking(
    tx: Transaction, subscription_id: UUID, tree: Sequence[ResourceRow], at: datetime
) -> HoldRow | None:
    """Find the oldest hold that forbids to purge a tree: its root, which is first in `tree`, and all below.

    Such a hold is on the subscription, on one of these resources, or on a user who made or deleted one of
    them. Or it is on a resource that is above them now, or was above them at any time while the hold ran.
    """
    running = legal_holds.running(tx, subscription_id, at)
    if not running:
        return None
    ids = {row.resource_id for row in tree}
    keeping: set[UUID] = set()
    if any(hold.resource_id is not None for hold in running):
        keeping = legal_holds.keeping(tx, subscription_id, ids | _above(tx, subscription_id, tree[0]), at)
    users = {row.created_by for row in tree}
    if any(hold.user_id is not None for hold in running):
        users |= legal_holds.deleters(tx, subscription_id, ids)
    return next((hold for hold in running if _keeps(hold, keeping, users)), None)


@contextmanager
def following(
    tx: Transaction, subscription_id: UUID, before: ResourceRow, after: ResourceRow, at: datetime
) -> Iterator[None]:
    """Note the legal holds that keep a resource either before or after its move, but not both.

    The `with` block moves the resource. A retention job compares the noted moves at its COMMIT, and so sees
    rows that a hold began to keep during the run.
    """
    is_moved = before.parent_id != after.parent_id
    if not is_moved or all(hold.resource_id is None for hold in legal_holds.running(tx, subscription_id, at)):
        yield
        return
    keeping = _keeping(tx, subscription_id, before, at)
    yield
    if changed := keeping ^ _keeping(tx, subscription_id, after, at):
        legal_holds.note_move(tx, subscription_id, after.resource_id, changed)


def held(hold: HoldRow) -> Held:
    """Make the refusal that names a hold."""
    until = "it is released" if hold.until is None else f"{hold.until:%Y-%m-%dT%H:%M:%SZ}"
    return Held(
        f"The legal hold {hold.hold_id} of {hold.placed_by} keeps this until {until}.",
        facts={"hold_id": hold.hold_id, "reason": hold.reason, "until": hold.until},
    )


def _keeps(hold: HoldRow, keeping: set[UUID], users: set[UUID]) -> bool:
    if hold.resource_id is not None:
        return hold.hold_id in keeping
    return hold.user_id is None or hold.user_id in users


def _keeping(tx: Transaction, subscription_id: UUID, row: ResourceRow, at: datetime) -> set[UUID]:
    """Ids of the holds on this resource or one above it, by its present place or by a noted move."""
    return legal_holds.keeping(tx, subscription_id, {row.resource_id} | _above(tx, subscription_id, row), at)


def _above(tx: Transaction, subscription_id: UUID, row: ResourceRow) -> set[UUID]:
    """Ids of all resources above a resource."""
    folders = [] if row.folder_id is None else places.above(tx, subscription_id, row.folder_id)
    return {row.workspace_id, *folders} | (set() if row.parent_id is None else {row.parent_id})
