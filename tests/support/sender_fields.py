"""Parts of mappings that several senders need."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tests.support.api import Json


def given(**fields: Any) -> Json:
    """Make a body of the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def instant(seconds: float) -> str:
    """Write a number of seconds since 1970 as an instant."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(seconds * 1e6))).isoformat()


def address(text: str) -> str | None:
    """Return an IP address; some senders have names of hosts in its place."""
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def id_of(name: str) -> str:
    """Make the UUID that stands for something that a sender names otherwise."""
    return str(uuid5(NAMESPACE_URL, name))


def milliseconds(begin: str | None, end: str | None) -> float | None:
    """Return the time between two instants, if both are known."""
    if begin is None or end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)) / timedelta(milliseconds=1)
