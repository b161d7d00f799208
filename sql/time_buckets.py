"""Buckets of time of equal width. TimescaleDB computes them, or PostgreSQL with the same results."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Interval, func, literal

from sql import hypertables
from sql.database import Transaction
from sql.models.columns import INSTANT

_KNOWN: Final = "annals_has_timescaledb"
# A Monday, so that weeks begin on Mondays. time_bucket has it as its default for most widths; date_bin has no
# default.
ORIGIN: Final = datetime(2000, 1, 3, tzinfo=UTC)


def bucket_of(tx: Transaction, time: ColumnElement[datetime], width: timedelta) -> ColumnElement[datetime]:
    """Cut a time to the beginning of its bucket, in SQL."""
    cut = func.time_bucket if _has_timescaledb(tx) else func.date_bin
    bucket: ColumnElement[datetime] = cut(
        literal(width, Interval()), time, literal(ORIGIN, INSTANT), type_=INSTANT
    )
    return bucket


def _has_timescaledb(tx: Transaction) -> bool:
    """Tell if the database has TimescaleDB; a connection asks until it has."""
    if not tx.info.get(_KNOWN):
        tx.info[_KNOWN] = hypertables.installed_version(tx) is not None
    return bool(tx.info[_KNOWN])


def begin_of(moment: datetime, width: timedelta) -> datetime:
    """Cut an instant to the beginning of its bucket."""
    return ORIGIN + (moment - ORIGIN) // width * width
