"""Sessions: list the running ones, end them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right
from service.http.audited_operations import audits
from service.usecases import web_sessions
from service.web import settings
from service.web.devices import device_of
from service.web.gate import Posted, View, posting, viewing

PATH = "/s/{subscription_id}/settings/sessions"

router = APIRouter(include_in_schema=False)
Seeing = Annotated[View, Depends(viewing(Right.SEE_SUBSCRIPTION))]
Ending = Annotated[Posted, Depends(posting(Right.SEE_SUBSCRIPTION))]


@router.get(PATH)
def list_sessions(view: Seeing) -> Response:
    """Show the sessions of the caller, and those of all users to callers who manage them."""
    caller = view.caller
    own = (
        []
        if caller.user_id is None
        else web_sessions.sessions(view.context, view.subscription_id, user_id=caller.user_id)
    )
    others = (
        [
            session
            for session in web_sessions.sessions(view.context, view.subscription_id, user_id=None)
            if session.user_id != caller.user_id
        ]
        if caller.may(Right.MANAGE_USERS)
        else []
    )
    return settings.show(
        view,
        "settings_sessions.html",
        own=own,
        others=others,
        most=web_sessions.MAX_SHOWN,
        device_of=device_of,
    )


@router.post(PATH + "/{session_id}/end")
@audits(Action.LOGOUT, "session", id_in="session_id")
def end_session(posted: Ending, session_id: str) -> Response:
    """End one session: one's own, or as a manager of users that of another."""
    found = ids.parse(session_id)
    web_sessions.end(
        posted.context,
        posted.caller,
        posted.subscription_id,
        [] if found is None else [found],
        of_others=posted.caller.may(Right.MANAGE_USERS),
    )
    return _back(posted)


@router.post(PATH + "/end-others")
@audits(Action.LOGOUT, "session")
def end_other_sessions(posted: Ending) -> Response:
    """End all sessions of the caller but this one."""
    web_sessions.end(posted.context, posted.caller, posted.subscription_id, None, of_others=False)
    return _back(posted)


def _back(posted: Posted) -> Response:
    # A session that ended already, or another's, looks the same: it is not in the list.
    return posted.lead_to(f"{posted.base}/settings/sessions", done="sessions-ended")
