"""Retention policies: the rules of all levels, read and replaced as a whole by the operator."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.audit import events
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Caller
from service.domain.errors import Fault, Invalid
from service.domain.retention_levels import DEFAULT_DAYS, PERMANENT, Level
from service.usecases.context import Context
from sql.database import PLATFORM, Transaction
from sql.queries import retention_policies, tenancy
from sql.queries.audit_logs import Values
from sql.queries.retention_policies import PolicyRow, RuleKey

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


def get(context: Context) -> RetentionPolicies:
    """Read all rules."""
    with context.database.transaction(PLATFORM) as tx:
        return RetentionPolicies(items=_ordered(retention_policies.rules(tx)))


def replace(
    context: Context, caller: Caller, wanted: Sequence[PolicyTerms], *, confirm: bool
) -> RetentionPolicies:
    """Replace all rules; a level that is given no rule for all subscriptions gets its default rule.

    Raises Invalid, also if a permanent log would be kept for less time than now and `confirm` is false.
    """
    with context.database.transaction(PLATFORM) as tx:
        retention_policies.lock(tx)
        at = context.clock()
        before = {(row.subscription_id, row.level): row.keep_days for row in retention_policies.rules(tx)}
        after = _whole(tx, wanted)
        shortened = sorted({level for level in PERMANENT if _shortens(before, after, level)})
        if shortened and not confirm:
            detail = f"{' and '.join(shortened)} would be kept for less time: say `confirm: true` to do so"
            raise Invalid(f"/confirm: {detail}.", faults=[Fault(detail, pointer="/confirm")])
        retention_policies.remove(tx, before.keys() - after.keys())
        for key, days in after.items():
            if key not in before or before[key] != days:
                retention_policies.put(tx, key, days, at=at, by=caller.username)
        _record(tx, caller, before, after, at)
        return RetentionPolicies(items=_ordered(retention_policies.rules(tx)))


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
