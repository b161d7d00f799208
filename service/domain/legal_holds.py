"""What legal holds keep from being deleted for good."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from service.domain.errors import Held
from sql.database import Transaction
from sql.queries import holds, places
from sql.queries.holds import HoldRow
from sql.queries.resources import ResourceRow


def check(tx: Transaction, subscription_id: UUID, tree: Sequence[ResourceRow], at: datetime) -> None:
    """Raise Held where a hold is in the way of deleting resources for good; see `blocking`."""
    hold = blocking(tx, subscription_id, tree, at)
    if hold is not None:
        raise held(hold)


def blocking(
    tx: Transaction, subscription_id: UUID, tree: Sequence[ResourceRow], at: datetime
) -> HoldRow | None:
    """The first hold that keeps a resource and all below it, which comes first in `tree`, from being purged.

    It is on the subscription, on one of them, on what they lie in, or lay in while it ran, or on a user who
    made or deleted any.
    """
    running = holds.running(tx, subscription_id, at)
    if not running:
        return None
    ids = {row.resource_id for row in tree}
    is_on_resource = any(hold.resource_id is not None for hold in running)
    above = _above(tx, subscription_id, tree[0]) if is_on_resource else set()
    moved = holds.moved(tx, subscription_id, ids | above) if is_on_resource else set()
    users = {row.created_by for row in tree}
    if any(hold.user_id is not None for hold in running):
        users |= holds.deleters(tx, subscription_id, ids)
    return next((hold for hold in running if hold.hold_id in moved or _keeps(hold, ids | above, users)), None)


@contextmanager
def following(
    tx: Transaction, subscription_id: UUID, before: ResourceRow, after: ResourceRow, at: datetime
) -> Iterator[None]:
    """While the database is told of a move: the holds that keep it before or after keep it wherever it goes.

    By what this notes, a job that lets rows go at that moment sees that those of what came are held now. So
    nothing is where the same holds keep it as before.
    """
    is_moved = before.parent_id != after.parent_id
    if not is_moved or all(hold.resource_id is None for hold in holds.running(tx, subscription_id, at)):
        yield
        return
    keeping = _holders(tx, subscription_id, before, at)
    yield
    if changed := keeping ^ _holders(tx, subscription_id, after, at):
        holds.note_move(tx, subscription_id, after.resource_id, changed)


def held(hold: HoldRow) -> Held:
    """The refusal that names a hold."""
    until = "it is released" if hold.until is None else f"{hold.until:%Y-%m-%dT%H:%M:%SZ}"
    return Held(
        f"The legal hold {hold.hold_id} of {hold.placed_by} keeps this until {until}.",
        facts={"hold_id": hold.hold_id, "reason": hold.reason, "until": hold.until},
    )


def _keeps(hold: HoldRow, resource_ids: set[UUID], user_ids: set[UUID]) -> bool:
    if hold.resource_id is not None:
        return hold.resource_id in resource_ids
    return hold.user_id is None or hold.user_id in user_ids


def _holders(tx: Transaction, subscription_id: UUID, row: ResourceRow, at: datetime) -> set[UUID]:
    """The holds on resources that keep one for where the database has it, or for a move."""
    return holds.keeping(tx, subscription_id, row.resource_id, _above(tx, subscription_id, row), at)


def _above(tx: Transaction, subscription_id: UUID, row: ResourceRow) -> set[UUID]:
    """The ids of all that a resource lies in."""
    folders = [] if row.folder_id is None else places.above(tx, subscription_id, row.folder_id)
    return {row.workspace_id, *folders} | (set() if row.parent_id is None else {row.parent_id})
