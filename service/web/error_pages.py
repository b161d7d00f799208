"""Errors as pages: what happened, what to do next, and the id by which the logs find the request."""

from urllib.parse import urlencode

import structlog
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from service.domain.callers import Caller, Role
from service.domain.errors import AmbiguousRef, AnnalsError, Unauthenticated, VersionNotFound
from service.domain.resource_kinds import KIND_OF_COLLECTION
from service.http import problems
from service.http.requests import is_of_pages
from service.web import frames, render
from service.web.advice import advice_on, detail_of
from service.web.cookies import session_cookie, takes_keys

log = structlog.get_logger(__name__)

# What these refuse is told where the reader tries again.
_OF_SIGN_IN = ("/sign-in", "/sign-in/link")
# Errors about versions of a resource that is there.
_OF_VERSIONS = (VersionNotFound, AmbiguousRef)
# Addresses of programs, which get a problem document whatever they take.
_OF_PROGRAMS = ("/v1/", "/git/", "/static/", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics")


def error_page(request: Request, error: AnnalsError) -> Response | None:
    """Make the page of an error; None for a request of a program.

    A GET of nobody leads to the sign-in, and from there back.
    """
    shown: Response | None = getattr(request.state, "refused_page", None)
    if shown is not None:
        # The form itself, which says why it was refused.
        return shown
    path = request.scope["path"]
    if not _is_of_person(request, path):
        return None
    try:
        return _answer(request, error, path)
    except Exception:
        # A fault of the page must not hide the error: the answer is then that of a program.
        log.exception("an error has no page", request_id=request.state.request_id)
        return None


def _answer(request: Request, error: AnnalsError, path: str) -> Response:
    if isinstance(error, Unauthenticated) and request.method == "GET" and not path.startswith("/sign-"):
        return _to_sign_in(request)
    if path in _OF_SIGN_IN:
        return sign_in_page(request, error)
    return _page(request, error)


def _is_of_person(request: Request, path: str) -> bool:
    if is_of_pages(path):
        return True
    return "text/html" in request.headers.get("accept", "") and not path.startswith(_OF_PROGRAMS)


def _to_sign_in(request: Request) -> Response:
    cookie = session_cookie(request)
    has_ended = cookie.value(request) is not None
    back = own_address(request)
    values = ({} if back == "/" else {"next": back}) | ({"done": "session-ended"} if has_ended else {})
    address = "/sign-in" + (f"?{urlencode(values)}" if values else "")
    if "hx-request" in request.headers:
        # A part of a page can't show the sign-in: the whole page goes there.
        return Response(status_code=401, headers={**render.HEADERS, "HX-Redirect": address})
    answer = RedirectResponse(address, 303, headers=render.HEADERS)
    if has_ended:
        cookie.delete(answer)
    return answer


def own_address(request: Request) -> str:
    """Path and query of a request, as they were sent."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("latin-1")


def sign_in_page(request: Request, error: AnnalsError | None = None, *, back: str = "") -> Response:
    """Show the sign-in, with the reason why the last one failed."""
    values = {
        "next": back or getattr(request.state, "back", ""),
        "problem": error,
        "takes_keys": takes_keys(request),
        "request_id": request.state.request_id,
    }
    status = 200 if error is None else problems.status_of(type(error))
    answer = render.page(request, "sign_in.html", frames.frame(request, None) | values, status)
    if error is not None:
        answer.headers.update(problems.headers_of(error, "Bearer"))
    return answer


def _page(request: Request, error: AnnalsError) -> Response:
    caller: Caller | None = getattr(request.state, "caller", None)
    # An address that no route has asks for no session, though the reader may have one.
    has_session = caller is not None or session_cookie(request).value(request) is not None
    kind = type(error)
    status = problems.status_of(kind)
    values = {
        "status": status,
        "title": problems.title_of(kind),
        "error": error,
        "detail": detail_of(error),
        "advice": advice_on(
            kind,
            is_operator=caller is not None and caller.role is Role.OPERATOR,
            is_of_platform=request.scope["path"].startswith("/platform"),
        ),
        "history": _history_of(request.scope["path"]) if isinstance(error, _OF_VERSIONS) else None,
        "request_id": request.state.request_id,
        "home": "/" if has_session else "/sign-in",
        "has_session": has_session,
    }
    # The ways to the reader's own pages, whichever subscription the address names.
    base = home_of(caller) if caller is not None and caller.subscription_id is not None else ""
    answer = render.page(request, "problem.html", frames.frame(request, caller, base=base) | values, status)
    answer.headers.update(problems.headers_of(error, "Bearer"))
    if "hx-request" in request.headers and request.method == "GET" and is_of_pages(request.scope["path"]):
        # A part of a page can't show the error: the whole page goes to the address that has it.
        answer.headers["HX-Redirect"] = own_address(request)
    return answer


def _history_of(path: str) -> str | None:
    """Path of the history of the resource that a page is about; None for a page about none."""
    parts = path.split("/")
    return "/".join(parts[:5]) if len(parts) > 5 and parts[3] in KIND_OF_COLLECTION else None


def home_of(caller: Caller) -> str:
    """Path of the first page of a caller."""
    return "/platform" if caller.subscription_id is None else f"/s/{caller.subscription_id}"
