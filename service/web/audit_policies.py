"""Audit policy: the rules in their order, and a draft of others that becomes the policy when it is saved."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.domain.actions import Action
from service.domain.audit_policy import ANY, CAN_BE_OFF, Depth
from service.domain.callers import Right
from service.domain.errors import AnnalsError, StaleVersion
from service.http.audited_operations import audits, resource_types
from service.http.schemas.audit_policies import MAX_RULES, NewAuditPolicy
from service.usecases import audit_policies
from service.web import settings
from service.web.gate import Form, Posted, View, posting, viewing

PATH = "/s/{subscription_id}/settings/policy"
_FIELDS = ("resource_type", "action", "depth")

# A rule as the form has it: type, action and depth.
DraftRule = tuple[str, str, str]

router = APIRouter(include_in_schema=False)
ReadingPolicy = Annotated[View, Depends(viewing(Right.READ_LOGS))]
PostingPolicy = Annotated[Posted, Depends(posting(Right.MANAGE_POLICY))]


@router.get(PATH)
def show_policy(view: ReadingPolicy) -> Response:
    """Show the rules."""
    return _policy(view)


@router.post(PATH)
@audits(Action.UPDATE, "audit_policy")
def change_policy(posted: PostingPolicy) -> Response:
    """Save the draft, or show it with one step more: a rule added, removed, or moved up or down.

    A step stores nothing, since the order of rules decides: a policy changes from one whole to another.
    """
    draft = draft_of(posted.form)
    step = posted.form.text("do")
    if step != "save":
        return _policy(posted, stepped(draft, step or "", posted.form), is_draft=True)
    with posted.refused_on(lambda problem: _policy(posted, draft, problem, is_draft=True)):
        rules = [dict(zip(_FIELDS, rule, strict=True)) for rule in draft]
        wanted = posted.form.checked(NewAuditPolicy, {"rules": rules})
        seen = posted.form.text("seen")
        saved = audit_policies.replace(
            posted.context,
            posted.caller,
            posted.subscription_id,
            [rule.made() for rule in wanted.rules],
            seen=seen,
        )
    done = "nothing-changed" if saved.digest == seen else "policy-saved"
    return posted.lead_to(f"{posted.base}/settings/policy", done=done)


def draft_of(form: Form) -> list[DraftRule]:
    """Read the rules of a form, at most one more than a policy may have: the API's rule refuses that."""
    types, actions, depths = (form.texts(name) for name in _FIELDS)
    return list(zip_longest(types, actions, depths, fillvalue=""))[: MAX_RULES + 1]


def stepped(draft: Sequence[DraftRule], step: str, form: Form) -> list[DraftRule]:
    """Apply one step to a draft: `add`, `remove-2`, `up-2` or `down-2`; any other leaves it as it is."""
    rules = list(draft)
    if step == "add":
        fields = (form.text(f"new_{name}") or "" for name in _FIELDS)
        resource_type, action, depth = fields
        return [*rules, (resource_type, action, depth)]
    name, _, number = step.partition("-")
    at = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else len(rules)
    if at >= len(rules):
        return rules
    rule = rules.pop(at)
    if name == "remove":
        return rules
    rules.insert({"up": max(at - 1, 0), "down": at + 1}.get(name, at), rule)
    return rules


def _policy(
    view: View,
    draft: Sequence[DraftRule] | None = None,
    problem: AnnalsError | None = None,
    *,
    is_draft: bool = False,
) -> Response:
    stored = audit_policies.get(view.context, view.subscription_id)
    begun_on = view.form.text("seen") if isinstance(view, Posted) else None
    rules = [(rule.resource_type, rule.action, rule.depth.value) for rule in stored.rules]
    return settings.show(
        view,
        "settings_policy.html",
        problem=problem,
        rules=rules if draft is None else draft,
        # Who was told of a newer policy may save the draft over it.
        seen=stored.digest if begun_on is None or isinstance(problem, StaleVersion) else begun_on,
        is_stale=isinstance(problem, StaleVersion),
        is_draft=is_draft,
        any=ANY,
        types=sorted(resource_types()),
        actions=sorted(Action),
        depths=[depth.value for depth in Depth],
        can_be_off=sorted(CAN_BE_OFF),
        most=MAX_RULES,
    )
