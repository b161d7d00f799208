"""Quotas that the operator sets for a subscription: what is counted, and the refusal of what goes past."""

from datetime import date, timedelta
from enum import StrEnum

from service.domain.errors import QuotaExceeded


class Quota(StrEnum):
    """Quota of a subscription, by its name in the API; a day is a day of UTC."""

    REPOSITORY_BYTES = "repository_bytes"
    RESOURCES = "resources"
    VERSIONS_A_DAY = "versions_a_day"
    LOG_ROWS_A_DAY = "log_rows_a_day"

    @property
    def column(self) -> str:
        """Column of the limit in the row of a subscription."""
        return f"quota_{self.value}"


_NEXT_STEPS = {
    Quota.REPOSITORY_BYTES: "The nightly upkeep may make it smaller, or the operator raises the quota.",
    Quota.RESOURCES: "Delete resources, or ask the operator for more.",
    Quota.VERSIONS_A_DAY: "It begins anew at midnight UTC, or the operator raises it.",
    Quota.LOG_ROWS_A_DAY: "It begins anew at midnight UTC, or the operator raises it.",
}


def check(quota: Quota, limit: int | None, *, used: int, more: int) -> None:
    """Raise QuotaExceeded if `more` does not fit below the limit; None is no limit, and 0 always fits."""
    if limit is not None and more > 0 and used + more > limit:
        raise QuotaExceeded(
            f"The quota {quota} of this subscription is {limit}: {used} are used, and this call needs up to"
            f" {more} more. Nothing was stored. {_NEXT_STEPS[quota]}",
            facts={"quota": quota, "limit": limit, "used": used},
        )


_A_DAY = timedelta(days=1)


def of_day(day: date | None, count: int, today: date) -> tuple[date, int]:
    """Find the day that counts now, and its count so far, from the day last counted.

    The clocks of two hosts differ a little: around midnight the later one decides. A day further ahead was
    counted by a clock that was wrong.
    """
    if day is not None and today <= day <= today + _A_DAY:
        return day, count
    return today, 0
