"""Names of the ids by which figures are grouped."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from service.domain import ids
from service.domain.ids import SubscriptionId
from sql.database import Transaction
from sql.queries import resources, tenancy

_KINDS: Final = {
    "workspace_id": "workspace",
    "workflow_id": "workflow",
    "job_id": "job",
    "jobpackage_id": "jobpackage",
}
_SUBSCRIPTION: Final = "subscription_id"
_PEOPLE: Final = frozenset({"user_id", "actor_id"})
# Columns whose ids can have names.
NAMED: Final = frozenset({*_KINDS, *_PEOPLE, _SUBSCRIPTION})


def of(
    tx: Transaction,
    subscription_id: SubscriptionId | None,
    columns: Sequence[str],
    groups: Sequence[Sequence[str | None]],
) -> dict[str, str]:
    """Read the names of resources, deleted or not, and of users; ids without a name are left out.

    Without a subscription they are those of subscriptions alone.

    Each of `groups` has a value for each of `columns`.
    """
    found: dict[UUID, str] = {}
    for place, column in enumerate(columns):
        parsed = {ids.parse(values[place] or "") for values in groups}
        known = {each for each in parsed if each is not None}
        if not known:
            continue
        if subscription_id is None:
            found |= tenancy.subscription_names(tx, known) if column == _SUBSCRIPTION else {}
        elif column in _PEOPLE:
            found |= tenancy.usernames(tx, subscription_id, known)
        elif column in _KINDS:
            found |= resources.names(tx, subscription_id, _KINDS[column], known)
    return {str(each): name for each, name in found.items()}
