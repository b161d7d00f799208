"""Users: list and add them, change their roles and addresses, delete them."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right, Role, UserKind
from service.domain.errors import AnnalsError, Fault
from service.http.audited_operations import audits
from service.http.bodies import invalid_body
from service.http.schemas.users import NewUser, UserUpdate
from service.usecases import api_keys, users
from service.web import settings
from service.web.gate import Posted, View, posting, viewing

PATH = "/s/{subscription_id}/settings/users"
# Rows of a page.
SHOWN = 50
NO_ADDRESS = "enter an e-mail address, or choose service account"
# Roles of users in the order of a form, from the one that may do least.
ROLES = (Role.VIEWER, Role.EDITOR, Role.AUDITOR, Role.ADMIN)

router = APIRouter(include_in_schema=False)
ReadingUsers = Annotated[View, Depends(viewing(Right.READ_USERS))]
ManagingUsers = Annotated[View, Depends(viewing(Right.MANAGE_USERS))]
AskingErasure = Annotated[View, Depends(viewing(Right.ERASE))]
PostingUsers = Annotated[Posted, Depends(posting(Right.MANAGE_USERS))]
ErasingAddress = Annotated[Posted, Depends(posting(Right.ERASE))]


@router.get(PATH)
def list_users(view: ReadingUsers) -> Response:
    """Show the users, and the form that adds one."""
    return _list(view)


@router.post(PATH)
@audits(Action.CREATE, "user")
def add_user(posted: PostingUsers) -> Response:
    """Add a user."""
    form = posted.form
    with posted.refused_on(lambda problem: _list(posted, problem, form.fields)):
        names = ("username", "kind", "email", "role")
        if form.text("email") is None and form.text("kind") != UserKind.SERVICE:
            # In the words of the page, where the rule of the API names a value of its field.
            raise invalid_body([Fault(NO_ADDRESS, pointer="/email")])
        wanted = form.checked(NewUser, {name: form.text(name) for name in names})
        made = users.create_user(
            posted.context,
            posted.caller,
            posted.subscription_id,
            username=wanted.username,
            kind=wanted.kind,
            email=wanted.email,
            role=Role(wanted.role),
            once=posted.once,
        )
    return posted.lead_to(_page_of(posted, str(made.user_id)), done="user-added")


@router.get(PATH + "/{user_id}")
def show_user(view: ReadingUsers, user_id: str) -> Response:
    """Show a user with its keys, and what can be changed."""
    return _user(view, user_id)


@router.post(PATH + "/{user_id}")
@audits(Action.UPDATE, "user", id_in="user_id")
def change_user(posted: PostingUsers, user_id: str) -> Response:
    """Change the role and the address of a user."""
    form = posted.form
    with posted.refused_on(lambda problem: _user(posted, user_id, problem, form.again(problem))):
        # An empty address is left as it is: erasing one has a button of its own.
        fields = {name: text for name in ("role", "email") if (text := form.changed(name)) is not None}
        if not fields:
            return posted.lead_to(_page_of(posted, user_id), done="nothing-changed")
        wanted = form.checked(UserUpdate, fields)
        users.update_user(
            posted.context,
            posted.caller,
            posted.subscription_id,
            ids.parse(user_id),
            wanted.model_dump(include=wanted.model_fields_set),
            seen={name: form.text(f"{name}_seen") for name in fields},
        )
    return posted.lead_to(_after(posted, user_id), done="user-changed")


@router.get(PATH + "/{user_id}/erase-email")
def confirm_erasure(view: AskingErasure, user_id: str) -> Response:
    """Show what an erasure does, before the address is erased."""
    found = users.user(view.context, view.subscription_id, ids.parse(user_id))
    return settings.show(view, "settings_user_erase.html", user=found.user)


@router.post(PATH + "/{user_id}/erase-email")
@audits(Action.UPDATE, "user", id_in="user_id")
def erase_email(posted: ErasingAddress, user_id: str) -> Response:
    """Erase the address of a user."""
    users.erase_email(posted.context, posted.caller, posted.subscription_id, ids.parse(user_id))
    return posted.lead_to(_page_of(posted, user_id), done="email-erased")


@router.get(PATH + "/{user_id}/delete")
def confirm_deletion(view: ManagingUsers, user_id: str) -> Response:
    """Show what ends with a user, before the user is deleted."""
    return _deletion(view, user_id)


@router.post(PATH + "/{user_id}/delete")
@audits(Action.DELETE, "user", id_in="user_id")
def delete_user(posted: PostingUsers, user_id: str) -> Response:
    """Delete a user with its keys and check-outs."""
    with posted.refused_on(lambda problem: _deletion(posted, user_id, problem)):
        users.delete_user(
            posted.context, posted.caller, posted.subscription_id, ids.parse(user_id), once=posted.once
        )
    return posted.lead_to(f"{posted.base}/settings/users", done="user-deleted")


def _list(view: View, problem: AnnalsError | None = None, typed: Mapping[str, str] | None = None) -> Response:
    page = users.users(view.context, view.subscription_id, None, view.paging(SHOWN))
    return settings.show(
        view, "settings_users.html", problem=problem, page=page, roles=ROLES, typed=typed or {}
    )


def _user(
    view: View, user_id: str, problem: AnnalsError | None = None, typed: Mapping[str, str] | None = None
) -> Response:
    found = users.user(view.context, view.subscription_id, ids.parse(user_id))
    return settings.show(
        view,
        "settings_user.html",
        problem=problem,
        found=found,
        user=found.user,
        logins=api_keys.last_logins(view.context, view.subscription_id, found.keys),
        roles=ROLES,
        typed=typed or {},
    )


def _deletion(view: View, user_id: str, problem: AnnalsError | None = None) -> Response:
    found = users.user(view.context, view.subscription_id, ids.parse(user_id))
    return settings.show(view, "settings_user_delete.html", problem=problem, found=found, user=found.user)


def _page_of(view: View, user_id: str) -> str:
    return f"{view.base}/settings/users/{user_id}"


def _after(posted: Posted, user_id: str) -> str:
    """Page after a change: callers who took a right from themselves may not see the user any more."""
    is_own = ids.parse(user_id) == posted.caller.user_id
    return f"{posted.base}/settings" if is_own else _page_of(posted, user_id)
