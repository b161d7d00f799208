"""Letting the refs follow the rows: after each batch, and before anybody clones."""

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
    """Bring every ref to where its row says, under the lock that orders all hosts; True if one was not.

    `since` is where the rows once stood: where a branch stands there, no history has to be read. Raises
    RefDiverged where somebody else moved one, and the errors of `sql.errors`.
    """
    path = store.path(str(subscription_id))
    # Read under the lock: another host's later batch may have advanced the rows meanwhile.
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
            owed = tags.owed(tx, subscription_id)
            names = {
                tag_ref(Kind(each.resource_type).collection, str(each.resource_id), each.tag): each.tag_object
                for each in owed
            }
            refs.settle_tags(path, names)
            passing("tags-moved")
            # Committed after the refs are durable: a crash in between lets it be done again.
            tags.settle(tx, subscription_id, owed)
            passing("tags-settled")
            moved = True
    passing("refs-settled")
    return moved


def settle_all(database: Database, store: Store) -> list[SubscriptionId]:
    """Settle every repository that a crash left behind its rows; says which those were."""
    with database.transaction(PLATFORM) as tx:
        states = repositories.all_refs(tx)
    moved = []
    for state in states:
        subscription_id = SubscriptionId(state.subscription_id)
        try:
            if not _is_settled(store, state) and settle(database, store, subscription_id):
                moved.append(subscription_id)
        except GitStoreError as error:
            # One broken repository must not keep the others behind; its own clones are refused.
            log.warning("a ref can't be settled", subscription_id=str(subscription_id), error=repr(error))
    return moved


def _is_settled(store: Store, state: RefsState) -> bool:
    path = store.path(str(state.subscription_id))
    return (
        not state.owes_tags
        and refs.read(path, MAIN) == state.head
        and refs.read(path, PUBLISHED) == state.published
    )
