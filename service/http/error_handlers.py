"""Answer errors as problems; an error that is an audit event is recorded before the answer is sent."""

import asyncio
from collections.abc import Callable
from typing import Literal

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gitstore.errors import GitStoreError
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.audit_policy import DEFAULT_POLICY, Depth
from service.domain.callers import Caller, GuessedKey, Role
from service.domain.errors import (
    AnnalsError,
    DatabaseNotReachable,
    Forbidden,
    Internal,
    Invalid,
    MethodNotAllowed,
    OutcomeUnknown,
    PathNotFound,
    SubscriptionNotFound,
    TooManyFailedLogins,
    Unauthenticated,
)
from service.http import problems
from service.http.admission import visit_of
from service.http.audited_operations import AttemptedOperation, attempted
from service.http.otlp.answers import refusal as refusal_of_logs
from service.http.otlp.body import format_of
from service.http.refusals import Refusal, RefusalRecorder
from service.http.requests import context_of, fault_of, is_of_git, log_of, origin_of
from service.http.served_paths import ServedPaths
from service.usecases.context import Context
from sql.errors import DatabaseError

log = structlog.get_logger(__name__)

# Makes the page that tells a person of an error; None for a request of a program.
ErrorPage = Callable[[Request, AnnalsError], Response | None]


def install(app: FastAPI) -> None:
    """Register the handlers that answer errors as problems."""
    for kind, handler in (
        (AnnalsError, _refused),
        (DatabaseError, _failed),
        (GitStoreError, _failed),
        (RequestValidationError, _unfit),
        (HTTPException, _unserved),
    ):
        app.add_exception_handler(kind, handler)


async def unexpected(request: Request) -> Response:
    """Answer an unexpected error."""
    return await _problem(request, Internal("The server failed; the log has the details."))


async def given_up(request: Request) -> Response:
    """Answer a request that was under way when the server had to end."""
    return await _problem(
        request,
        OutcomeUnknown(
            "The server was stopped before this was done: a change may be stored or not. "
            "Send it again with the same Idempotency-Key, or look before you do."
        ),
    )


async def refused(request: Request, error: AnnalsError) -> Response:
    """Answer a request that reaches no route."""
    return await _problem(request, error)


async def _problem(request: Request, error: AnnalsError) -> Response:
    # The server log reads the error from here.
    request.state.problem = error
    refusal = _refusal(request, error)
    if refusal is not None:
        refusals: RefusalRecorder = request.app.state.refusals
        answer_at: float | None = getattr(request.state, "answer_at", None)
        if answer_at is None:
            await refusals.record(refusal)
        else:
            # The answer to a failed login waits for its time, not for the record: see FAILED_LOGIN_SECONDS.
            refusals.begin(refusal)
            visit_of(request).leave()
            await asyncio.sleep(answer_at - asyncio.get_running_loop().time())
    make_page: ErrorPage | None = request.app.state.error_page
    page = None if make_page is None else make_page(request, error)
    if page is not None:
        return page
    form = format_of(request)
    if form is not None:
        return refusal_of_logs(form, error, request.state.request_id)
    answer = problems.answer_to_git if is_of_git(request) else problems.answer
    return answer(error, request.state.request_id)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnnalsError)  # noqa: S101 - registered for this class alone
    return await _problem(request, error)


async def _failed(request: Request, error: Exception) -> Response:
    known = problems.from_store(error)
    if known is None:
        raise error
    log.warning("a store failed", request_id=request.state.request_id, error=repr(error))
    return await _problem(request, known)


async def _unfit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    faults = list(map(fault_of, error.errors()))
    shown = "; ".join(f"{fault.parameter}: {fault.detail}" for fault in faults)
    return await _problem(request, Invalid(f"The query is not valid: {shown}.", faults=faults))


async def _unserved(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    if error.status_code == 405:
        detail = f"{request.state.method} does not apply to this path."
        response = await _problem(request, MethodNotAllowed(detail))
        response.headers["Allow"] = ", ".join(_methods(request))
        return response
    if error.status_code == 404:
        return await _problem(request, PathNotFound("Nothing is served at this address."))
    raise error


def _methods(request: Request) -> list[str]:
    """Methods that the address takes; Starlette names only the methods of the first route that fits."""
    paths: ServedPaths = request.app.state.served_paths
    taken = paths.methods(request.scope["path"])
    # The middleware makes a GET of each HEAD.
    order = ("HEAD", "GET", "POST", "PUT", "PATCH", "DELETE")
    return [method for method in order if method in taken or (method == "HEAD" and "GET" in taken)]


# -- events ------------------------------------------------------------------------------------


def _refusal(request: Request, error: AnnalsError) -> Refusal | None:
    """Refusal for the audit log; None for most failed reads, and if the database is not reachable."""
    attempt = attempted(request.scope)
    if attempt is None or isinstance(error, DatabaseNotReachable):
        return None
    caller: Caller | None = getattr(request.state, "caller", None)
    guessed: GuessedKey | None = None
    login = error.refused if isinstance(error, TooManyFailedLogins) else error
    if isinstance(login, Unauthenticated):
        caller, guessed = login.whose, login.guessed
    if guessed is not None:
        attempt = AttemptedOperation(Action.LOGIN, "api_key", str(guessed.key_id), is_audited=True)
    status = _status(login, caller)
    if not _counts(request, attempt, status):
        return None
    # An attempt at another tenant's data is recorded, even if the policy leaves such events out.
    policy = DEFAULT_POLICY if caller is None or status == "unauthorized" else caller.policy
    if policy.depth(attempt.resource_type, attempt.action) is Depth.NONE:
        return None
    context: Context = context_of(request)
    return Refusal(
        origin=origin_of(request),
        author=caller,
        subscription_id=log_of(request, caller, error) if guessed is None else guessed.subscription_id,
        subject=Subject(attempt.resource_type, attempt.resource_id, None),
        is_known=caller is not None or guessed is not None,
        action=attempt.action,
        at=context.clock(),
        status=status,
        error=error,
    )


def _status(error: AnnalsError, caller: Caller | None) -> Literal["failed", "unauthorized"]:
    """Status in the audit log: `unauthorized` for another tenant's data, although the answer is 404."""
    if isinstance(error, Unauthenticated | Forbidden):
        return "unauthorized"
    is_stranger = caller is not None and caller.role is not Role.OPERATOR
    return "unauthorized" if is_stranger and isinstance(error, SubscriptionNotFound) else "failed"


def _counts(request: Request, attempt: AttemptedOperation, status: str) -> bool:
    """Tell if an attempt is recorded; a GET of nobody is not, since every clone by git begins so."""
    is_known = getattr(request.state, "caller", None) is not None
    is_anonymous_read = request.method == "GET" and "authorization" not in request.headers and not is_known
    return (attempt.is_audited or status == "unauthorized") and not is_anonymous_read
