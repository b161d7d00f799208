"""The reads at the beginning of a batch of changes, in as few round trips as possible."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sql.database import Transaction
from sql.pipelines import Later
from sql.queries import check_outs, repositories, resources, tenancy, versions
from sql.queries.check_outs import CheckOutRow
from sql.queries.repositories import RepositoryState
from sql.queries.resources import ResourceRow
from sql.queries.tenancy import ChangeBounds
from sql.queries.versions import VersionRow


@dataclass(frozen=True, slots=True)
class LockedResource:
    """A resource, its row locked, with its current version and its unreleased check-out."""

    row: ResourceRow
    current: VersionRow
    check_out: CheckOutRow | None


class Resources:
    """Locks and reads resources by kind; resources that do not exist are left out."""

    def __init__(
        self, subscription_id: UUID, wanted: Mapping[str, Collection[UUID]], *, at: datetime
    ) -> None:
        self._subscription_id = subscription_id
        self._wanted = wanted
        self._at = at
        self._sent: list[tuple[Later[ResourceRow], Later[VersionRow], Later[CheckOutRow]]] = []

    def send(self, tx: Transaction) -> None:
        """Send the queries. A query after a lock sees the commits made while the lock was waited for."""
        for kind in sorted(self._wanted):
            scope = {"of_subscription": self._subscription_id, "ids": list(self._wanted[kind])}
            self._sent.append(
                (
                    resources.lock_of(kind).send(tx, **scope),
                    versions.CURRENT.send(tx, **scope, kind=kind, at=self._at),
                    check_outs.UNRELEASED.send(tx, **scope, kind=kind),
                )
            )

    def found(self) -> list[LockedResource]:
        """Return the resources, once the pipeline has ended."""
        locked = []
        for rows, current, check_out in self._sent:
            versions_by_id = {version.resource_id: version for version in current()}
            check_outs_by_id = {row.resource_id: row for row in check_out()}
            locked += [
                LockedResource(row, versions_by_id[row.resource_id], check_outs_by_id.get(row.resource_id))
                for row in rows()
            ]
        return locked


class Opening:
    """Waits to be the only writer of a repository, then locks and reads the resources of its batch."""

    def __init__(
        self, subscription_id: UUID, wanted: Mapping[str, Collection[UUID]], *, at: datetime
    ) -> None:
        self._subscription_id = subscription_id
        self._repository: Later[RepositoryState] = list
        self._bounds: Later[ChangeBounds] = list
        self._resources = Resources(subscription_id, wanted, at=at)

    def send(self, tx: Transaction) -> None:
        """Send the queries, in the transaction of the batch."""
        self._repository = repositories.LOCK.send(tx, of_subscription=self._subscription_id)
        # Read after the wait for the repository's row: closing a subscription locks this row as well.
        self._bounds = tenancy.BOUNDS.send(tx, of_subscription=self._subscription_id)
        self._resources.send(tx)

    def bounds(self) -> ChangeBounds:
        """The closing of the subscription and its quotas, which keep it from being changed."""
        [bounds] = self._bounds()
        return bounds

    def repository(self) -> RepositoryState:
        """The heads of the branches, and what counts against quotas."""
        [repository] = self._repository()
        return repository

    def resources(self) -> list[LockedResource]:
        """The resources, their rows locked."""
        return self._resources.found()
