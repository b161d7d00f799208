"""Entrance of the operator's pages, which belong to no subscription."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from service.domain.callers import Caller, Right
from service.domain.idempotency import Attempt
from service.http.exports import of_caller
from service.http.requests import context_of
from service.usecases.context import Context
from service.usecases.exports import Exporting
from service.web.gate import Addressed, Form, attempt_of, sent_form, signed_in


@dataclass(frozen=True, slots=True)
class PlatformView(Addressed):
    """A page of the platform, for a caller who has the right that it needs."""

    context: Context
    caller: Caller
    request: Request

    @property
    def base(self) -> str:
        return ""

    @property
    def tenant(self) -> str:
        return "Platform"

    @property
    def exporting(self) -> Exporting:
        return of_caller(self.request, self.caller)


@dataclass(frozen=True, slots=True)
class PlatformPosted(PlatformView):
    """A form that a page of the platform sent."""

    form: Form

    @property
    def once(self) -> Attempt | None:
        """Attempt of the form; see `Posted.once`."""
        return attempt_of(self.request, self.caller, self.form)


def viewing_platform(right: Right) -> Callable[[Request], Awaitable[PlatformView]]:
    """Make a dependency that shows a page to callers who have `right` on the platform."""

    async def enter(request: Request) -> PlatformView:
        caller = await signed_in(request)
        caller.needs(right)
        return PlatformView(context_of(request), caller, request)

    return enter


def posting_platform(right: Right) -> Callable[[Request], Awaitable[PlatformPosted]]:
    """Make a dependency that takes a form of callers who have `right` on the platform."""

    async def enter(request: Request) -> PlatformPosted:
        caller, form = await sent_form(request)
        caller.needs(right)
        return PlatformPosted(context_of(request), caller, request, form)

    return enter
