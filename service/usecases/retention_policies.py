"""Retention policies: the rules of all levels, read, changed and replaced as a whole by the operator."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from service.audit import events
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Caller, Right
from service.domain.errors import Fault, Invalid, SubscriptionNotFound
from service.domain.overtaken import check_seen
from service.domain.pagination import Page, Paging
from service.domain.retention_levels import DEFAULT_DAYS, MAX_RULES, PERMANENT, Level
from service.usecases.context import Context
from sql.database import PLATFORM, Transaction
from sql.queries import retention_policies, tenancy
from sql.queries.audit_logs import Values
from sql.queries.retention_policies import PolicyRow, RuleKey

__all__ = ["PolicyRow"]

# Days by subscription and level.
Rules = Mapping[RuleKey, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicies:
    """Rules: first those for all subscriptions, with `subscription_id` None, then those of single ones."""

    items: Sequence[PolicyRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTerms:
    """A rule to set. No subscription means all of them; no number of days means for good."""

    level: Level
    keep_days: int | None
    subscription_id: UUID | None


class NoRule(Enum):
    """The absence of a rule of a single subscription: the rule for all applies."""

    APPLIES = "the rule for all applies"


# Days; None means for good.
Term = int | None | NoRule


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPolicies:
    """The rules for all subscriptions, and a page of those of single ones with the names of these."""

    for_all: Sequence[PolicyRow]
    single: Page[PolicyRow]
    names: Mapping[UUID, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRule:
    """The rule of a subscription's level beside the one for all."""

    subscription_id: UUID
    name: str
    level: Level
    own: Term
    for_all: int | None


def get(context: Context) -> RetentionPolicies:
    """Read all rules."""
    with context.database.transaction(PLATFORM) as tx:
        return RetentionPolicies(items=_ordered(retention_policies.rules(tx)))


def listed(context: Context, _: Paging) -> Page[PolicyRow]:
    """Read all rules as a list, which has one page."""
    return Page(get(context).items, None)


def replace(
    context: Context, caller: Caller, wanted: Sequence[PolicyTerms], *, confirm: bool
) -> RetentionPolicies:
    """Replace all rules; a level that is given no rule for all subscriptions gets its default rule.

    Raises Invalid, also if a permanent log would be kept for less time than now and `confirm` is false.
    """
    with context.database.transaction(PLATFORM) as tx:
        before, at = _locked(tx), context.clock()
        after = _whole(tx, wanted)
        _store(tx, caller, before, after, at, confirm=confirm)
        return RetentionPolicies(items=_ordered(retention_policies.rules(tx)))


def change(
    context: Context,
    caller: Caller,
    subscription_id: UUID | None,
    wanted: Mapping[Level, Term],
    *,
    seen: Mapping[Level, Term],
    confirm: bool,
) -> None:
    """Change the rules of some levels, for all subscriptions or for one, and leave all others as they are.

    A rule that is not as it was seen is left to whoever changed it: raises StaleVersion. Raises Invalid for
    an unknown subscription, for more than MAX_RULES rules, and as `replace` does.
    """
    caller.needs(Right.MAINTAIN)
    with context.database.transaction(PLATFORM) as tx:
        before, at = _locked(tx), context.clock()
        if subscription_id is not None and not tenancy.known(tx, [subscription_id]):
            raise Invalid.in_body("subscription_id", "there is no such subscription")
        stored = {each: before.get((subscription_id, each.value), NoRule.APPLIES) for each in wanted}
        check_seen(_by_name(stored), _by_name(wanted), _by_name(seen))
        after = dict(before)
        for level, term in wanted.items():
            key = (subscription_id, level.value)
            if not isinstance(term, NoRule):
                after[key] = term
            elif subscription_id is not None:
                after.pop(key, None)
        if len(after) - len(DEFAULT_DAYS) > MAX_RULES:
            detail = f"there are {MAX_RULES:,} rules of single subscriptions already"
            raise Invalid.in_body("subscription_id", detail)
        _store(tx, caller, before, after, at, confirm=confirm)


def page(context: Context, caller: Caller, paging: Paging) -> ShownPolicies:
    """Read the rules for all subscriptions, and a page of those of single ones, by subscription and level."""
    caller.needs(Right.MAINTAIN)
    filters = {"list": "retention-rules"}
    reached = paging.position(filters)
    after = None if reached is None else (UUID(str(reached[0])), str(reached[1]))
    with context.database.transaction(PLATFORM) as tx:
        for_all = retention_policies.for_all(tx)
        rows = retention_policies.of_single(tx, after=after, limit=paging.limit + 1)
        names = tenancy.subscription_names(tx, {row.subscription_id for row in rows if row.subscription_id})
    found = paging.page(rows, filters, lambda row: [str(row.subscription_id), row.level])
    return ShownPolicies(for_all=_ordered(for_all), single=found, names=names)


def rule_of(context: Context, caller: Caller, subscription_id: UUID, level: Level) -> ShownRule:
    """Read the rule of one subscription and level, and the one for all; raises SubscriptionNotFound."""
    caller.needs(Right.MAINTAIN)
    with context.database.transaction(PLATFORM) as tx:
        name = tenancy.subscription_names(tx, [subscription_id]).get(subscription_id)
        if name is None:
            raise SubscriptionNotFound("There is no such subscription.")
        found = retention_policies.of_level(tx, subscription_id, level.value)
    of = {row.subscription_id: row.keep_days for row in found}
    return ShownRule(
        subscription_id=subscription_id,
        name=name,
        level=level,
        own=of.get(subscription_id, NoRule.APPLIES),
        for_all=of[None],
    )


def _by_name(terms: Mapping[Level, Term]) -> dict[str, Term]:
    return {level.value: term for level, term in terms.items()}


def _locked(tx: Transaction) -> dict[RuleKey, int | None]:
    """Lock the rules, and read them."""
    retention_policies.lock(tx)
    return {(row.subscription_id, row.level): row.keep_days for row in retention_policies.rules(tx)}


def _store(
    tx: Transaction, caller: Caller, before: Rules, after: Rules, at: datetime, *, confirm: bool
) -> None:
    """Store changed rules; raises Invalid unless a shorter term of a permanent log is confirmed."""
    shortened = sorted({level for level in PERMANENT if _shortens(before, after, level)})
    if shortened and not confirm:
        detail = f"{' and '.join(shortened)} would be kept for less time: say `confirm: true` to do so"
        raise Invalid.in_body("confirm", detail)
    retention_policies.remove(tx, before.keys() - after.keys())
    for key, days in after.items():
        if key not in before or before[key] != days:
            retention_policies.put(tx, key, days, at=at, by=caller.username)
    _record(tx, caller, before, after, at)


def _whole(tx: Transaction, wanted: Sequence[PolicyTerms]) -> Rules:
    """Add the default rules; raises Invalid if a rule is given twice, or its subscription is unknown."""
    given: dict[RuleKey, int | None] = {}
    faults: list[Fault] = []
    known = {None, *tenancy.known(tx, [w.subscription_id for w in wanted if w.subscription_id is not None])}
    for index, rule in enumerate(wanted):
        key = (rule.subscription_id, rule.level.value)
        if key in given:
            faults.append(Fault("is about the same level as one before it", pointer=f"/policies/{index}"))
        elif rule.subscription_id not in known:
            pointer = f"/policies/{index}/subscription_id"
            faults.append(Fault("there is no such subscription", pointer=pointer))
        given[key] = rule.keep_days
    if faults:
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}.", faults=faults)
    return {(None, level.value): days for level, days in DEFAULT_DAYS.items()} | given


def _shortens(before: Rules, after: Rules, level: Level) -> bool:
    """Return whether any subscription's rows of a level would be kept for less time."""
    whose = {None} | {of for of, named in (before.keys() | after.keys()) if named == level}
    return any(_is_less(_days(after, of, level), _days(before, of, level)) for of in whose)


def _days(rules: Rules, subscription_id: UUID | None, level: Level) -> int | None:
    key = (subscription_id, level.value)
    return rules[key if key in rules else (None, level.value)]


def _is_less(days: int | None, than: int | None) -> bool:
    return days is not None and (than is None or days < than)


def _record(tx: Transaction, caller: Caller, before: Rules, after: Rules, at: datetime) -> None:
    """Record changed rules: those for all as an event of the platform, others as one of the subscription."""
    changed = {of for (of, _), _ in before.items() ^ after.items()}
    for of in sorted(changed, key=str):
        subject = Subject("retention_policy", of, None)
        old, new = _state(before, of), _state(after, of)
        events.record(tx, caller, of, subject, Action.UPDATE, at, old=old, new=new)


def _state(rules: Rules, subscription_id: UUID | None) -> Values:
    return {"keep_days": {level: days for (of, level), days in rules.items() if of == subscription_id}}


def _ordered(rows: Iterable[PolicyRow]) -> list[PolicyRow]:
    """Sort rules: those for all subscriptions first, then by subscription, and by level in each."""
    order = list(Level)
    return sorted(rows, key=lambda row: (str(row.subscription_id or ""), order.index(Level(row.level))))
