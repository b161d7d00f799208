"""Buckets of time of equal width. TimescaleDB computes them, or PostgreSQL with the same results."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Interval, func, literal

from sql import hypertables
from sql.database import Transaction
from sql.models.columns import INSTANT

# A Monday, so that weeks begin on Mondays. time_bucket has it as its default for most widths; date_bin has no
# default.
ORIGIN: Final = datetime(2000, 1, 3, tzinfo=UTC)


def bucket_of(tx: Transaction, time: ColumnElement[datetime], width: timedelta) -> ColumnElement[datetime]:
    """Cut a time to the beginning of its bucket, in SQL."""
    has_timescaledb = hypertables.installed_version(tx) is not None
    cut = func.time_bucket if has_timescaledb else func.date_bin
    bucket: ColumnElement[datetime] = cut(
        literal(width, Interval()), time, literal(ORIGIN, INSTANT), type_=INSTANT
    )
    return bucket


def begin_of(moment: datetime, width: timedelta) -> datetime:
    """Cut an instant to the beginning of its bucket."""
    return ORIGIN + (moment - ORIGIN) // width * width
