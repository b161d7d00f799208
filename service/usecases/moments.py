"""Moments that a rollback may go to: the latest versions, and when they were tagged and published."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from service.domain.ids import ResourceId, SubscriptionId
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from sql.queries import moments
from sql.queries.moments import MarkRow, SaveRow

# Choices of each sort. Older moments are typed.
SAVES, TAGS, PUBLICATIONS = 12, 6, 6
# Latest versions that are read: one commit may have made many.
_READ = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PastMoment:
    """A moment by what happened then: `version` was made, or got the `mark` of a tag or a publication.

    `has_others` if its commit made more versions; `is_now` if no version was made since.
    """

    version: SaveRow
    mark: MarkRow | None
    has_others: bool
    is_now: bool

    @property
    def at(self) -> datetime:
        """Instant of the moment."""
        return self.version.at if self.mark is None else self.mark.at

    @property
    def by(self) -> str:
        """Name of the user who did what happened."""
        return self.version.by if self.mark is None else self.mark.by


def latest(
    context: Context, subscription_id: SubscriptionId, root: tuple[Kind, ResourceId] | None
) -> Sequence[PastMoment]:
    """List the latest moments of a subtree, or of the whole subscription, newest first."""
    with context.database.transaction(subscription_id) as tx:
        saves = moments.saves(tx, subscription_id, root, of_each=SAVES, limit=_READ)
        versions = {row.version_id: row for row in saves}
        marks = [
            *moments.tags(tx, subscription_id, versions, limit=TAGS),
            *moments.publications(tx, subscription_id, versions, limit=PUBLICATIONS),
        ]

    def moment(version: SaveRow, mark: MarkRow | None, *, others: bool) -> PastMoment:
        at = version.at if mark is None else mark.at
        return PastMoment(version=version, mark=mark, has_others=others, is_now=at >= saves[0].at)

    found = [moment(made[0], None, others=len(made) > 1) for made in _commits(saves)]
    found += [moment(versions[mark.version_id], mark, others=False) for mark in marks]
    return sorted(found, key=lambda each: each.at, reverse=True)


def _commits(saves: Iterable[SaveRow]) -> list[list[SaveRow]]:
    """Group versions by their commits, as far as a list shows them."""
    return [list(rows) for _, rows in groupby(saves, key=lambda row: row.commit)][:SAVES]
