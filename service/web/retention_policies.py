"""Retention: the rules of all levels, those of single subscriptions, and what a run would delete by them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import AnnalsError, Fault, Invalid
from service.domain.retention_levels import DEFAULT_DAYS, PERMANENT, Level
from service.http.audited_operations import audits
from service.http.bodies import invalid_body
from service.http.exports import whole
from service.http.schemas.retention import NewRetentionPolicies
from service.usecases import retention_policies
from service.usecases.maintenance import scheduled_jobs
from service.usecases.maintenance.retention import NAME as RETENTION
from service.usecases.retention_policies import NoRule, ShownRule, Term
from service.web import files
from service.web.filter_forms import member
from service.web.gate import Form
from service.web.platform_gate import PlatformPosted, PlatformView, posting_platform, viewing_platform

PATH: Final = "/platform/retention"
# Rules of single subscriptions that a page shows.
SHOWN: Final = 50
LEVELS: Final[Mapping[Level, str]] = {
    Level.SERVER: "Requests (server log)",
    Level.WORKFLOW: "Executions of workflows",
    Level.NODE: "Executions of nodes",
    Level.JOB: "Executions of jobs",
    Level.JOBPACKAGE: "Executions of job packages",
    Level.USER_ACTIONS: "Actions of users (audit log)",
    Level.DATA_CHANGES: "Data changes",
}
CONFIRM: Final = "Shorter terms of permanent logs"
_ID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# How a form says that its page showed no rule.
_NO_RULE: Final = "none"

router = APIRouter(include_in_schema=False)
Seeing = Annotated[PlatformView, Depends(viewing_platform(Right.MAINTAIN))]
Maintaining = Annotated[PlatformPosted, Depends(posting_platform(Right.MAINTAIN))]


@router.get(PATH)
@audits(Action.READ, "retention_policy")
def show_retention(view: Seeing) -> Response:
    """Show the rules, or with `format` all of them as a file.

    An address may name the subscription and the level of a single one to change.
    """
    if (form := view.file_format) is not None:
        read = partial(retention_policies.listed, view.context)
        return view.file(form, whole("retention_policy", retention_policies.PolicyRow, {}, read))
    return _rules(view)


@router.post(PATH)
@audits(Action.UPDATE, "retention_policy")
def change_rules(posted: Maintaining) -> Response:
    """Change the terms for all subscriptions that differ from those that the page showed."""
    form = posted.form
    with posted.refused_on(lambda problem: _rules(posted, problem, form.again(problem), "all")):
        changed = [level for level in Level if form.differs(level)]
        if changed:
            retention_policies.change(
                posted.context,
                posted.caller,
                None,
                _checked(form, changed),
                seen={level: _seen(form.text(f"{level}_seen")) for level in changed},
                confirm=form.is_set("confirm"),
            )
    return posted.lead_to(PATH, done="rules-changed" if changed else "nothing-changed")


@router.post(PATH + "/{subscription_id}/{level}")
@audits(Action.UPDATE, "retention_policy", id_in="subscription_id")
def change_rule(posted: Maintaining, subscription_id: str, level: str) -> Response:
    """Set the rule of one subscription and level, or remove it, so that the one for all applies."""
    form = posted.form
    of, named = ids.parse(subscription_id), member(Level, "level", level)
    if of is None:
        raise Invalid.of("subscription", "is an id")
    with posted.refused_on(
        lambda problem: _rules(
            posted, problem, form.again(problem), "single", chosen=(subscription_id, level)
        )
    ):
        wanted: dict[Level, Term] = {named: NoRule.APPLIES}
        if form.text("do") != "remove":
            wanted = _checked(form, [named])
        retention_policies.change(
            posted.context,
            posted.caller,
            of,
            wanted,
            seen={named: _seen(form.text(f"{named}_seen"))},
            confirm=form.is_set("confirm"),
        )
    return posted.lead_to(PATH, done="rules-changed")


def _checked(form: Form, levels: Sequence[Level]) -> dict[Level, Term]:
    """Read terms by the rules of the API; raises Invalid with the level as the place of a fault."""
    found: dict[Level, Term] = {}
    faults: list[Fault] = []
    for level in levels:
        rule = {"level": level, "keep_days": form.number(level)}
        try:
            body = form.checked(NewRetentionPolicies, {"policies": [rule]})
        except Invalid as error:
            faults += [replace(fault, pointer=f"/{level}") for fault in error.faults]
        else:
            found[level] = body.policies[0].keep_days
    if faults:
        raise invalid_body(faults)
    return found


def _seen(text: str | None) -> Term:
    """Read the term that a page showed; none is for good."""
    if text == _NO_RULE:
        return NoRule.APPLIES
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def written(term: Term) -> str:
    """Write a term as the field of a form has it."""
    return _NO_RULE if isinstance(term, NoRule) else "" if term is None else str(term)


def said(term: Term) -> str:
    """Tell a term in words."""
    if isinstance(term, NoRule):
        return "as for all"
    return "for good" if term is None else f"{term:,} day{'' if term == 1 else 's'}"


def _rules(
    view: PlatformView,
    problem: AnnalsError | None = None,
    typed: Mapping[str, str] | None = None,
    refused: str = "",
    chosen: tuple[str, str] | None = None,
) -> Response:
    page = retention_policies.page(view.context, view.caller, view.paging(SHOWN))
    one = _chosen(view, chosen or (view.asked("subscription") or "", view.asked("level") or ""))
    present: dict[str, Any] = {rule.level: said(rule.keep_days) for rule in page.for_all}
    if refused == "single" and one is not None:
        present = {one.level: said(one.own)}
    return view.show(
        "platform_retention.html",
        problem=problem,
        typed=typed or {},
        refused=refused,
        found=page,
        one=one,
        asked_for=view.asked("subscription") or "",
        job=scheduled_jobs.job(view.context, RETENTION),
        levels=LEVELS,
        defaults=DEFAULT_DAYS,
        permanent=PERMANENT,
        fields={**LEVELS, "confirm": CONFIRM},
        present=present,
        said=said,
        written=written,
        files=files.links(PATH),
        is_archived=view.context.settings.archive_url is not None,
    )


def _chosen(view: PlatformView, named: tuple[str, str]) -> ShownRule | None:
    """Read the rule that an address names by an id, or by the address of a page with an id."""
    subscription, level = named
    if not subscription or not level:
        return None
    found = _ID.search(subscription)
    of = None if found is None else ids.parse(found[0])
    if of is None:
        raise Invalid.of("subscription", "is an id, or the address of a page with it")
    return retention_policies.rule_of(view.context, view.caller, of, member(Level, "level", level))
