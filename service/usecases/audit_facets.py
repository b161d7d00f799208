"""Facets of the audit log: what there is to filter by, and how many events each value has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from service.audit import events
from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.usecases import group_names, people
from service.usecases.audit_logs import of_any_spelling
from service.usecases.context import Context
from service.usecases.log_reading import begin_of_last
from sql import log_facets
from sql.log_facets import Facet
from sql.queries.audit_logs import AUDIT_LOG, AuditFilter

# The columns of the facets, by the names of their filters.
FACETS: Final = ("action", "resource_type", "user_id", "status")
MAX_FACET_VALUES: Final = 50
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value of a facet, null for events without one, the name of a user, and the number of events."""

    value: str | None
    name: str | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFacet:
    """The most frequent values; `others` is the number of events with the `other_values` further values."""

    values: Sequence[FacetValue]
    others: int
    other_values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFacets:
    """The number of events since a time, and their facets, by the names of the filters."""

    since: datetime
    count: int
    action: AuditFacet
    resource_type: AuditFacet
    user_id: AuditFacet
    status: AuditFacet


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedValue:
    """A value of a facet as a line; `other_values` is their number where the line is of all further ones."""

    facet: str
    value: str | None
    name: str | None
    count: int
    other_values: int | None


def counted(found: AuditFacets) -> list[CountedValue]:
    """Return the values of all facets, and after those of each the others together, if there are any."""
    return lines_of({name: getattr(found, name) for name in FACETS})


def lines_of(facets: Mapping[str, AuditFacet]) -> list[CountedValue]:
    """Return the values of facets by their names, and after those of each the others together."""
    lines = []
    for name, facet in facets.items():
        lines += [
            CountedValue(facet=name, value=each.value, name=each.name, count=each.count, other_values=None)
            for each in facet.values
        ]
        if facet.other_values:
            others = CountedValue(
                facet=name, value=None, name=None, count=facet.others, other_values=facet.other_values
            )
            lines.append(others)
    return lines


def audit_facets(
    context: Context, caller: Caller, subscription_id: SubscriptionId, filters: AuditFilter
) -> AuditFacets:
    """Count the events that match by action, type, user and status; raises Invalid like `people.resolved`.

    Without `since`, the last hours count, as many as statistics have buckets.
    """
    at = context.clock()
    filters = of_any_spelling(filters)
    since = filters.since or begin_of_last(filters.until or at, _HOUR)
    filters = replace(filters, since=since)
    with context.database.transaction(subscription_id) as tx:
        found = people.resolved(tx, subscription_id, filters, AUDIT_LOG)
        facets = log_facets.facets(
            tx, AUDIT_LOG, subscription_id, found, FACETS, weight="occurrences", limit=MAX_FACET_VALUES
        )
        users = [(each.value,) for each in facets["user_id"].values]
        names = group_names.of(tx, subscription_id, ("user_id",), users)
        events.record_reading(
            tx,
            caller,
            subscription_id,
            AUDIT_LOG.name,
            at,
            filters={**filters.given(), "facets": list(FACETS)},
            rows=sum(len(facet.values) for facet in facets.values()),
        )
    status = facets["status"]
    return AuditFacets(
        since=since,
        count=sum(each.count for each in status.values) + status.others,
        **{name: named(facet, names if name == "user_id" else {}) for name, facet in facets.items()},
    )


def named(facet: Facet, names: Mapping[str, str]) -> AuditFacet:
    """Add names to the values of a facet that have one."""
    values = [FacetValue(each.value, names.get(each.value or ""), each.count) for each in facet.values]
    return AuditFacet(values=values, others=facet.others, other_values=facet.other_values)
