"""Access to routes: the caller, the rights of its role, and the calls that a closed subscription answers.

The order of refusal is 401, 404 (tenant), 403, 413, 415, 400 or 422, 404 (resource).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from pydantic import TypeAdapter, ValidationError

from service.domain import ids
from service.domain.callers import Caller, Member, Right, SubscriptionState
from service.domain.errors import (
    Forbidden,
    Invalid,
    SubscriptionClosed,
    SubscriptionNotFound,
    TooManyRequests,
    Unavailable,
)
from service.domain.ids import SubscriptionId
from service.http.admission import visit_of
from service.http.auth.headers import caller_of
from service.http.description.declarations import asks_for_key, refuses
from service.http.parameters import PathId
from service.http.requests import context_of, refuse_unfit_head
from service.usecases import tenancy
from service.usecases.context import Context

_FLAG = TypeAdapter(bool)

# A closed subscription answers every call with these rights: to read, to end sessions, hold, reopen, and to
# erase an address, since a person may ask for that at any time. With others, only GET.
_OF_CLOSED = frozenset({Right.READ, Right.SEE_SUBSCRIPTION, Right.HOLD, Right.CLOSE, Right.ERASE})
# During and after its purge, a subscription answers only calls with these rights.
_OF_PURGED = frozenset({Right.SEE_SUBSCRIPTION, Right.READ_HOLDS, Right.CLOSE})


@dataclass(frozen=True, slots=True)
class Access:
    """Caller who has the right that a route needs in this subscription; `tenant` is its name."""

    context: Context
    caller: Caller
    subscription_id: SubscriptionId
    state: SubscriptionState
    tenant: str

    @property
    def reads_purged(self) -> bool:
        """Tell if the caller may read the history of resources that were deleted for good."""
        return self.caller.may(Right.READ_PURGED)

    @property
    def author(self) -> Member:
        """Caller as the author of a change; raises Forbidden for the operator, who is no user."""
        if self.caller.user_id is None:
            raise Forbidden("The operator's key changes no content: use a user's key.")
        return Member(
            user_id=self.caller.user_id,
            username=self.caller.username,
            subscription_id=self.subscription_id,
            origin=self.caller.origin,
            policy=self.caller.policy,
        )


Enter = TypeVar("Enter", bound=Callable[..., Awaitable[Access]])
_asked = asks_for_key(TooManyRequests, Unavailable)


def _enters(right: Right) -> Callable[[Enter], Enter]:
    """Declare the refusals of a dependency that admits callers with `right` in a subscription."""
    closed = () if right in _OF_PURGED else (SubscriptionClosed,)

    def declare(enter: Enter) -> Enter:
        return _asked(refuses(SubscriptionNotFound, Forbidden, Invalid, *closed)(enter))

    return declare


def access(right: Right) -> Callable[[Request, str], Awaitable[Access]]:
    """Make a dependency that admits callers who have `right` in the subscription of the path."""

    @_enters(right)
    async def enter(request: Request, subscription_id: PathId) -> Access:
        found = await _entered(request, subscription_id, right)
        refuse_unfit_head(request, with_body=False)
        return found

    return enter


def flagged(needed: Right, /, **flags: Right) -> Callable[[Request, str], Awaitable[Access]]:
    """Make a dependency that admits callers who have `needed`; a flag in the query needs a right, too."""

    @_enters(needed)
    async def enter(request: Request, subscription_id: PathId) -> Access:
        found = await _entered(request, subscription_id, needed)
        for name, right in flags.items():
            try:
                is_set = _FLAG.validate_python(request.query_params.get(name, "false"))
            except ValidationError:
                # An invalid flag is refused where the parameter is read.
                is_set = False
            if is_set:
                found.caller.needs(right)
        refuse_unfit_head(request, with_body=False)
        return found

    return enter


def filtered(needed: Right, /, **filters: Right) -> Callable[[Request, str], Awaitable[Access]]:
    """Make a dependency that admits callers who have `needed`; filters in the query may need others."""

    @_enters(needed)
    async def enter(request: Request, subscription_id: PathId) -> Access:
        found = await _entered(request, subscription_id, needed)
        for name, right in filters.items():
            if name in request.query_params:
                found.caller.needs(right)
        refuse_unfit_head(request, with_body=False)
        return found

    return enter


async def _entered(request: Request, subscription_id: str, right: Right) -> Access:
    return await entered(request, await _admitted(request), subscription_id, right)


async def entered(request: Request, caller: Caller, subscription_id: str, right: Right) -> Access:
    """Admit a caller who has `right` in a subscription; raises SubscriptionNotFound, Forbidden."""
    context = context_of(request)
    found = await tenancy.may_enter(context, caller, ids.parse(subscription_id))
    caller.needs(right)
    _check_state(found.state, right, request.method)
    return Access(context, caller, found.subscription_id, found.state, found.name)


@_asked
async def _admitted(request: Request) -> Caller:
    """Caller of a request that has its place among those of its subscription."""
    caller = await caller_of(request)
    await visit_of(request).admit(request, caller)
    return caller


def _check_state(state: SubscriptionState, right: Right, method: str) -> None:
    """Raise SubscriptionClosed for a call that a closed subscription does not answer."""
    if state is SubscriptionState.PURGED and right not in _OF_PURGED:
        raise SubscriptionClosed("The subscription was closed, exported and purged.")
    if state is SubscriptionState.CLOSED and method not in ("GET", "HEAD") and right not in _OF_CLOSED:
        raise SubscriptionClosed("The subscription is closed: it can be read, and not changed.")


Reading = Annotated[Access, Depends(access(Right.READ))]
Writing = Annotated[Access, Depends(access(Right.WRITE))]
Releasing = Annotated[Access, Depends(flagged(Right.WRITE, force=Right.FORCE))]
Deleting = Annotated[Access, Depends(flagged(Right.WRITE, force=Right.FORCE, permanent=Right.PURGE))]
ReadingLogs = Annotated[Access, Depends(access(Right.READ_LOGS))]
ReadingFigures = Annotated[Access, Depends(access(Right.READ_FIGURES))]
# Figures tell nothing of a person, unless they are those of a person or of a single event.
CountingExecutions = Annotated[
    Access,
    Depends(
        filtered(
            Right.READ_FIGURES,
            triggered_by=Right.READ_LOGS,
            recorded_by=Right.READ_LOGS,
            execution_id=Right.READ_LOGS,
            log_id=Right.READ_LOGS,
            request_id=Right.READ_LOGS,
        )
    ),
]
Recording = Annotated[Access, Depends(flagged(Right.RECORD, **{"import": Right.IMPORT}))]
Seeing = Annotated[Access, Depends(access(Right.SEE_SUBSCRIPTION))]
ReadingUsers = Annotated[Access, Depends(access(Right.READ_USERS))]
Managing = Annotated[Access, Depends(access(Right.MANAGE_USERS))]
Erasing = Annotated[Access, Depends(access(Right.ERASE))]
Closing = Annotated[Access, Depends(access(Right.CLOSE))]
Configuring = Annotated[Access, Depends(access(Right.MANAGE_SUBSCRIPTION))]
ManagingPolicy = Annotated[Access, Depends(access(Right.MANAGE_POLICY))]
Holding = Annotated[Access, Depends(access(Right.HOLD))]
ReadingHolds = Annotated[Access, Depends(access(Right.READ_HOLDS))]
Calling = Annotated[Caller, Depends(_admitted)]


def of_platform(right: Right) -> Callable[[Request], Awaitable[Caller]]:
    """Make a dependency that admits callers who have `right` on the platform, outside of any subscription."""

    @_asked
    @refuses(Forbidden, Invalid)
    async def enter(request: Request) -> Caller:
        caller = await _admitted(request)
        caller.needs(right)
        refuse_unfit_head(request, with_body=False)
        return caller

    return enter


Creating = Annotated[Caller, Depends(of_platform(Right.CREATE_SUBSCRIPTIONS))]
Maintaining = Annotated[Caller, Depends(of_platform(Right.MAINTAIN))]
ReadingPlatformLogs = Annotated[Caller, Depends(of_platform(Right.READ_PLATFORM_LOGS))]
