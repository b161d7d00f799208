"""Entrance of the operator's pages, which belong to no subscription."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response

from service.domain.callers import Caller, Right
from service.domain.errors import AnnalsError
from service.domain.idempotency import Attempt
from service.http.requests import context_of
from service.usecases.context import Context
from service.web import frames, render
from service.web.gate import Addressed, Form, attempt_of, platform_form, refused_on, signed_in


@dataclass(frozen=True, slots=True)
class PlatformView(Addressed):
    """A page of the platform, for a caller who has the right that it needs."""

    context: Context
    caller: Caller
    request: Request

    def show(self, template: str, status: int = 200, *, has_secret: bool = False, **values: Any) -> Response:
        """Render a template with its own values and those of every page."""
        frame = frames.frame(self.request, self.caller, tenant="Platform")
        if status >= 400:
            frame["refused_request"] = self.request.state.request_id
        return render.page(self.request, template, frame | values, status, has_secret=has_secret)


@dataclass(frozen=True, slots=True)
class PlatformPosted(PlatformView):
    """A form that a page of the platform sent."""

    form: Form

    @contextmanager
    def refused_on(self, show: Callable[[AnnalsError], Response]) -> Iterator[None]:
        """Show a form again where the block refuses it; see `Posted.refused_on`."""
        with refused_on(self.request, show):
            yield

    def once(self, part: str) -> Attempt | None:
        """Attempt of a part of the form's work; see `Posted.once`."""
        return attempt_of(self.request, self.caller, self.form, part)


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
        caller, form = await platform_form(request)
        caller.needs(right)
        return PlatformPosted(context_of(request), caller, request, form)

    return enter
