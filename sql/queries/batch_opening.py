"""What a batch of changes reads when it begins, by as few round trips as there can be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sql.database import Transaction
from sql.pipelines import Later
from sql.queries import check_outs, repositories, resources, tenancy, versions
from sql.queries.check_outs import CheckOutRow
from sql.queries.repositories import Tips
from sql.queries.resources import ResourceRow
from sql.queries.tenancy import ClosedAt
from sql.queries.versions import VersionRow


@dataclass(frozen=True, slots=True)
class LockedResource:
    """A resource, its row held, with its current version and its unreleased check-out."""

    row: ResourceRow
    current: VersionRow
    check_out: CheckOutRow | None


class Resources:
    """Holds and reads resources by kind; those that are not there are left out."""

    def __init__(
        self, subscription_id: UUID, wanted: Mapping[str, Collection[UUID]], *, at: datetime
    ) -> None:
        self._subscription_id = subscription_id
        self._wanted = wanted
        self._at = at
        self._asked: list[tuple[Later[ResourceRow], Later[VersionRow], Later[CheckOutRow]]] = []

    def send(self, tx: Transaction) -> None:
        """Ask; what follows a lock sees what was committed while it was waited for."""
        for kind in sorted(self._wanted):
            scope = {"of_subscription": self._subscription_id, "ids": list(self._wanted[kind])}
            self._asked.append(
                (
                    resources.lock_of(kind).send(tx, **scope),
                    versions.CURRENT.send(tx, **scope, kind=kind, at=self._at),
                    check_outs.UNRELEASED.send(tx, **scope, kind=kind),
                )
            )

    def found(self) -> list[LockedResource]:
        """How they stand, when the pipeline is over."""
        standing = []
        for rows, current, held in self._asked:
            versions_by_id = {version.resource_id: version for version in current()}
            held_by_id = {check_out.resource_id: check_out for check_out in held()}
            standing += [
                LockedResource(row, versions_by_id[row.resource_id], held_by_id.get(row.resource_id))
                for row in rows()
            ]
        return standing


class Opening:
    """Waits to be the only writer of a repository, then holds and reads what its batch is about."""

    def __init__(
        self, subscription_id: UUID, wanted: Mapping[str, Collection[UUID]], *, at: datetime
    ) -> None:
        self._subscription_id = subscription_id
        self._tips: Later[Tips] = list
        self._closed: Later[ClosedAt] = list
        self._resources = Resources(subscription_id, wanted, at=at)

    def send(self, tx: Transaction) -> None:
        """Ask, in the transaction of the batch."""
        self._tips = repositories.LOCK.send(tx, of_subscription=self._subscription_id)
        # After the wait: who closes the subscription holds that row as well.
        self._closed = tenancy.CLOSED_AT.send(tx, of_subscription=self._subscription_id)
        self._resources.send(tx)

    def is_closed(self) -> bool:
        """Whether nothing may change in the subscription any more."""
        return any(row.closed_at is not None for row in self._closed())

    def tips(self) -> Tips:
        """Where the branches stand."""
        [tips] = self._tips()
        return tips

    def standing(self) -> list[LockedResource]:
        """How the resources stand."""
        return self._resources.found()
