"""The users whom a filter names: by an id or by a name, which several users can have had."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

from service.domain import ids
from service.domain.errors import Invalid
from service.domain.ids import SubscriptionId
from service.usecases.context import Context
from sql.database import Transaction
from sql.log_reading import Log
from sql.log_windows import LogFilter, TimeFilter
from sql.queries import tenancy
from sql.queries.versions import VersionFilter

FilterT = TypeVar("FilterT", bound=TimeFilter)
LogFilterT = TypeVar("LogFilterT", bound=LogFilter)

# Each is searched for by itself, in the order of an index.
MAX_NAMESAKES = 20
# The combinations of a filter's values, each of which is searched for by itself.
MAX_ALTERNATIVES = 100


def ids_of(
    tx: Transaction, subscription_id: UUID | None, name_or_id: str, parameter: str
) -> tuple[UUID, ...]:
    """Return the id of a user, or those of a name: of the live user, or else of all former ones.

    Raises Invalid for a name outside of a subscription, and for one of more than MAX_NAMESAKES former users.
    """
    user_id = ids.parse(name_or_id)
    if user_id is not None:
        return (user_id,)
    if subscription_id is None:
        raise Invalid.of(parameter, "a name is one of a subscription: give the id of the user")
    # A user from before names were composed has the name as it was sent.
    forms = {name_or_id, unicodedata.normalize("NFC", name_or_id)}
    found = tenancy.actors_named(tx, subscription_id, forms)
    if len(found) > MAX_NAMESAKES:
        raise Invalid.of(parameter, f"{len(found)} former users had this name: give the id of one")
    return tuple(found)


def names(
    context: Context, subscription_id: SubscriptionId, user_ids: Iterable[UUID | str | None]
) -> dict[str, str]:
    """Read the names of users by the texts of their ids; texts that are no id of a user have no name."""
    found = {ids.parse(str(each)) for each in user_ids if each is not None}
    known = {each for each in found if each is not None}
    if not known:
        return {}
    with context.database.transaction(subscription_id) as tx:
        return {str(each): name for each, name in tenancy.usernames(tx, subscription_id, known).items()}


def version_filter(tx: Transaction, subscription_id: UUID, narrow: Mapping[str, Any]) -> VersionFilter:
    """Make the filter of a history; raises Invalid like `ids_of`.

    `narrow` has fields of VersionFilter except for `authors`, and `author`: a user's id or name. A name means
    the live user of that name, or else every former user who had it.
    """
    fields = dict(narrow)
    author = fields.pop("author", None)
    if author is not None:
        fields["authors"] = ids_of(tx, subscription_id, author, "author")
    return VersionFilter(**fields)


def by_ids(
    tx: Transaction, subscription_id: UUID | None, filters: FilterT, names: Collection[str]
) -> FilterT:
    """Put the ids of users into the fields of a filter that `names` lists; raises Invalid like `ids_of`."""
    found: dict[str, Any] = {}
    for name, value in filters.given().items():
        if name in names:
            asked = value if isinstance(value, tuple) else (value,)
            users = [ids_of(tx, subscription_id, str(each), name) for each in asked]
            found[name] = tuple(dict.fromkeys(chain.from_iterable(users)))
    return replace(filters, **found)


def resolved(
    tx: Transaction, subscription_id: UUID | None, filters: LogFilterT, log: Log[Any, LogFilterT]
) -> LogFilterT:
    """Put ids of users, and all forms of other texts, into a log's filter.

    Raises Invalid like `ids_of`, and for more than MAX_ALTERNATIVES.
    """
    found: dict[str, Any] = {}
    for name, value in filters.given().items():
        if name in log.reported_people:
            found[name] = texts_of(tx, subscription_id, str(value), name)
        elif name in log.reported_ids:
            found[name] = ids.spellings(str(value))
    whole = by_ids(tx, subscription_id, replace(filters, **found), log.people)
    if whole.size > MAX_ALTERNATIVES:
        several = whole.several()
        most = max(several, key=lambda name: len(several[name]))
        raise Invalid.of(most, f"{whole.size} combinations of values, {MAX_ALTERNATIVES} at most: name fewer")
    return whole


def texts_of(tx: Transaction, subscription_id: UUID | None, text: str, parameter: str) -> tuple[str, ...]:
    """Return the texts under which a platform may name a person: this one, and the ids of users so named."""
    forms = ids.spellings(text)
    if len(forms) > 1 or ids.parse(text) is not None or subscription_id is None:
        return forms
    users = ids_of(tx, subscription_id, text, parameter)
    return tuple(dict.fromkeys((text, unicodedata.normalize("NFC", text), *map(str, users))))
