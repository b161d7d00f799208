"""Moments that a rollback may go to: the latest saves, tags and publications, as choices for people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from service.domain.ids import ResourceId, SubscriptionId
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from sql.queries import moments
from sql.queries.moments import EventRow

# Choices of each sort. Older moments are typed.
SAVES, TAGS, PUBLICATIONS = 12, 6, 6
# Versions that are read to find the latest commits: one commit may have made many.
_READ = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment by what happened then: a commit of versions, of which `first` is one, a tag or a publication.

    `is_now` if no version was made since.
    """

    sort: Literal["save", "tag", "publication"]
    first: EventRow
    has_others: bool
    is_now: bool

    @property
    def at(self) -> datetime:
        """Instant of the moment."""
        return self.first.at


def latest(
    context: Context, subscription_id: SubscriptionId, root: tuple[Kind, ResourceId] | None
) -> Sequence[Moment]:
    """List the latest moments of a subtree, or of the whole subscription, newest first."""
    with context.database.transaction(subscription_id) as tx:
        saves = moments.saves(tx, subscription_id, root, limit=_READ)
        tags = moments.tags(tx, subscription_id, root, limit=TAGS)
        publications = moments.publications(tx, subscription_id, root, limit=PUBLICATIONS)
    last_save = saves[0].at if saves else None

    def moment(sort: Literal["save", "tag", "publication"], first: EventRow, *, others: bool) -> Moment:
        is_now = last_save is None or first.at >= last_save
        return Moment(sort=sort, first=first, has_others=others, is_now=is_now)

    found = [moment("save", of_commit[0], others=len(of_commit) > 1) for of_commit in _commits(saves)]
    found += [moment("tag", row, others=False) for row in tags]
    found += [moment("publication", row, others=False) for row in publications]
    return sorted(found, key=lambda each: each.at, reverse=True)


def _commits(saves: Iterable[EventRow]) -> list[list[EventRow]]:
    """Group versions by their commits, as far as a list shows them."""
    return [list(rows) for _, rows in groupby(saves, key=lambda row: row.commit)][:SAVES]
