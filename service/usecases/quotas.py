"""Quotas of a subscription: what is used of each, and the log rows of a day as they are taken."""

from dataclasses import dataclass
from datetime import date, datetime

from service.domain.ids import SubscriptionId
from service.domain.quotas import Quota, check, of_day
from sql.database import Transaction
from sql.pipelines import Later
from sql.queries import quotas, repositories
from sql.queries.quotas import LogRows
from sql.queries.tenancy import SubscriptionRow


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """Limit of a quota, None without one, and what counts against it; log rows count only with a limit."""

    limit: int | None
    used: int | None


def use_of(tx: Transaction, row: SubscriptionRow, at: datetime) -> dict[str, QuotaUse]:
    """Measure what a subscription uses of its quotas, by their names."""
    subscription_id, today = row.subscription_id, at.date()
    used: dict[Quota, int | None] = dict.fromkeys(Quota, 0)
    repository = repositories.state(tx, subscription_id)
    if repository is not None:
        live = repository.live
        used[Quota.REPOSITORY_BYTES] = repository.bytes
        used[Quota.RESOURCES] = quotas.live_resources(tx, subscription_id) if live is None else live
        _, used[Quota.VERSIONS_A_DAY] = of_day(repository.versions_day, repository.versions_of_day, today)
    log_rows = quotas.log_rows(tx, subscription_id)
    _, rows = of_day(log_rows.day, log_rows.rows, today)
    used[Quota.LOG_ROWS_A_DAY] = None if log_rows.limit is None else rows
    return {quota.value: QuotaUse(getattr(row, quota.column), used[quota]) for quota in Quota}


class LogRowsQuota:
    """Quota of the log rows that a call posts.

    It is exact, since a post that has to be counted locks the count. It does so at its end: a long stream
    would keep others from posting.
    """

    def __init__(self, subscription_id: SubscriptionId, at: datetime) -> None:
        self._subscription_id = subscription_id
        self._at = at
        self._sent: Later[LogRows] = list
        self._found: list[LogRows] | None = None

    def send(self, tx: Transaction) -> None:
        """Send the query for the quota, at the beginning of the transaction that stores the rows."""
        self._sent = quotas.send_log_rows(tx, self._subscription_id)

    def check(self, rows: int) -> None:
        """Raise QuotaExceeded for so many rows in all, as far as it is known before the end."""
        for found in self._known():
            self._check(found, rows)

    def take(self, tx: Transaction, rows: int) -> None:
        """Count the rows of the call, whose transaction is about to end; raises QuotaExceeded."""
        if not any(found.limit is not None for found in self._known()):
            return
        for found in quotas.lock_log_rows(tx, self._subscription_id):
            day, used = self._check(found, rows)
            quotas.count_log_rows(tx, self._subscription_id, day=day, rows=used + rows)

    def _known(self) -> list[LogRows]:
        if self._found is None:
            self._found = self._sent()
        return self._found

    def _check(self, found: LogRows, rows: int) -> tuple[date, int]:
        day, used = of_day(found.day, found.rows, self._at.date())
        check(Quota.LOG_ROWS_A_DAY, found.limit, used=used, more=rows)
        return day, used
