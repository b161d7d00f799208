"""Pipelines: errors are those of `sql.errors`, and a connection is usable afterwards or out of the pool."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import BigInteger, Text, bindparam, literal, select, text
from sqlalchemy import func as sql

from sql.database import PLATFORM, Transaction
from sql.database import Database as ServiceDatabase
from sql.errors import DatabaseUnavailable, LimitExceeded, UnfitValue, UniqueConflict
from sql.pipelines import Command, Later, Query, driver_of, pipelined
from sql.queries import check_outs, repositories, resources, versions
from tests.support.api import COLLECTIONS, Tenant
from tests.support.databases import Cluster, Database


@dataclass(frozen=True, slots=True)
class Number:
    n: int | None


@dataclass(frozen=True, slots=True)
class Said:
    word: str


NUMBER = Query(select(bindparam("n", type_=BigInteger()).label("n")), Number)
DIVIDED = Query(select((literal(12) / bindparam("n", type_=BigInteger())).label("n")), Number)
CONSTANT = Query(select((literal(40) + bindparam("n", type_=BigInteger())).label("n")), Number)
SAY = Query(select(bindparam("word", type_=Text()).label("word")), Said)
SCOPE = Query(select(sql.current_setting("annals.scope").label("word")), Said)
OWN_PID = Query(select(sql.pg_backend_pid().label("n")), Number)
INSERT = Command(
    text("INSERT INTO subscriptions (subscription_id, name, created_at) VALUES (:id, :name, :at)")
)
AT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def own(cluster: Cluster) -> Database:
    return cluster.migrated()


@pytest.fixture
def pool(own: Database) -> Iterator[ServiceDatabase]:
    """A pool of one connection: one that is not returned, or is returned broken, shows at once."""
    pool = ServiceDatabase(own.url, pool_size=1)
    yield pool
    pool.close()


def add(tx: Transaction, subscription_id: UUID, name: str = "s") -> None:
    INSERT.execute(tx, id=subscription_id, name=name, at=AT)


def there(pool: ServiceDatabase, subscription_id: UUID) -> bool:
    """True if a row was committed; the pool's one connection has to be usable."""
    with pool.transaction(PLATFORM) as tx:
        return bool(
            tx.execute(
                text("SELECT 1 FROM subscriptions WHERE subscription_id = :id"), {"id": subscription_id}
            ).all()
        )


def pid(pool: ServiceDatabase) -> int:
    with pool.transaction(PLATFORM) as tx:
        [found] = OWN_PID.all(tx)
    assert found.n is not None
    return found.n


def kill(own: Database, backend: int) -> None:
    """End a connection's server process, and wait for its end."""
    assert own.value("SELECT pg_terminate_backend(%s, 10000)", backend)


def test_what_was_asked_in_a_pipeline_is_known_after_it(pool: ServiceDatabase) -> None:
    with pool.transaction(PLATFORM) as tx:
        with pipelined(tx):
            asked = [NUMBER.send(tx, n=n) for n in (1, 2, None)]
        assert [later() for later in asked] == [[Number(1)], [Number(2)], [Number(None)]]


def test_what_comes_first_goes_over_with_the_beginning_and_within_the_scope(pool: ServiceDatabase) -> None:
    scope = uuid4()
    asked: list[Later[Said]] = []

    def ask(tx: Transaction) -> None:
        asked.append(SCOPE.send(tx))

    with pool.transaction(scope, first=ask) as tx:
        assert asked[0]() == [Said(str(scope))]
        assert tx.execute(text("SELECT current_user")).scalar_one() == "annals_service"


def test_the_constants_of_a_query_and_its_parameters_both_count(pool: ServiceDatabase) -> None:
    with pool.transaction(PLATFORM) as tx:
        with pipelined(tx):
            later = CONSTANT.send(tx, n=2)
        assert later() == CONSTANT.all(tx, n=2) == [Number(42)]


@pytest.mark.parametrize(
    ("break_it", "kind"),
    [
        (lambda tx: DIVIDED.send(tx, n=0), UnfitValue),
        (lambda tx: add(tx, UUID(int=1)), UniqueConflict),
        (lambda tx: add(tx, uuid4(), "a\0b"), UnfitValue),
        (lambda tx: add(tx, uuid4(), "x" * 1000), UnfitValue),
        (lambda tx: NUMBER.send(tx, n=2**70), UnfitValue),
        (lambda tx: Command(text("SELECT 1" + ", 1" * 1700)).execute(tx), LimitExceeded),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_an_error_in_a_pipeline_is_translated_undoes_all_and_leaves_the_connection_usable(
    own: Database,
    pool: ServiceDatabase,
    break_it: Callable[[Transaction], Any],
    kind: type[Exception],
    last: bool,
) -> None:
    if not there(pool, UUID(int=1)):
        with pool.transaction(PLATFORM) as tx:
            add(tx, UUID(int=1))
    before, after, connection = uuid4(), uuid4(), pid(pool)

    def work() -> None:
        with pool.transaction(PLATFORM) as tx, pipelined(tx):
            add(tx, before)
            break_it(tx)
            if not last:
                add(tx, after)
                NUMBER.send(tx, n=1)

    with pytest.raises(kind):
        work()
    assert not there(pool, before)
    assert not there(pool, after)
    assert pid(pool) == connection


def test_an_error_of_ours_within_a_pipeline_is_raised_as_it_is_and_undoes_all(pool: ServiceDatabase) -> None:
    subscription_id = uuid4()

    def work() -> None:
        with pool.transaction(PLATFORM) as tx, pipelined(tx):
            add(tx, subscription_id)
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        work()
    assert not there(pool, subscription_id)


def test_an_error_in_what_comes_first_is_translated(pool: ServiceDatabase) -> None:
    def ask(tx: Transaction) -> None:
        DIVIDED.send(tx, n=0)

    with pytest.raises(UnfitValue), pool.transaction(PLATFORM, first=ask):
        pass
    assert pid(pool)


def test_outside_a_pipeline_a_command_is_carried_out_at_once(pool: ServiceDatabase) -> None:
    subscription_id = uuid4()
    with pool.transaction(PLATFORM) as tx:
        add(tx, subscription_id)
        assert NUMBER.all(tx, n=1) == [Number(1)]
    assert there(pool, subscription_id)


@contextmanager
def killed_at(own: Database, pool: ServiceDatabase, where: str) -> Iterator[UUID]:
    """Kill the server process of a transaction at a place; answers the id of the transaction's row."""
    subscription_id = uuid4()
    with pool.transaction(PLATFORM) as tx:
        backend = driver_of(tx).info.backend_pid
        if where == "before":
            kill(own, backend)
        with pipelined(tx):
            add(tx, subscription_id)
            if where == "sent":
                kill(own, backend)
            NUMBER.send(tx, n=1)
        if where == "commit":
            kill(own, backend)
        yield subscription_id


@pytest.mark.parametrize("where", ["before", "sent", "commit"])
def test_a_killed_connection_is_told_as_unavailable_and_the_next_call_has_another(
    own: Database, pool: ServiceDatabase, where: str
) -> None:
    first = pid(pool)
    added: list[UUID] = []
    with pytest.raises(DatabaseUnavailable), killed_at(own, pool, where) as subscription_id:
        added.append(subscription_id)
    assert pid(pool) != first
    assert added == [] or not there(pool, added[0])


def test_a_connection_that_was_killed_while_it_lay_idle_is_noticed_before_it_is_used(
    own: Database, pool: ServiceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sql.database.FRESH_SECONDS", 0)
    first = pid(pool)
    kill(own, first)
    assert pid(pool) not in (0, first)


def test_one_that_was_used_a_moment_ago_may_fail_once(own: Database, pool: ServiceDatabase) -> None:
    first = pid(pool)
    kill(own, first)
    with pytest.raises(DatabaseUnavailable):
        pid(pool)
    assert pid(pool) != first


def test_a_connection_that_is_asked_whether_it_lives_is_left_outside_any_transaction(
    own: Database, pool: ServiceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sql.database.FRESH_SECONDS", 0)
    backend = pid(pool)
    # Taken from the pool and returned again: a transaction begun by the check would show as idle.
    assert pid(pool) == backend
    assert own.value("SELECT state FROM pg_stat_activity WHERE pid = %s", backend) == "idle"


def test_a_query_is_the_same_in_a_pipeline_and_by_itself(tenant: Tenant) -> None:
    workflow, tagged = tenant.workflow(), tenant.workflow(description="é")
    tenant.save(tagged, {"n": 1}, tag="v1")
    tenant.check_out(tagged, tenant.ben, reason="mine")
    ids = [UUID(each["resource_id"]) for each in (workflow, tagged)]
    subscription_id = UUID(tenant.subscription_id)
    scope: dict[str, Any] = {"of_subscription": subscription_id}
    asked: list[tuple[Query[Any], dict[str, Any], int]] = [
        (repositories.LOCK, scope, 1),
        (repositories.REFS, scope, 1),
        (versions.CURRENT, scope | {"kind": "workflow", "ids": ids, "at": datetime.now(UTC)}, 2),
        (versions.CURRENT, scope | {"kind": "workflow", "ids": [], "at": datetime.now(UTC)}, 0),
        (check_outs.UNRELEASED, scope | {"kind": "workflow", "ids": ids}, 1),
    ]
    for collection in COLLECTIONS:
        found = tenant.server.database.rows(
            "SELECT DISTINCT resource_id FROM versions WHERE subscription_id = %s AND resource_type = %s",
            subscription_id,
            collection[:-1],
        )
        made = [row[0] for row in found]
        asked.append((resources.lock_of(collection[:-1]), scope | {"ids": made}, len(made)))
    assert sum(count for query, _, count in asked if query is not repositories.LOCK) > 6
    database = tenant.server.context.database
    with database.transaction(subscription_id) as tx:
        with pipelined(tx):
            sent = [query.send(tx, **parameters) for query, parameters, _ in asked]
        for (query, parameters, count), later in zip(asked, sent, strict=True):
            rows = later()
            assert len(rows) == count
            assert rows == query.all(tx, **parameters)


def test_a_text_parameter_is_never_part_of_the_statement(pool: ServiceDatabase) -> None:
    word = "'; DROP TABLE versions; -- %(n)s %s"
    with pool.transaction(PLATFORM) as tx:
        with pipelined(tx):
            later = SAY.send(tx, word=word)
        assert later() == [Said(word)]
