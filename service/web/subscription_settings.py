"""Settings of the subscription itself: its name, the rules of changes and clones, whose pages may call."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.domain.actions import Action
from service.domain.callers import Right
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
    with posted.refused_on(lambda problem: _settings(posted, problem, posted.form.fields)):
        update(posted, wanted_of(posted.form))
    return posted.lead_to(f"{posted.base}/settings/subscription", done="subscription-changed")


def update(posted: Posted, wanted: Mapping[str, Any]) -> None:
    """Change settings by the rules of the API, as far as any differ; raises what the API's call raises."""
    if not wanted:
        return
    body = posted.form.checked(SubscriptionUpdate, wanted)
    subscriptions.update_subscription(
        posted.context, posted.caller, posted.subscription_id, body.model_dump(exclude_unset=True)
    )
    origins_changed(posted.request, posted.subscription_id)


def wanted_of(form: Form) -> dict[str, Any]:
    """Read what a form changes of what its page showed: others may have changed the rest meanwhile."""
    wanted: dict[str, Any] = {}
    if (name := form.text("name") or "") != form.text("name_seen"):
        wanted["name"] = name
    if (demands := form.is_set("require_if_match")) != (form.text("require_if_match_seen") == "yes"):
        wanted["require_if_match"] = demands
    if (cloners := form.changed("clone_after_purge")) is not None:
        wanted["clone_after_purge"] = cloners
    origins, seen = ((form.text(name) or "").split() for name in ("cors_origins", "cors_origins_seen"))
    if origins != seen:
        wanted["cors_origins"] = origins
    return wanted


def quotas_of(form: Form) -> dict[str, int | None]:
    """Read the quotas that a form changes; raises Invalid for what is no number or size."""
    wanted: dict[str, int | None] = {}
    faults = []
    for quota in Quota:
        text = form.text(quota.value)
        if text == form.text(f"{quota.value}_seen"):
            continue
        is_size = quota is Quota.REPOSITORY_BYTES
        limit = None if text is None else words.bytes_of(text) if is_size else words.whole_number(text)
        if text is not None and limit is None:
            faults.append(Fault(NO_SIZE if is_size else NO_NUMBER, pointer=f"/quotas/{quota.value}"))
        wanted[quota.value] = limit
    if faults:
        raise invalid_body(faults)
    return wanted


def _settings(
    view: View, problem: AnnalsError | None = None, typed: Mapping[str, str] | None = None
) -> Response:
    origins = (typed or {}).get("cors_origins", "").split()
    return settings.show(
        view,
        "settings_subscription.html",
        problem=problem,
        found=subscriptions.subscription(view.context, view.subscription_id),
        typed=typed,
        most=MAX_ORIGINS,
        field_names={"cors_origins": "Origins", "clone_after_purge": "Clones"}
        # The fault of one origin names it.
        | {f"cors_origins/{number}": origin for number, origin in enumerate(origins)},
    )
