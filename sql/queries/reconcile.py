"""Read the rows that describe a subscription's repository, and correct those that git refutes."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    column,
    exists,
    literal,
    or_,
    select,
    text,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from sql.database import OWNER_ROLE, Transaction, among
from sql.models import TABLES
from sql.models.columns import TEXT
from sql.queries.repositories import Tips

_SUBSCRIPTIONS, _VERSIONS, _TAGS, _PUBLICATIONS, _DELETIONS, _REPOSITORIES, _ACTORS = (
    TABLES[name]
    for name in (
        *("subscriptions", "versions", "tags", "publications", "deletion_logs", "repositories", "actors"),
    )
)


# The columns of a version's row that repeat other rows, so that reading is simple.
Mirror = Literal["is_current", "version_tag", "is_published"]


class VersionFact(NamedTuple):
    """A version's row without its document."""

    version_id: UUID
    resource_type: str
    resource_id: UUID
    version_number: int
    git_commit_hash: str
    git_blob_id: str
    commit_number: int
    unversioned_changes: int
    version_tag: str | None
    is_current: bool
    is_published: bool
    resource_name: str
    version_description: str | None
    created_by: UUID
    created_at: datetime


class TagFact(NamedTuple):
    """The row of a present tag, or of a tag whose ref has still to be written or removed."""

    tag_id: UUID
    version_id: UUID
    resource_type: str
    resource_id: UUID
    tag: str
    tag_object: str
    untagged_at: datetime | None
    ref_is_settled: bool
    git_commit_hash: str

    @property
    def is_present(self) -> bool:
        """True until the tag is removed."""
        return self.untagged_at is None


class PublicationFact(NamedTuple):
    """The time during which a version was published."""

    version_id: UUID
    published_at: datetime
    unpublished_at: datetime | None


def subscriptions(tx: Transaction) -> list[UUID]:
    """Read the ids of all subscriptions that are neither purged nor being purged, in order."""
    c = _SUBSCRIPTIONS.c
    query = select(c.subscription_id).where(c.exported_at.is_(None)).order_by(c.subscription_id)
    return list(tx.execute(query).scalars())


def purging(tx: Transaction) -> list[UUID]:
    """Read the ids of subscriptions that are being purged: neither their rows nor repositories are whole."""
    c = _SUBSCRIPTIONS.c
    query = select(c.subscription_id).where(c.exported_at.is_not(None), c.purged_at.is_(None))
    return list(tx.execute(query).scalars())


def tips(tx: Transaction, subscription_id: UUID) -> Tips | None:
    """Read the tips of the branches, without waiting for a writer; None if there is no such row."""
    columns = (_REPOSITORIES.c.head_commit, _REPOSITORIES.c.published_commit, _REPOSITORIES.c.commits)
    row = tx.execute(select(*columns).where(_REPOSITORIES.c.subscription_id == subscription_id)).one_or_none()
    return None if row is None else Tips(*row)


def versions(tx: Transaction, subscription_id: UUID) -> list[VersionFact]:
    """Read every version, in the order of their commits."""
    columns = [_VERSIONS.c[name] for name in VersionFact._fields]
    query = select(*columns).where(_VERSIONS.c.subscription_id == subscription_id)
    rows = tx.execute(query.order_by(_VERSIONS.c.commit_number, _VERSIONS.c.version_id))
    return [VersionFact(*row) for row in rows]


def tags(tx: Transaction, subscription_id: UUID) -> list[TagFact]:
    """Read every present tag, and every tag whose ref has still to be written or removed."""
    columns = [_TAGS.c[name] for name in TagFact._fields[:-1]]
    query = select(*columns, _VERSIONS.c.git_commit_hash).join(
        _VERSIONS, _VERSIONS.c.version_id == _TAGS.c.version_id
    )
    query = query.where(
        _TAGS.c.subscription_id == subscription_id,
        or_(_TAGS.c.untagged_at.is_(None), ~_TAGS.c.ref_is_settled),
    )
    return [TagFact._make(row) for row in tx.execute(query)]


def publications(tx: Transaction, subscription_id: UUID) -> list[PublicationFact]:
    """Read every publication, ended or not."""
    columns = [_PUBLICATIONS.c[name] for name in PublicationFact._fields]
    query = select(*columns).where(_PUBLICATIONS.c.subscription_id == subscription_id)
    return [PublicationFact(*row) for row in tx.execute(query)]


def has_deletions(tx: Transaction, subscription_id: UUID, commits: Collection[str]) -> bool:
    """Check whether the row of a deletion names one of the commits, as its deletion or its restore."""
    c, given = _DELETIONS.c, literal(list(commits), ARRAY(Text()))
    query = select(c.deletion_id).where(
        c.subscription_id == subscription_id,
        or_(c.git_commit_hash == any_(given), c.restored_commit_hash == any_(given)),
    )
    return tx.execute(query.limit(1)).one_or_none() is not None


def deletions_of_other_data(
    tx: Transaction, subscription_id: UUID, *, without: Collection[UUID]
) -> set[UUID]:
    """Find deletions whose document differs from their version's, except for the versions `without`."""
    query = (
        select(_DELETIONS.c.deletion_id)
        .join(_VERSIONS, _VERSIONS.c.version_id == _DELETIONS.c.version_id)
        .where(
            _DELETIONS.c.subscription_id == subscription_id,
            _DELETIONS.c.resource_data.is_distinct_from(_VERSIONS.c.version_data),
            ~among(_VERSIONS.c.version_id, without),
        )
    )
    return set(tx.execute(query).scalars())


def correct_deletion(
    tx: Transaction, subscription_id: UUID, deletion_id: UUID, values: Mapping[str, Any]
) -> None:
    """Set columns of a deletion to git's values; the transaction is the owner's."""
    of_deletion = (_DELETIONS.c.subscription_id == subscription_id, _DELETIONS.c.deletion_id == deletion_id)
    tx.execute(update(_DELETIONS).where(*of_deletion).values(dict(values)))


def refill_deletion(tx: Transaction, subscription_id: UUID, deletion_id: UUID) -> None:
    """Set the document of a deletion to that of its version; the transaction is the owner's."""
    held = select(_VERSIONS.c.version_data).where(_VERSIONS.c.version_id == _DELETIONS.c.version_id)
    correct_deletion(tx, subscription_id, deletion_id, {"resource_data": held.scalar_subquery()})


def named_versions(tx: Transaction, subscription_id: UUID, version_ids: Collection[UUID]) -> set[UUID]:
    """Find which of the given ids are ids of versions."""
    query = select(_VERSIONS.c.version_id).where(
        _VERSIONS.c.subscription_id == subscription_id, among(_VERSIONS.c.version_id, version_ids)
    )
    return set(tx.execute(query).scalars())


def was_tag_object(tx: Transaction, subscription_id: UUID, object_id: str) -> bool:
    """Check whether a tag, removed or not, has the given object."""
    query = select(_TAGS.c.tag_id).where(
        _TAGS.c.subscription_id == subscription_id, _TAGS.c.tag_object == object_id
    )
    return tx.execute(query.limit(1)).one_or_none() is not None


def differing(tx: Transaction, subscription_id: UUID, snapshots: Mapping[UUID, str]) -> set[UUID]:
    """Find versions whose `version_data` differs, as JSONB, from the given snapshot.

    Takes a few thousand snapshots at most. Raises UnfitValue if one of them is not JSON.
    """
    # Not an array: the driver would escape its elements, which takes ten times as long as all else here.
    given = values(column("version_id", Uuid), column("snapshot", TEXT), name="given").data(
        [*snapshots.items()]
    )
    query = (
        select(_VERSIONS.c.version_id)
        .join(given, given.c.version_id == _VERSIONS.c.version_id)
        .where(
            _VERSIONS.c.subscription_id == subscription_id,
            _VERSIONS.c.version_data.is_distinct_from(cast(given.c.snapshot, JSONB)),
        )
    )
    return set(tx.execute(query).scalars())


_MAY_OWN = text("SELECT pg_has_role(session_user, :owner, 'SET')")


def may_correct(tx: Transaction) -> bool:
    """Check whether this login may change rows that the service may not."""
    may: bool = tx.execute(_MAY_OWN, {"owner": OWNER_ROLE}).scalar_one()
    return may


def correct(
    tx: Transaction,
    subscription_id: UUID,
    version_id: UUID,
    column: str,
    value: str | int | UUID | datetime | None,
) -> None:
    """Set a column of a version to git's value; the transaction is the owner's. Raises UniqueConflict."""
    given: Any = value
    if column == "version_data":
        given = cast(bindparam("snapshot", value, type_=TEXT), JSONB)
    tx.execute(
        update(_VERSIONS)
        .where(_VERSIONS.c.subscription_id == subscription_id, _VERSIONS.c.version_id == version_id)
        .values({column: given})
    )


def add_actor(tx: Transaction, subscription_id: UUID, user_id: UUID, username: str) -> None:
    """Add the row of an author that git names, unless it exists; the e-mail address is not in git."""
    values = {"user_id": user_id, "subscription_id": subscription_id, "username": username}
    tx.execute(insert(_ACTORS).values(values).on_conflict_do_nothing())


_LATER = _VERSIONS.alias("later")


def mirror(tx: Transaction, subscription_id: UUID, version_id: UUID, column: Mirror) -> bool:
    """Set a column of a version to the value that it repeats from other rows; False if it had that value.

    The caller has locked the repository. Raises UniqueConflict if another version still has the value.
    """
    truth: dict[Mirror, Any] = {
        "is_current": ~exists().where(
            _LATER.c.subscription_id == _VERSIONS.c.subscription_id,
            _LATER.c.resource_type == _VERSIONS.c.resource_type,
            _LATER.c.resource_id == _VERSIONS.c.resource_id,
            _LATER.c.version_number > _VERSIONS.c.version_number,
        ),
        "version_tag": select(_TAGS.c.tag)
        .where(_TAGS.c.version_id == _VERSIONS.c.version_id, _TAGS.c.untagged_at.is_(None))
        .scalar_subquery(),
        "is_published": exists().where(
            _PUBLICATIONS.c.version_id == _VERSIONS.c.version_id, _PUBLICATIONS.c.unpublished_at.is_(None)
        ),
    }
    right = truth[column]
    query = update(_VERSIONS).where(
        _VERSIONS.c.subscription_id == subscription_id,
        _VERSIONS.c.version_id == version_id,
        _VERSIONS.c[column].is_distinct_from(right),
    )
    changed = tx.execute(query.values({column: right}).returning(_VERSIONS.c.version_id))
    return changed.one_or_none() is not None


def correct_tag_object(tx: Transaction, subscription_id: UUID, tag_id: UUID, tag_object: str) -> None:
    """Set the object of a tag's row to the one in git."""
    tx.execute(
        update(_TAGS)
        .where(_TAGS.c.subscription_id == subscription_id, _TAGS.c.tag_id == tag_id)
        .values(tag_object=tag_object)
    )


def advance(tx: Transaction, subscription_id: UUID, *, main: bool, commit: str) -> None:
    """Set the tip of `main`, or of `published`; the caller has locked the row."""
    query = update(_REPOSITORIES).where(_REPOSITORIES.c.subscription_id == subscription_id)
    tx.execute(query.values({"head_commit" if main else "published_commit": commit}))


def correct_commits(tx: Transaction, subscription_id: UUID, *, since: int, by: int) -> bool:
    """Correct the number of commits of `main`, unless it changed since it was read."""
    query = update(_REPOSITORIES).where(
        _REPOSITORIES.c.subscription_id == subscription_id, _REPOSITORIES.c.commits == since
    )
    changed = tx.execute(query.values(commits=since + by).returning(_REPOSITORIES.c.commits))
    return changed.one_or_none() is not None
