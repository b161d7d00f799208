"""Statistics over time: how wide a bucket is, and how far back they go."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from service.domain.errors import Fault, Invalid
from sql.log_windows import FAR_PAST
from sql.time_buckets import begin_of

# Of those that end at `until` or now, where no `since` says otherwise.
DEFAULT_BUCKETS = 100
# What a chart can show, and what can be read in a moment; rows are buckets times groups.
MAX_BUCKETS = 2_000
MAX_ROWS = 10_000

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def width_of(bucket: str) -> timedelta:
    """The width that a text like 15m, 1h, 7d or 2w means."""
    return timedelta(**{_UNITS[bucket[-1]]: int(bucket[:-1])})


def bounded(narrow: Mapping[str, Any], width: timedelta, at: datetime) -> dict[str, Any]:
    """The same filter with a `since`; raises Invalid where that makes too many buckets."""
    until = narrow.get("until") or at
    since = narrow.get("since")
    if since is None:
        whole = (DEFAULT_BUCKETS - 1) * width
        since = FAR_PAST if until - FAR_PAST < whole else begin_of(until - whole, width)
    elif (until - since) // width >= MAX_BUCKETS:
        raise _too_many(f"more than {MAX_BUCKETS:,} buckets", "bucket")
    return {**narrow, "since": since}


def check_rows(rows: Sequence[object]) -> None:
    """Raise Invalid where rows, which were asked for with one more than the limit, have that one."""
    if len(rows) > MAX_ROWS:
        raise _too_many(f"more than {MAX_ROWS:,} groups in all buckets together", "group_by")


def _too_many(what: str, parameter: str) -> Invalid:
    detail = f"{what}: take wider buckets or a shorter time"
    return Invalid(f"{parameter}: {detail}.", faults=[Fault(detail, parameter=parameter)])
