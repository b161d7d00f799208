"""Moving refs to the commits of their rows: after each batch, and before each clone."""

import structlog

from gitstore import refs
from gitstore.commit_messages import tag_ref
from gitstore.errors import GitStoreError
from gitstore.failpoints import passing
from gitstore.store import Store
from service.domain.ids import SubscriptionId
from service.domain.resource_kinds import Kind
from sql.database import PLATFORM, Database
from sql.queries import repositories, tags
from sql.queries.repositories import OwnRefs, RefsState, Tips

MAIN = "refs/heads/main"
PUBLISHED = "refs/heads/published"

log = structlog.get_logger(__name__)


def settle(
    database: Database, store: Store, subscription_id: SubscriptionId, *, since: Tips | None = None
) -> bool:
    """Move every ref to the commit of its row, under the lock that orders all hosts; True if one moved.

    `since` are earlier tips of the rows: a branch at such a tip is moved without reading history. Raises
    RefDiverged if another program moved a ref, and the errors of `sql.errors`.
    """
    path = store.path(str(subscription_id))
    # Read under the lock: a later batch of another host may have advanced the rows.
    own = OwnRefs(subscription_id)
    with database.transaction(subscription_id, first=own.send) as tx:
        passing("refs-locked")
        state = own.state()
        if state is None or state.head is None:
            return False
        moved = refs.forward(path, MAIN, state.head, since=None if since is None else since.head)
        if state.published is not None:
            former = None if since is None else since.published
            moved |= refs.forward(path, PUBLISHED, state.published, since=former)
        if state.owes_tags:
            owed = tags.unsettled(tx, subscription_id)
            names = {
                tag_ref(Kind(each.resource_type).collection, str(each.resource_id), each.tag): each.tag_object
                for each in owed
            }
            refs.settle_tags(path, names)
            passing("tags-moved")
            # Committed only after the refs are durable: after a crash in between, the tags are settled again.
            tags.settle(tx, subscription_id, owed)
            passing("tags-settled")
            moved = True
    passing("refs-settled")
    return moved


def settle_all(database: Database, store: Store) -> list[SubscriptionId]:
    """Settle every repository whose refs a crash left behind its rows; returns the subscriptions."""
    with database.transaction(PLATFORM) as tx:
        states = repositories.all_refs(tx)
    moved = []
    for state in states:
        subscription_id = SubscriptionId(state.subscription_id)
        try:
            if not _is_settled(store, state) and settle(database, store, subscription_id):
                moved.append(subscription_id)
        except GitStoreError as error:
            # One broken repository must not stop the others; its clones are refused.
            log.warning("a ref can't be settled", subscription_id=str(subscription_id), error=repr(error))
    return moved


def _is_settled(store: Store, state: RefsState) -> bool:
    path = store.path(str(state.subscription_id))
    return (
        not state.owes_tags
        and refs.read(path, MAIN) == state.head
        and refs.read(path, PUBLISHED) == state.published
    )
