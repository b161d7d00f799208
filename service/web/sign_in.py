"""Signing in and out: a key is exchanged for a session, and so is a link, once."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from service.domain.actions import Action
from service.domain.callers import Caller, Origin
from service.domain.errors import Unauthenticated
from service.http.audited_operations import audits
from service.http.auth.headers import known, logged_in
from service.http.requests import context_of, is_of_pages, origin_of
from service.usecases import web_sessions
from service.usecases.authentication import Authenticator
from service.usecases.context import Context
from service.usecases.web_sessions import SignedIn as NewSession
from service.web import frames, render
from service.web.cookies import check_transport, session_cookie
from service.web.error_pages import home_of, sign_in_page
from service.web.gate import (
    SignedIn,
    authenticator_of,
    check_same_origin,
    form_of,
)

# Longest address that the sign-in leads back to.
MAX_PATH = 2000

# A way to begin a session: by what a form proves.
Begin = Callable[
    [Context, Authenticator, str, Origin, Callable[[Caller], object]], Coroutine[Any, Any, NewSession]
]

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(caller: SignedIn) -> Response:
    """Lead to the first page of the caller."""
    return RedirectResponse(home_of(caller), 303, headers=render.HEADERS)


@router.get("/sign-in")
async def show_sign_in(request: Request) -> Response:
    """Show the sign-in."""
    check_transport(request)
    return sign_in_page(request, back=own_path(request.query_params.get("next", "")))


@router.post("/sign-in")
@audits(Action.LOGIN, "session")
async def sign_in(request: Request) -> Response:
    """Begin a session by a key."""
    return await _begun(request, web_sessions.sign_in, "key")


@router.get("/sign-in/link")
async def show_link(request: Request) -> Response:
    """Show the one button that spends a link, whose token a script takes from the fragment.

    So no preview of a chat spends the link, and no log has its token.
    """
    check_transport(request)
    return render.page(request, "sign_in_link.html", frames.frame(request, None))


@router.post("/sign-in/link")
@audits(Action.LOGIN, "session")
async def sign_in_by_link(request: Request) -> Response:
    """Begin a session by a link that signs in once."""
    return await _begun(request, web_sessions.sign_in_by_link, "token")


@router.post("/sign-out")
@audits(Action.LOGOUT, "session")
async def sign_out(request: Request) -> Response:
    """End the session of this browser; one that has ended already is no fault.

    Counts as no call: who has made too many may leave.
    """
    check_same_origin(request)
    request.state.caller = await _ended(request)
    headers = {**render.HEADERS, "Clear-Site-Data": '"cache"'}
    answer = RedirectResponse("/sign-in?done=signed-out", 303, headers=headers)
    session_cookie(request).delete(answer)
    return answer


def own_path(text: str) -> str:
    """Return the path of a page that a link names; empty for any other address."""
    is_own = is_of_pages(text) and not text.startswith("/sign-") and len(text) <= MAX_PATH
    # Browsers take a backslash for a slash, and leave line ends out.
    return text if is_own and text.isprintable() and "\\" not in text else ""


async def _ended(request: Request) -> Caller | None:
    """End the session that the browser has; returns its caller, None if no session runs."""
    context, token = context_of(request), session_cookie(request).value(request)
    if token is None:
        return None
    try:
        caller = await web_sessions.resume(context, authenticator_of(request), token, origin_of(request))
    except Unauthenticated:
        return None
    await to_thread.run_sync(web_sessions.sign_out, context, caller)
    return caller


async def _begun(request: Request, begin: Begin, field: str) -> Response:
    """Begin a session by what a field of the form proves."""
    check_same_origin(request)
    check_transport(request)
    form = await form_of(request)
    request.state.back = own_path(form.text("next") or "")
    origin = origin_of(request)
    login = begin(
        context_of(request),
        authenticator_of(request),
        form.text(field) or "",
        origin,
        partial(known, request),
    )
    session = await logged_in(request, origin, login)
    # The browser forgets the token of the session before, which nobody could end any more.
    await _ended(request)
    answer = RedirectResponse(request.state.back or home_of(session.caller), 303, headers=render.HEADERS)
    session_cookie(request).set(answer, session.token)
    return answer
