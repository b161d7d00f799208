"""Letting the refs follow the rows: after each batch, and before anybody clones."""

import structlog

from gitstore import refs
from gitstore.errors import GitStoreError
from gitstore.layout import Store
from service.ids import SubscriptionId
from sql.database import PLATFORM, Database
from sql.queries import repositories

MAIN = "refs/heads/main"

log = structlog.get_logger(__name__)


def settle(
    database: Database, store: Store, subscription_id: SubscriptionId, *, since: str | None = None
) -> bool:
    """Move `main` to where its row says, under the lock that orders all hosts; True where it was behind.

    `since` is a commit that the row once stood at: where the ref stands there, no history has to be read.
    Raises RefDiverged where somebody else moved it, and the errors of `sql.errors`.
    """
    with database.transaction(subscription_id) as tx:
        repositories.lock_refs(tx, subscription_id)
        # Read under the lock: another host's later batch may have advanced the row meanwhile.
        head = repositories.head(tx, subscription_id)
        if head is None:
            return False
        return refs.forward(store.path(str(subscription_id)), MAIN, head, since=since)


def settle_all(database: Database, store: Store) -> list[SubscriptionId]:
    """Settle every repository that a crash left behind its row; says which those were."""
    with database.transaction(PLATFORM) as tx:
        heads = repositories.heads(tx)
    moved = []
    for subscription_id, head in heads:
        try:
            at_row = refs.read(store.path(str(subscription_id)), MAIN) == head
            if not at_row and settle(database, store, SubscriptionId(subscription_id)):
                moved.append(SubscriptionId(subscription_id))
        except GitStoreError as error:
            # One broken repository must not keep the others behind; its own clones are refused.
            log.warning("a ref can't be settled", subscription_id=str(subscription_id), error=repr(error))
    return moved
