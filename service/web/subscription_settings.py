"""Settings of the subscription itself: its name, the rules of changes and clones, whose pages may call."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.domain.actions import Action
from service.domain.callers import CloneAfterPurge, Right
from service.domain.errors import AnnalsError, Fault
from service.domain.quotas import Quota
from service.http.audited_operations import audits
from service.http.bodies import invalid_body
from service.http.requests import origins_changed
from service.http.schemas.subscriptions import MAX_ORIGINS, SubscriptionUpdate
from service.usecases import subscriptions
from service.web import settings, words
from service.web.gate import Form, Posted, View, posting, viewing

PATH = "/s/{subscription_id}/settings/subscription"
NO_SIZE = "write a size such as 500 MiB or 20 GiB; empty is no limit"
NO_NUMBER = "write a whole number; empty is no limit"
CLONERS = {
    CloneAfterPurge.EVERYBODY.value: "everybody who may read it",
    CloneAfterPurge.ADMIN.value: "admins alone",
}

router = APIRouter(include_in_schema=False)
Seeing = Annotated[View, Depends(viewing(Right.SEE_SUBSCRIPTION))]
Configuring = Annotated[Posted, Depends(posting(Right.MANAGE_SUBSCRIPTION))]


@router.get(PATH)
def show_settings(view: Seeing) -> Response:
    """Show the settings, and to callers who may change them a form."""
    return _settings(view)


@router.post(PATH)
@audits(Action.UPDATE, "subscription")
def change_settings(posted: Configuring) -> Response:
    """Change the settings that differ from those that the page showed."""
    form = posted.form
    with posted.refused_on(lambda problem: _settings(posted, problem, form.again(problem))):
        is_changed = update(posted, *wanted_of(form))
    return posted.lead_to(
        f"{posted.base}/settings/subscription",
        done="subscription-changed" if is_changed else "nothing-changed",
    )


def update(posted: Posted, wanted: Mapping[str, Any], seen: dict[str, Any]) -> bool:
    """Change settings by the rules of the API, each if it is still as the page showed it.

    Tells if there is any to change; raises what the API's call raises.
    """
    if not wanted:
        return False
    body = posted.form.checked(SubscriptionUpdate, wanted)
    subscriptions.update_subscription(
        posted.context, posted.caller, posted.subscription_id, body.model_dump(exclude_unset=True), seen=seen
    )
    origins_changed(posted.request, posted.subscription_id)
    return True


def wanted_of(form: Form) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what a form changes of what its page showed, and what that was."""
    wanted, seen = (
        {
            "name": form.text(f"name{end}") or "",
            "require_if_match": form.text(f"require_if_match{end}") is not None,
            "clone_after_purge": form.text(f"clone_after_purge{end}"),
            "cors_origins": (form.text(f"cors_origins{end}") or "").split(),
        }
        for end in ("", "_seen")
    )
    if wanted["clone_after_purge"] is None:
        # No choice was made: the rule stays as it is.
        del wanted["clone_after_purge"]
    return {name: value for name, value in wanted.items() if value != seen[name]}, seen


def quotas_of(form: Form) -> tuple[dict[str, int | None], dict[str, int | None]]:
    """Read the quotas that a form changes, and what its page showed; raises Invalid for no number or size."""
    wanted: dict[str, int | None] = {}
    seen: dict[str, int | None] = {}
    faults = []
    for quota in Quota:
        text, shown = form.text(quota.value), form.text(f"{quota.value}_seen")
        is_size = quota is Quota.REPOSITORY_BYTES
        limit, seen[quota.value] = (
            None if each is None else words.bytes_of(each) if is_size else words.whole_number(each)
            for each in (text, shown)
        )
        if text is not None and limit is None:
            faults.append(Fault(NO_SIZE if is_size else NO_NUMBER, pointer=f"/quotas/{quota.value}"))
        elif limit != seen[quota.value]:
            wanted[quota.value] = limit
    if faults:
        raise invalid_body(faults)
    return wanted, seen


def _settings(
    view: View, problem: AnnalsError | None = None, typed: Mapping[str, str] | None = None
) -> Response:
    origins = (typed or {}).get("cors_origins", "").split()
    found = subscriptions.subscription(view.context, view.subscription_id)
    return settings.show(
        view,
        "settings_subscription.html",
        problem=problem,
        found=found,
        typed=typed or {},
        most=MAX_ORIGINS,
        present={
            "name": found.name,
            "require_if_match": "a change must name the version that it is based on"
            if found.require_if_match
            else "a change need not name the version that it is based on",
            "clone_after_purge": CLONERS[found.clone_after_purge],
            "cors_origins": " ".join(found.cors_origins) or "none",
        },
        cloners=CLONERS,
        field_names={
            "cors_origins": "Origins",
            "clone_after_purge": "Clones",
            "require_if_match": "Changes",
        }
        # The fault of one origin names it.
        | {f"cors_origins/{number}": origin for number, origin in enumerate(origins)},
    )
