"""API keys: list them, make one whose secret is shown once, delete one."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import AnnalsError
from service.http.audited_operations import audits
from service.http.schemas.api_keys import NewApiKey
from service.runtime.settings import git_url
from service.usecases import api_keys
from service.web import settings
from service.web.gate import Form, Posted, View, posting, viewing

PATH = "/s/{subscription_id}/settings/keys"
# Rows of a page.
SHOWN = 50

router = APIRouter(include_in_schema=False)
ReadingKeys = Annotated[View, Depends(viewing(Right.READ_USERS))]
ManagingKeys = Annotated[View, Depends(viewing(Right.MANAGE_USERS))]
PostingKeys = Annotated[Posted, Depends(posting(Right.MANAGE_USERS))]


@router.get(PATH)
def list_keys(view: ReadingKeys) -> Response:
    """Show the keys without their secrets, and the form that makes one."""
    return _list(view)


@router.post(PATH)
@audits(Action.CREATE, "api_key")
def make_key(posted: PostingKeys) -> Response:
    """Make a key, and show its secret in this answer alone.

    No page follows that could show the secret, so that it is stored nowhere. The form sent twice gets the
    same key without it.
    """
    form = posted.form
    with posted.refused_on(lambda problem: _list(posted, problem, form.fields)):
        wanted = form.checked(NewApiKey, terms_of(form))
        key = api_keys.create_key(
            posted.context,
            posted.caller,
            posted.subscription_id,
            user_id=wanted.user_id,
            name=wanted.name,
            expires_in_days=wanted.expires_in_days,
            once=posted.once,
        )
    return settings.show(
        posted,
        "settings_key_made.html",
        has_secret=True,
        key=key,
        api=posted.context.public_url,
        git=git_url(posted.context.public_url, posted.subscription_id),
    )


@router.get(PATH + "/{key_id}/delete")
def confirm_deletion(view: ManagingKeys, key_id: str) -> Response:
    """Show what ends with a key, before it is deleted."""
    return _deletion(view, key_id)


@router.post(PATH + "/{key_id}/delete")
@audits(Action.DELETE, "api_key", id_in="key_id")
def delete_key(posted: PostingKeys, key_id: str) -> Response:
    """Delete a key, with effect at once."""
    with posted.refused_on(lambda problem: _deletion(posted, key_id, problem)):
        api_keys.delete_key(
            posted.context, posted.caller, posted.subscription_id, ids.parse(key_id), once=posted.once
        )
    return posted.lead_to(f"{posted.base}/settings/keys", done="key-deleted")


def terms_of(form: Form) -> dict[str, str | int | None]:
    """Read the terms of a new key from a form."""
    return {
        "user_id": form.text("user_id"),
        "name": form.text("name"),
        "expires_in_days": form.number("expires_in_days"),
    }


def _list(view: View, problem: AnnalsError | None = None, typed: Mapping[str, str] | None = None) -> Response:
    page = api_keys.keys(view.context, view.subscription_id, view.paging(SHOWN))
    return settings.show(
        view,
        "settings_keys.html",
        problem=problem,
        page=page,
        logins=api_keys.last_logins(view.context, view.subscription_id, page.items),
        people=settings.people(view, Right.MANAGE_USERS),
        typed=typed or {},
    )


def _deletion(view: View, key_id: str, problem: AnnalsError | None = None) -> Response:
    key = api_keys.key(view.context, view.subscription_id, ids.parse(key_id))
    return settings.show(view, "settings_key_delete.html", problem=problem, key=key)
