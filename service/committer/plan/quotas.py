"""The quotas of a subscription, decided under its repository's lock before a change adds anything."""

from gitstore.write.commit_builder import CommitBuilder
from service.committer.plan.ledger import Ledger
from service.domain.quotas import Quota, check, of_day
from sql.queries import quotas
from sql.queries.repositories import RepositoryState
from sql.queries.tenancy import ChangeBounds


class Quotas:
    """Admits changes to a batch as long as they fit; reads nothing where no quota is set."""

    def __init__(
        self, ledger: Ledger, bounds: ChangeBounds, repository: RepositoryState, builder: CommitBuilder
    ) -> None:
        self._ledger = ledger
        self._bounds = bounds
        self._builder = builder
        self._bytes = repository.bytes
        _, self._versions = of_day(repository.versions_day, repository.versions_of_day, ledger.now.date())

    def admit(self, *, versions: int, size: int, resources: int = 0) -> None:
        """Count a change that makes versions or live resources; `size` is that of its snapshots, in bytes.

        Raises QuotaExceeded. The change has to be carried out if this raises nothing.
        """
        if not versions and not resources:
            return
        bounds = self._bounds
        check(Quota.VERSIONS_A_DAY, bounds.versions_a_day, used=self._versions, more=versions)
        if bounds.resources is not None and resources:
            check(Quota.RESOURCES, bounds.resources, used=self._live(), more=resources)
        if bounds.repository_bytes is not None:
            # How far the objects of the batch shrink is known once its pack is written: too late to refuse.
            used = self._bytes + self._builder.unwritten_bytes
            check(Quota.REPOSITORY_BYTES, bounds.repository_bytes, used=used, more=size)
        self._versions += versions

    def _live(self) -> int:
        ledger, writes = self._ledger, self._ledger.writes
        if writes.live is None:
            writes.live = quotas.live_resources(ledger.tx, ledger.subscription_id)
        return writes.live + writes.rows.more_live
