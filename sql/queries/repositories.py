"""The row that orders a repository's writers, and the lock under which its refs are set."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Date, Select, bindparam, case, exists, func, insert, select, update

from sql.database import OF_SUBSCRIPTION, Transaction
from sql.models import TABLES
from sql.pipelines import Command, Later, Query

_REPOSITORIES, _TAGS = TABLES["repositories"], TABLES["tags"]


def create(tx: Transaction, subscription_id: UUID, at: datetime) -> None:
    """Add the row of a new subscription's repository."""
    tx.execute(insert(_REPOSITORIES), {"subscription_id": subscription_id, "created_at": at})


@dataclass(frozen=True, slots=True)
class Tips:
    """The tips of the branches, None before their first commit, and the number of commits of `main`."""

    head: str | None
    published: str | None
    commits: int


@dataclass(frozen=True, slots=True)
class RefsState:
    """The tips of the branches; `owes_tags` is true while refs of tags have to be written or removed."""

    subscription_id: UUID
    head: str | None
    published: str | None
    owes_tags: bool


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """The tips of a repository's branches, and what counts against quotas; `live` is None if not known."""

    head: str | None
    published: str | None
    commits: int
    bytes: int
    versions_day: date | None
    versions_of_day: int
    live: int | None

    @property
    def tips(self) -> Tips:
        """The tips of the branches."""
        return Tips(self.head, self.published, self.commits)


_STATE = select(
    _REPOSITORIES.c.head_commit.label("head"),
    _REPOSITORIES.c.published_commit.label("published"),
    _REPOSITORIES.c.commits,
    func.coalesce(_REPOSITORIES.c.bytes, 0).label("bytes"),
    _REPOSITORIES.c.versions_day,
    _REPOSITORIES.c.versions_of_day,
    case((_REPOSITORIES.c.live_at_commits == _REPOSITORIES.c.commits, _REPOSITORIES.c.live_resources)).label(
        "live"
    ),
).where(_REPOSITORIES.c.subscription_id == OF_SUBSCRIPTION)
_READ = Query(_STATE, RepositoryState)
LOCK = Query(_STATE.with_for_update(), RepositoryState)


def lock(tx: Transaction, subscription_id: UUID) -> Tips:
    """Lock a repository's row, to be its only writer, and read its tips.

    Raises ValueError if there is no such subscription.
    """
    [locked] = LOCK.all(tx, of_subscription=subscription_id)
    return locked.tips


def state(tx: Transaction, subscription_id: UUID) -> RepositoryState | None:
    """Read the state of a repository, without waiting for a writer; None if it was purged."""
    found = _READ.all(tx, of_subscription=subscription_id)
    return found[0] if found else None


def _refs() -> Select[Any]:
    owes = select(_TAGS.c.tag_id).where(
        _TAGS.c.subscription_id == _REPOSITORIES.c.subscription_id, ~_TAGS.c.ref_is_settled
    )
    return select(
        _REPOSITORIES.c.subscription_id,
        _REPOSITORIES.c.head_commit.label("head"),
        _REPOSITORIES.c.published_commit.label("published"),
        exists(owes).label("owes_tags"),
    )


REFS = Query(_refs().where(_REPOSITORIES.c.subscription_id == OF_SUBSCRIPTION), RefsState)


def refs(tx: Transaction, subscription_id: UUID) -> RefsState | None:
    """Read the state of the refs, without waiting for a writer; None if there is no such subscription."""
    found = REFS.all(tx, of_subscription=subscription_id)
    return found[0] if found else None


def all_refs(tx: Transaction) -> list[RefsState]:
    """Read the state of the refs of every repository with commits."""
    return [RefsState(*row) for row in tx.execute(_refs().where(_REPOSITORIES.c.head_commit.is_not(None)))]


def newest(tx: Transaction) -> UUID | None:
    """Find the newest repository; a data directory without it belongs to another database."""
    query = select(_REPOSITORIES.c.subscription_id).order_by(_REPOSITORIES.c.created_at.desc()).limit(1)
    subscription_id: UUID | None = tx.execute(query).scalar_one_or_none()
    return subscription_id


_ADVANCE = Command(
    update(_REPOSITORIES)
    .where(_REPOSITORIES.c.subscription_id == OF_SUBSCRIPTION)
    .values(
        head_commit=bindparam("head"),
        published_commit=bindparam("published"),
        commits=bindparam("number"),
        bytes=func.coalesce(_REPOSITORIES.c.bytes, 0) + bindparam("added", type_=BigInteger()),
        versions_of_day=bindparam("made", type_=BigInteger())
        + case((_REPOSITORIES.c.versions_day == bindparam("day"), _REPOSITORIES.c.versions_of_day), else_=0),
        versions_day=bindparam("day", type_=Date()),
        live_resources=bindparam("live", type_=BigInteger()),
        live_at_commits=bindparam("live_at", type_=BigInteger()),
    )
)
_LOCK_REFS = Command(select(func.pg_advisory_xact_lock(bindparam("key", type_=BigInteger()))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The versions made on a day, the bytes added to the packs, and the live resources there are now.

    `live` is None if nobody counted them.
    """

    day: date
    versions: int
    bytes: int
    live: int | None


# Equal to no number of commits.
_NEVER = -1


def advance(tx: Transaction, subscription_id: UUID, tips: Tips, growth: Growth) -> None:
    """Set the tips of the branches, and what counts against quotas; the caller has locked the row."""
    _ADVANCE.execute(
        tx,
        of_subscription=subscription_id,
        head=tips.head,
        published=tips.published,
        number=tips.commits,
        day=growth.day,
        made=growth.versions,
        added=growth.bytes,
        live=growth.live or 0,
        live_at=_NEVER if growth.live is None else tips.commits,
    )


def forget_live(tx: Transaction, subscription_id: UUID) -> None:
    """Have live resources counted anew: a repair may have changed them without a commit."""
    query = update(_REPOSITORIES).where(_REPOSITORIES.c.subscription_id == subscription_id)
    tx.execute(query.values(live_at_commits=_NEVER))


def lock_refs(tx: Transaction, subscription_id: UUID) -> None:
    """Lock the refs of a repository among all hosts, until the transaction ends."""
    _LOCK_REFS.execute(tx, key=int.from_bytes(subscription_id.bytes[-8:], "big", signed=True))


class OwnRefs:
    """Locks the refs of a repository among all hosts, and reads their state."""

    def __init__(self, subscription_id: UUID) -> None:
        self._subscription_id = subscription_id
        self._found: Later[RefsState] = list

    def send(self, tx: Transaction) -> None:
        """Send both statements. The second begins under the lock, and so sees all commits before it."""
        lock_refs(tx, self._subscription_id)
        self._found = REFS.send(tx, of_subscription=self._subscription_id)

    def state(self) -> RefsState | None:
        """Return the state of the refs, or None if there is no such subscription."""
        found = self._found()
        return found[0] if found else None


# The first number of a lock's key of two numbers. Such a key is never equal to a key of one number.
_UPKEEP_LOCK = 0x75706B65


def try_lock_upkeep(tx: Transaction, subscription_id: UUID) -> bool:
    """Lock the upkeep of a repository among all hosts until the transaction ends; False if another has it.

    Two repositories share a lock once in four thousand million cases: then one waits for its next run.
    """
    key = int.from_bytes(subscription_id.bytes[-4:], "big", signed=True)
    held: bool = tx.execute(select(func.pg_try_advisory_xact_lock(_UPKEEP_LOCK, key))).scalar_one()
    return held


def keep_lock(tx: Transaction) -> None:
    """Keep an idle transaction alive. Like any statement, it raises an error if the connection is lost."""
    tx.execute(select(1))


def has_size(tx: Transaction, subscription_id: UUID, *, packs: int, size: int) -> bool:
    """Find out whether a repository's row has this size."""
    c = _REPOSITORIES.c
    query = select(c.subscription_id).where(
        c.subscription_id == subscription_id, c.packs == packs, c.bytes == size
    )
    return tx.execute(query).one_or_none() is not None


def note_size(tx: Transaction, subscription_id: UUID, *, packs: int, size: int, at: datetime) -> None:
    """Write the size of a repository; the caller has locked the row."""
    query = update(_REPOSITORIES).where(_REPOSITORIES.c.subscription_id == subscription_id)
    tx.execute(query.values(packs=packs, bytes=size, measured_at=at))


@dataclass(frozen=True, slots=True)
class Sizes:
    """The number of repositories, of packs as upkeep counted them, of bytes, and the bytes of the largest."""

    repositories: int
    packs: int
    bytes: int
    largest: int


def sizes(tx: Transaction) -> Sizes:
    """Read the size of all repositories."""
    c = _REPOSITORIES.c
    row = tx.execute(
        select(
            func.count(),
            func.coalesce(func.sum(c.packs), 0),
            func.coalesce(func.sum(c.bytes), 0),
            func.coalesce(func.max(c.bytes), 0),
        )
    ).one()
    return Sizes(*map(int, row))
