"""Plans of PostgreSQL."""

from collections.abc import Iterator
from typing import Any


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a plan and all plans below it."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)
