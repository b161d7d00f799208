"""Texts without regard to case, in databases of any locale."""

from collections.abc import Iterator

import pytest
from sqlalchemy import func, literal, select

from sql.case_folding import collation, folded
from sql.database import PLATFORM, Database
from sql.upgrade import upgrade
from tests.support.databases import Cluster

PAIRS = [
    ("Übertrag", "ÜBERTRAG"),
    ("Größe", "GRÖSSE"),
    ("Отчёт", "ОТЧЁТ"),
    ("οδός", "ΟΔΌΣ"),
    ("ﬁn", "FIN"),
    ("Order_1 %", "oRDER_1 %"),
]


@pytest.fixture(scope="module")
def of_ascii(cluster: Cluster) -> Iterator[Database]:
    """Open a database whose own locale knows the letters of ASCII alone."""
    made = cluster.of_ascii()
    upgrade(made.url, lambda _: None)
    database = Database(made.url, pool_size=1)
    yield database
    database.close()
    cluster.drop(made)


def test_the_locale_alone_would_leave_letters_as_they_are(of_ascii: Database) -> None:
    with of_ascii.transaction(PLATFORM) as tx:
        assert tx.execute(select(func.lower("ÜA"))).scalar_one() == "Üa"


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_texts_that_differ_in_case_alone_are_folded_alike(of_ascii: Database, one: str, other: str) -> None:
    with of_ascii.transaction(PLATFORM) as tx:
        by = collation(tx)
        found = tx.execute(select(folded(literal(one), by), folded(literal(other), by))).one()
    assert found[0] == found[1]


def test_other_letters_stay_different(of_ascii: Database) -> None:
    with of_ascii.transaction(PLATFORM) as tx:
        by = collation(tx)
        found = tx.execute(select(*(folded(literal(each), by) for each in ("u", "ü", "о", "o")))).one()
    assert len(set(found)) == 4


def test_without_a_collation_the_letters_of_the_locale_are_folded(of_ascii: Database) -> None:
    with of_ascii.transaction(PLATFORM) as tx:
        assert tx.execute(select(folded(literal("Order"), None))).scalar_one() == "ORDER"
