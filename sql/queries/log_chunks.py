"""Chunks of logs, made before rows need them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select

from sql.database import Transaction


def make(tx: Transaction, logs: Sequence[str], at: datetime) -> None:
    """Make the chunks for rows of an instant, those that are not there; a short transaction of its own."""
    for log in logs:
        tx.execute(select(func.make_log_chunk(log, at)))
