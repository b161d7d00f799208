"""Sessions of the operator: list the running ones, end them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right
from service.http.audited_operations import audits
from service.usecases import web_sessions
from service.web.devices import device_of
from service.web.platform_gate import PlatformPosted, PlatformView, posting_platform, viewing_platform

PATH = "/platform/sessions"

router = APIRouter(include_in_schema=False)
Seeing = Annotated[PlatformView, Depends(viewing_platform(Right.CREATE_SUBSCRIPTIONS))]
Ending = Annotated[PlatformPosted, Depends(posting_platform(Right.CREATE_SUBSCRIPTIONS))]


@router.get(PATH)
def list_operator_sessions(view: Seeing) -> Response:
    """Show the sessions of the operator's key."""
    return view.show(
        "platform_sessions.html",
        own=web_sessions.operator_sessions(view.context, view.caller),
        most=web_sessions.MAX_SHOWN,
        device_of=device_of,
    )


@router.post(PATH + "/{session_id}/end")
@audits(Action.LOGOUT, "session", id_in="session_id")
def end_operator_session(posted: Ending, session_id: str) -> Response:
    """End one session of the operator."""
    found = ids.parse(session_id)
    web_sessions.end_of_operator(posted.context, posted.caller, [] if found is None else [found])
    return posted.lead_to(PATH, done="sessions-ended")


@router.post(PATH + "/end-others")
@audits(Action.LOGOUT, "session")
def end_other_operator_sessions(posted: Ending) -> Response:
    """End all sessions of the operator but this one."""
    web_sessions.end_of_operator(posted.context, posted.caller, None)
    return posted.lead_to(PATH, done="sessions-ended")
