"""Many rows by one statement: no value changes on its way, and unfit values are refused as by single rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orjson import Fragment
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    bindparam,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB

from gitstore.snapshots import canonical_definition
from sql import bulk
from sql.database import PLATFORM, Transaction
from sql.database import Database as ServiceDatabase
from sql.errors import UnfitValue, UniqueConflict
from sql.models.columns import INSTANT
from sql.pipelines import Command, pipelined
from tests.support.databases import Cluster
from tests.support.seeded_documents import DOCUMENTS, ODD

# A column of every type that the tables written by `sql.bulk` have.
SAMPLES = Table(
    "samples",
    MetaData(),
    Column("id", Uuid(), primary_key=True),
    Column("short", String(50)),
    Column("long", Text()),
    Column("number", Integer()),
    Column("large", BigInteger()),
    Column("flag", Boolean()),
    Column("at", INSTANT),
    Column("document", JSONB(none_as_null=True)),
    Column("address", INET()),
    Column("tenant", Uuid()),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
NAMES = ("id", "short", "long", "number", "large", "flag", "at", "document", "address")
INSERT = bulk.insertion(SAMPLES, *NAMES, tenant=bindparam("of_tenant", type_=Uuid()))
TENANT = UUID(int=99)
FIRST = UUID(int=1)
AT = datetime(2026, 11, 24, 12, 0, 0, 123457, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    id: UUID = FIRST
    short: str | None = None
    long: str | None = None
    number: int | None = None
    large: int | None = None
    flag: bool | None = None
    at: datetime | None = None
    document: Any = None
    address: str | None = None


@pytest.fixture(scope="module")
def pool(cluster: Cluster) -> Iterator[ServiceDatabase]:
    pool = ServiceDatabase(cluster.migrated().url, pool_size=1)
    yield pool
    pool.close()


@contextmanager
def table(pool: ServiceDatabase) -> Iterator[Transaction]:
    """A transaction in which the table exists, and is empty."""
    with pool.transaction(PLATFORM) as tx:
        SAMPLES.create(tx)
        yield tx


def stored(tx: Transaction, *rows: Any) -> list[Any]:
    """The rows as read from the table after they were added."""
    bulk.execute(tx, INSERT, rows, of_tenant=TENANT)
    return list(tx.execute(SAMPLES.select().order_by(SAMPLES.c.id)))


def test_every_type_comes_back_as_it_was(pool: ServiceDatabase) -> None:
    sample = Sample(
        short="é 😀 \u2028 \"'\\ \x01 \t\n",
        long="x" * 100_000,
        number=-(2**31),
        large=2**63 - 1,
        flag=True,
        at=AT,
        document={"a/b~c": [1, None, "é", {"": False}]},
        address="2001:db8::1",
    )
    with table(pool) as tx:
        [row] = stored(tx, sample)
        assert str(row.address) == sample.address
        assert all(getattr(row, name) == getattr(sample, name) for name in NAMES if name != "address")
        assert row.tenant == TENANT


def test_none_is_null_in_a_column_of_every_type(pool: ServiceDatabase) -> None:
    with table(pool) as tx:
        [row] = stored(tx, Sample())
        assert row == (UUID(int=1), *[None] * 8, TENANT)
        assert tx.execute(text("SELECT document IS NULL FROM samples")).scalar_one()


def test_a_value_that_a_dictionary_leaves_out_is_null(pool: ServiceDatabase) -> None:
    with table(pool) as tx:
        assert stored(tx, {"id": UUID(int=2), "number": 7}) == [
            (UUID(int=2), None, None, 7, *[None] * 5, TENANT)
        ]


def test_an_empty_text_is_no_null(pool: ServiceDatabase) -> None:
    with table(pool) as tx:
        [row] = stored(tx, Sample(short="", long=""))
        assert (row.short, row.long) == ("", "")


def test_no_rows_are_no_statement(pool: ServiceDatabase) -> None:
    with table(pool) as tx:
        assert stored(tx) == []


@pytest.mark.parametrize(
    "at",
    [
        *(AT.replace(microsecond=n) for n in (0, 1, 999_999)),
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ],
)
def test_an_instant_keeps_its_microseconds_and_its_zone(pool: ServiceDatabase, at: datetime) -> None:
    with table(pool) as tx:
        assert stored(tx, Sample(at=at))[0].at == at


@given(at=st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1)))  # noqa: DTZ001 - bounds are naive
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_instant_comes_back(pool: ServiceDatabase, at: datetime) -> None:
    with table(pool) as tx:
        assert stored(tx, Sample(at=at))[0].at == at


@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_comes_back(pool: ServiceDatabase, value: str) -> None:
    with table(pool) as tx:
        [row] = stored(tx, Sample(short=value, long=value, document=[value, {value: 1}]))
        assert (row.short, row.long, row.document) == (value, value, [value, {value: 1}])


def test_the_numbers_in_a_document_keep_their_value(pool: ServiceDatabase) -> None:
    numbers = [n for n in ODD if isinstance(n, int | float) and not isinstance(n, bool)]
    with table(pool) as tx:
        [row] = stored(tx, Sample(document=numbers))
        for before, after in zip(numbers, row.document, strict=True):
            # JSONB writes large doubles as integers and -0.0 as 0.0: the canonical bytes are the truth.
            assert type(before)(after) == before


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_fragment_is_taken_over_as_the_text_that_it_is(pool: ServiceDatabase, name: str) -> None:
    raw = canonical_definition(DOCUMENTS[name])
    with table(pool) as tx:
        assert stored(tx, Sample(document=Fragment(raw)))[0].document == orjson.loads(raw)


@pytest.mark.parametrize(
    "row",
    [
        Sample(long="a\0b"),
        Sample(short="\0"),
        Sample(document={"a": ["\0"]}),
        Sample(document={"\0": 1}),
        Sample(document=Fragment(b'"\\u0000"')),
        Sample(long="\ud800"),
        Sample(document=["\udc00\ud800"]),
        Sample(document={"\ud800": 1}),
        Sample(short="x" * 51),
        Sample(number=2**31),
        Sample(large=2**63),
        Sample(large=2**64),
        Sample(document=[2**64]),
        Sample(address="nowhere"),
        {"id": "no id"},
        {"id": UUID(int=1), "at": "soon"},
        {"id": UUID(int=1), "flag": "perhaps"},
    ],
)
def test_what_does_not_fit_is_refused_and_the_connection_goes_on(pool: ServiceDatabase, row: Any) -> None:
    with pytest.raises(UnfitValue), table(pool) as tx:
        stored(tx, Sample(id=UUID(int=5)), row)
    with table(pool) as tx:
        assert len(stored(tx, Sample())) == 1


@pytest.mark.parametrize("value", ["a\0b", "x" * 51])
def test_a_text_that_does_not_fit_is_refused_as_by_a_statement_of_its_own(
    pool: ServiceDatabase, value: str
) -> None:
    with pytest.raises(UnfitValue), table(pool) as tx:
        tx.execute(SAMPLES.insert(), {"id": UUID(int=1), "short": value})


def test_a_row_that_is_there_already_is_a_conflict_that_names_its_constraint(pool: ServiceDatabase) -> None:
    with pytest.raises(UniqueConflict) as raised, table(pool) as tx:
        stored(tx, Sample(), Sample())
    assert raised.value.constraint == "samples_pkey"


def test_more_rows_than_a_statement_takes_go_over_in_several(
    pool: ServiceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_TEXT_BYTES", 2000)
    rows = [Sample(id=UUID(int=n), long="é" * (n * 37 % 500), number=n) for n in range(1, 60)]
    texts = list(bulk._texts(rows))
    assert len(texts) > 10
    # A larger row is sent alone: PostgreSQL's limit is far above.
    assert all(len(each.text) <= 2000 + 60 or each.text.count(b'"id"') == 1 for each in texts)
    with table(pool) as tx:
        assert [(row.number, row.long) for row in stored(tx, *rows)] == [
            (row.number, row.long) for row in rows
        ]


def test_documents_of_more_than_the_limit_together_are_stored(pool: ServiceDatabase) -> None:
    one = Fragment(b'["' + b"x" * (9 * 1024 * 1024) + b'"]')
    rows = [Sample(id=UUID(int=n), document=one) for n in range(1, 9)]
    with table(pool) as tx:
        bulk.execute(tx, INSERT, rows, of_tenant=TENANT)
        sizes = tx.execute(text("SELECT length(document->>0) FROM samples")).scalars().all()
        assert sizes == [9 * 1024 * 1024] * 8


def test_in_a_pipeline_rows_go_over_with_the_rest(pool: ServiceDatabase) -> None:
    with table(pool) as tx:
        with pipelined(tx):
            bulk.execute(tx, INSERT, [Sample(number=1)], of_tenant=TENANT)
            bulk.execute(tx, INSERT, [Sample(id=UUID(int=2), number=2)], of_tenant=TENANT)
        assert [row.number for row in tx.execute(SAMPLES.select())] == [1, 2]


def test_rows_can_change_others_by_a_column(pool: ServiceDatabase) -> None:
    given_rows = bulk.table_of(SAMPLES.c.id, SAMPLES.c.short, SAMPLES.c.at)
    change = Command(
        SAMPLES.update()
        .where(SAMPLES.c.id == given_rows.c.id)
        .values(short=given_rows.c.short, at=given_rows.c.at)
    )
    with table(pool) as tx:
        stored(tx, *(Sample(id=UUID(int=n), short="old") for n in (1, 2, 3)))
        bulk.execute(
            tx,
            change,
            [Sample(id=UUID(int=1), short="new", at=AT), Sample(id=UUID(int=3), short=None, at=AT)],
        )
        rows = tx.execute(SAMPLES.select().order_by(SAMPLES.c.id))
        assert [(row.short, row.at) for row in rows] == [("new", AT), ("old", None), (None, AT)]
