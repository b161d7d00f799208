"""The operator's pages of a subscription: create one with its first admin, set its quotas, close it."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.domain import names
from service.domain.actions import Action
from service.domain.callers import Right, SubscriptionState
from service.domain.errors import AnnalsError, Invalid
from service.domain.pagination import Paging
from service.domain.quotas import Quota
from service.http.audited_operations import audits
from service.http.schemas.api_keys import NewApiKey
from service.http.schemas.subscriptions import ClosingReason, NewSubscription
from service.http.schemas.users import NewUser
from service.runtime.settings import git_url
from service.usecases import closing, new_tenants, subscriptions, users
from service.usecases.new_tenants import TenantTerms
from service.web import words
from service.web.api_keys import terms_of
from service.web.gate import Posted, View, posting, viewing
from service.web.platform_gate import PlatformPosted, PlatformView, posting_platform, viewing_platform
from service.web.subscription_settings import quotas_of, update

# Users that the page of a subscription shows.
USERS_SHOWN = 10
KEY_NAME = "first key"
# Words for the fields of quotas, by their places in the API's body.
QUOTA_FIELDS = {
    f"quotas/{Quota.REPOSITORY_BYTES}": "Size of the repository",
    f"quotas/{Quota.RESOURCES}": "Live resources",
    f"quotas/{Quota.VERSIONS_A_DAY}": "Versions a day",
    f"quotas/{Quota.LOG_ROWS_A_DAY}": "Log rows a day",
}

router = APIRouter(include_in_schema=False)
SeeingPlatform = Annotated[PlatformView, Depends(viewing_platform(Right.CREATE_SUBSCRIPTIONS))]
Creating = Annotated[PlatformPosted, Depends(posting_platform(Right.CREATE_SUBSCRIPTIONS))]
SeeingTenant = Annotated[View, Depends(viewing(Right.CLOSE))]
SettingQuotas = Annotated[Posted, Depends(posting(Right.SET_QUOTAS))]
Closing = Annotated[Posted, Depends(posting(Right.CLOSE))]


@router.get("/platform/new")
def show_new_subscription(view: SeeingPlatform) -> Response:
    """Show the form that creates a subscription."""
    return _new(view)


@router.post("/platform/new")
@audits(Action.CREATE, "subscription")
def create_subscription(posted: Creating) -> Response:
    """Create a subscription with an admin, and show the admin's key in this answer alone."""
    with posted.refused_on(lambda problem: _new(posted, problem, posted.form.fields)):
        made = new_tenants.create(
            posted.context,
            posted.caller,
            _terms(posted),
            once=posted.once,
        )
    return posted.show(
        "platform_made.html",
        has_secret=True,
        made=made.subscription,
        key=made.key,
        api=posted.context.public_url,
        git=git_url(posted.context.public_url, made.subscription.subscription_id),
    )


@router.get("/platform/{subscription_id}")
def show_subscription(view: SeeingTenant) -> Response:
    """Show a subscription: its state, its quotas, its users, and the forms that change or close it."""
    return _subscription(view)


@router.post("/platform/{subscription_id}")
@audits(Action.UPDATE, "subscription")
def change_subscription(posted: SettingQuotas) -> Response:
    """Change the name and the quotas of a subscription that differ from those that the page showed."""
    form = posted.form
    with posted.refused_on(lambda problem: _subscription(posted, problem, form.again(problem), "change")):
        quotas, quotas_seen = quotas_of(form)
        wanted: dict[str, Any] = {"name": form.text("name") or ""} if form.differs("name") else {}
        wanted |= {"quotas": quotas} if quotas else {}
        is_changed = update(posted, wanted, {"name": form.text("name_seen"), "quotas": quotas_seen})
    done = "subscription-changed" if is_changed else "nothing-changed"
    return posted.lead_to(f"/platform/{posted.subscription_id}", done=done)


@router.post("/platform/{subscription_id}/close")
@audits(Action.UPDATE, "subscription")
def close_subscription(posted: Closing) -> Response:
    """Close a subscription whose name was typed."""
    form = posted.form
    with posted.refused_on(lambda problem: _subscription(posted, problem, form.fields)):
        wanted = form.checked(ClosingReason, {"reason": form.text("reason")})
        if names.comparable(form.text("typed_name") or "") != names.comparable(posted.tenant):
            detail = "is not the name of this subscription: nothing was closed"
            raise Invalid.in_body("typed_name", detail)
        closing.close(posted.context, posted.caller, posted.subscription_id, wanted.reason, once=posted.once)
    return posted.lead_to(f"/platform/{posted.subscription_id}", done="subscription-closed")


@router.post("/platform/{subscription_id}/reopen")
@audits(Action.UPDATE, "subscription")
def reopen_subscription(posted: Closing) -> Response:
    """Reopen a closed subscription, before its purge begins."""
    form = posted.form
    with posted.refused_on(lambda problem: _subscription(posted, problem, form.fields)):
        wanted = form.checked(ClosingReason, {"reason": form.text("reason")})
        closing.reopen(posted.context, posted.caller, posted.subscription_id, wanted.reason, once=posted.once)
    return posted.lead_to(f"/platform/{posted.subscription_id}", done="subscription-reopened")


def _terms(posted: PlatformPosted) -> TenantTerms:
    """Read the form by the rules of the API; nothing is made unless all of it is valid."""
    form = posted.form
    tenant = form.checked(
        NewSubscription, {"name": form.text("name"), "require_if_match": form.is_set("require_if_match")}
    )
    admin = form.checked(
        NewUser, {"username": form.text("username"), "email": form.text("email"), "role": "admin"}
    )
    # The id of the user is not known yet, and any will do to read the days.
    key = form.checked(
        NewApiKey, terms_of(form) | {"user_id": "00000000-0000-0000-0000-000000000000", "name": KEY_NAME}
    )
    return TenantTerms(
        name=tenant.name,
        require_if_match=tenant.require_if_match,
        username=admin.username,
        email=admin.email,
        key_name=key.name,
        expires_in_days=key.expires_in_days,
    )


def _new(
    view: PlatformView, problem: AnnalsError | None = None, typed: Mapping[str, str] | None = None
) -> Response:
    return view.show("platform_new.html", problem=problem, typed=typed or {})


def _subscription(
    view: View,
    problem: AnnalsError | None = None,
    typed: Mapping[str, str] | None = None,
    refused_form: str = "close",
) -> Response:
    found = subscriptions.subscription(view.context, view.subscription_id)
    state = SubscriptionState.of(found.closed_at, found.exported_at)
    return view.show(
        "platform_subscription.html",
        found=found,
        size=subscriptions.sizes(view.context, view.caller, [found]).get(found.subscription_id),
        most=subscriptions.MAX_COUNTED,
        state=state.value,
        people=users.users(view.context, view.subscription_id, None, Paging(USERS_SHOWN, None)),
        purge_days=view.context.settings.purge_days,
        problem=problem,
        typed=typed or {},
        refused_form=refused_form,
        quota_fields=QUOTA_FIELDS,
        present={"name": found.name}
        | {f"quotas/{name}": _limit(name, quota.limit) for name, quota in found.quotas.items()},
    )


def _limit(name: str, limit: int | None) -> str:
    """Write the limit of a quota, as the form has it."""
    if limit is None:
        return "no limit"
    return words.exact_size(limit) if name == Quota.REPOSITORY_BYTES else str(limit)
