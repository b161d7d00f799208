"""Clock that every use case is given: no query asks the database for the time, and tests can move it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Present instant, aware, in UTC."""
    return datetime.now(UTC)
