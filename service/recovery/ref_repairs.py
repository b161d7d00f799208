"""Put refs that somebody else moved back to where their rows say, under the lock on refs."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gitstore import ref_repairs, refs
from gitstore.commit_messages import tag_ref
from gitstore.errors import GitStoreError
from gitstore.read import inspection
from gitstore.store import Store
from gitstore.upkeep import leftovers
from service.committer.refs import MAIN, PUBLISHED
from service.domain.ids import SubscriptionId
from service.domain.resource_kinds import Kind
from sql.database import Database, Transaction
from sql.queries import reconcile, repositories
from sql.queries.reconcile import TagFact

TAGS = "refs/tags/"

# Records a repair before it is done.
Record = Callable[[str], None]


class Outdated(GitStoreError):
    """The damage is no longer as it was found."""


def full_name(tag: TagFact) -> str:
    """Return the full name of a tag's ref."""
    return TAGS + tag_ref(Kind(tag.resource_type).collection, str(tag.resource_id), tag.tag)


def wanted(tx: Transaction, subscription_id: SubscriptionId) -> dict[str, str]:
    """Read from the rows which refs have to exist: the object of each by the full name of the ref."""
    tips = reconcile.tips(tx, subscription_id)
    if tips is None:
        return {}
    found = {full_name(tag): tag.tag_object for tag in reconcile.tags(tx, subscription_id) if tag.is_present}
    branches = {MAIN: tips.head, PUBLISHED: tips.published}
    return found | {ref: commit for ref, commit in branches.items() if commit is not None}


def put_back(
    database: Database,
    store: Store,
    subscription_id: SubscriptionId,
    ref: str,
    found: str | None,
    record: Record,
) -> str:
    """Set a ref to the object in its row, or remove a ref without a row; returns a description of the repair.

    The object that the ref named is kept below `refs/annals/found`, unless Annals made it for a tag. A second
    connection records the repair. Raises Outdated if the ref is no longer at `found`, ObjectMissing and
    StoreUnavailable.
    """
    path = store.path(str(subscription_id))
    with database.transaction(subscription_id) as tx:
        repositories.lock_refs(tx, subscription_id)
        target = wanted(tx, subscription_id).get(ref)
        seen = inspection.read_refs(path)
        present = seen.named.get(ref, seen.broken.get(ref))
        if present == target:
            return "it is right by now"
        if present != found:
            raise Outdated(f"{ref} moved meanwhile: it is at {present}")
        done = "removed" if target is None else f"put back to {target}"
        is_own = present in seen.named.values() and reconcile.was_tag_object(
            tx, subscription_id, str(present)
        )
        foreign = None if present is None or ref in seen.broken or is_own else present
        if foreign is not None and _exists(path, foreign):
            done += f"; {foreign} is kept as {ref_repairs.FOUND}/{foreign}"
        record(done)
        if foreign is not None:
            ref_repairs.keep(path, foreign)
        if ref in seen.broken:
            ref_repairs.drop_broken(path, ref)
            if target is None:
                # The broken file may have hidden a packed ref, which is then another finding.
                return done
        ref_repairs.put(path, ref, target)
        return done


def reset_head(database: Database, store: Store, subscription_id: SubscriptionId, record: Record) -> str:
    """Set HEAD to `main`; returns a description of the repair."""
    with database.transaction(subscription_id) as tx:
        repositories.lock_refs(tx, subscription_id)
        done = "set to refs/heads/main"
        record(done)
        ref_repairs.reset_head(store.path(str(subscription_id)))
        return done


def remove_lock(
    database: Database, store: Store, subscription_id: SubscriptionId, lock: Path, record: Record
) -> str:
    """Remove a lock file on refs; returns a description of the repair.

    The lock on refs is taken meanwhile, so no live process owns the file.
    """
    with database.transaction(subscription_id) as tx:
        repositories.lock_refs(tx, subscription_id)
        if not lock.exists():
            return "it is gone by now"
        record("removed")
        leftovers.remove(lock)
        return "removed"


def advance_row(
    database: Database, store: Store, subscription_id: SubscriptionId, ref: str, found: str, record: Record
) -> str:
    """Move the repository's row forward to the ref of a branch; returns a description of the repair.

    The ref is ahead of the row by commits that have rows of versions or publications. Raises Outdated.
    """
    path = store.path(str(subscription_id))
    with database.transaction(subscription_id) as tx:
        repositories.lock_refs(tx, subscription_id)
        tips = repositories.lock(tx, subscription_id)
        before = tips.head if ref == MAIN else tips.published
        if before == found:
            return "it is right by now"
        if refs.read(path, ref) != found or not _descends(path, found, before):
            raise Outdated(f"{ref} or its row moved meanwhile")
        record(done := f"the row was moved forward to {found}")
        reconcile.advance(tx, subscription_id, main=ref == MAIN, commit=found)
        return done


def _exists(path: Path, object_id: str) -> bool:
    with closing(inspection.Objects(path)) as objects:
        return objects.exists(object_id)


def _descends(path: Path, commit: str, ancestor: str | None) -> bool:
    with closing(inspection.Objects(path)) as objects:
        return ancestor is None or objects.descends(commit, ancestor)
