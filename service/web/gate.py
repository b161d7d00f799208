"""Entrance of every page: the session behind its cookie, the rights of its caller, and the form it sends."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Annotated, Any, NoReturn, TypeVar, cast
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import ImmutableMultiDict

from service.documents.tabular import FileFormat
from service.domain import etags
from service.domain.callers import Caller, Right
from service.domain.errors import (
    AnnalsError,
    BodyTooLarge,
    Conflict,
    Invalid,
    Locked,
    MalformedRequest,
    OriginNotAllowed,
    PreconditionFailed,
    QuotaExceeded,
    StaleVersion,
    Unauthenticated,
    UnsupportedMedia,
)
from service.domain.etags import Match
from service.domain.idempotency import Attempt, BodyDigests
from service.domain.pagination import Paging
from service.http import problems
from service.http.admission import visit_of
from service.http.auth.access import Access, entered
from service.http.auth.headers import known
from service.http.bodies import checked, invalid_body
from service.http.exports import FileWriter, of_access
from service.http.parameters import Target
from service.http.requests import context_of, media_type_of, origin_of
from service.http.schemas.body import Body
from service.usecases import web_sessions
from service.usecases.authentication import Authenticator
from service.usecases.context import Context
from service.usecases.exports import Exporting, WholeList
from service.web import frames, render
from service.web.cookies import is_over_tls, session_cookie

# A field of 60 KiB of text and one of 10,000 characters, each byte of which a form may write as three.
MAX_FORM_BYTES = 320 * 1024
FORM = "application/x-www-form-urlencoded"
# More than any field takes, so that the API's rule tells that a number is too large.
_MOST_DIGITS = 100
# The field of a form that tells a repeat of it, such as a second click, from another one.
ONCE = "once"
RESOURCE_PAGE = "/s/{subscription_id}/{collection:collection}/{resource_id}"

# Parameters that do not say what a page is about.
_OF_THE_MOMENT = frozenset({"cursor", "done"})
# Errors that the form itself tells: what was typed is at fault, what the form showed is not so any more, or
# there is no room for what it makes.
REFUSALS = (Invalid, Conflict, Locked, PreconditionFailed, QuotaExceeded)

BodyT = TypeVar("BodyT", bound=Body)
Result = TypeVar("Result")


def authenticator_of(request: Request) -> Authenticator:
    """Authenticator of this process."""
    return cast("Authenticator", request.app.state.authenticator)


class Addressed(ABC):
    """A page by its address: what the address asks for, and where a form leads."""

    __slots__ = ()
    context: Context
    request: Request
    caller: Caller

    @property
    @abstractmethod
    def base(self) -> str:
        """Path that the pages of the subscription begin with; empty outside of any."""

    @property
    @abstractmethod
    def tenant(self) -> str:
        """Name of the subscription, or of what else the page belongs to."""

    @property
    @abstractmethod
    def exporting(self) -> Exporting:
        """The export of what the page shows, by its reader."""

    @property
    def file_format(self) -> FileFormat | None:
        """Format in which the address asks for a file; None if it asks for a page."""
        asked = self.asked("format")
        return FileFormat(asked) if asked in tuple(FileFormat) else None

    def file(self, form: FileFormat, listed: WholeList) -> Response:
        """Answer with a whole list."""
        return FileWriter(self.request, form).whole(self.exporting, listed)

    def asked(self, name: str) -> str | None:
        """Value of a query parameter without spaces around it; None if it is missing or empty."""
        return self.request.query_params.get(name, "").strip() or None

    @property
    def address(self) -> str:
        """Address of this page with what was asked, at its beginning: without the cursor of a list."""
        kept = [(k, v) for k, v in self.request.query_params.multi_items() if v and k not in _OF_THE_MOMENT]
        return self.request.url.path + (f"?{urlencode(kept)}" if kept else "")

    def paging(self, limit: int) -> Paging:
        """Request for a page of a list."""
        return Paging(limit, self.asked("cursor"))

    def lead_to(self, path: str, *, done: str | None = None) -> Response:
        """Lead to the page that shows what a form did, so that a reload does not send the form again.

        `done` is a key of NOTICES.
        """
        said = "" if done is None else f"{'&' if '?' in path else '?'}done={done}"
        return RedirectResponse(path + said, 303, headers=render.HEADERS)

    def show(
        self,
        template: str,
        *,
        problem: AnnalsError | None = None,
        has_secret: bool = False,
        **values: Any,
    ) -> Response:
        """Render a template with its own values and those of every page.

        With a problem, the page is the answer to a form that was refused.
        """
        frame = frames.frame(self.request, self.caller, base=self.base, tenant=self.tenant)
        frame["problem"] = problem
        status = 200
        if problem is not None:
            status = problems.status_of(type(problem))
            frame["refused_request"] = self.request.state.request_id
        return render.page(self.request, template, frame | values, status, has_secret=has_secret)

    @contextmanager
    def refused_on(
        self, show: Callable[[AnnalsError], Response], kinds: tuple[type[AnnalsError], ...] = REFUSALS
    ) -> Iterator[None]:
        """Show a form again, with what was typed and why it was refused, where the block refuses it.

        Other errors than of `kinds` get a page of their own. The error goes on to the edge, which records it.
        The page is made here, in the thread of the handler.
        """
        try:
            yield
        except kinds as error:
            self.request.state.refused_page = show(error)
            raise


@dataclass(frozen=True, slots=True)
class View(Access, Addressed):
    """A page of a subscription, for a caller who has the right that it needs."""

    request: Request

    @property
    def base(self) -> str:
        return f"/s/{self.subscription_id}"

    @property
    def exporting(self) -> Exporting:
        return of_access(self)

    def page_of(self, target: Target) -> str:
        """Path of the first page of a resource, which its other pages begin with."""
        return f"{self.base}/{target.kind.collection}/{target.named}"

    def refuse(self, error: AnnalsError, page: Response) -> NoReturn:
        """Raise an error that `page` tells of, instead of the page of all errors; the edge records it."""
        page.status_code = problems.status_of(type(error))
        self.request.state.refused_page = page
        raise error


@dataclass(frozen=True, slots=True)
class Form:
    """Fields of a form, as a browser sends them."""

    fields: ImmutableMultiDict[str, str]

    def text(self, name: str) -> str | None:
        """Value of a field without spaces around it; None if it is missing or empty."""
        return self.fields.get(name, "").strip() or None

    def changed(self, name: str) -> str | None:
        """Value of a field, unless its page showed the same; None, too, if it is empty.

        What its reader left as it was may have been changed by somebody else since.
        """
        return self.text(name) if self.differs(name) else None

    def differs(self, name: str) -> bool:
        """Tell if a field is not as its page showed it."""
        return self.text(name) != self.text(f"{name}_seen")

    def again(self, problem: AnnalsError) -> dict[str, str]:
        """Make what a refused form shows again: what its sender changed, and what its page had shown there.

        Other fields show what is stored now, which others may have changed: to send them again must not undo
        that. A page that tells of such a change is what the next attempt is bound to.
        """
        is_stale = isinstance(problem, StaleVersion)
        found: dict[str, str] = {}
        for name in {each.removesuffix("_seen") for each in self.fields}:
            is_bound = f"{name}_seen" in self.fields
            if is_bound and not self.differs(name):
                continue
            found[name] = self.fields.get(name, "")
            if is_bound and not is_stale:
                found[f"{name}_seen"] = self.fields[f"{name}_seen"]
        return found

    def texts(self, name: str) -> list[str]:
        """Values of all fields of a name."""
        return self.fields.getlist(name)

    def number(self, name: str) -> int | str | None:
        """Value of a field for a number; a text that is none is left to the API's rule."""
        text = self.text(name)
        is_number = text is not None and text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
        return int(text) if text is not None and is_number else text

    def is_set(self, name: str) -> bool:
        """Tell if a check box is set."""
        return name in self.fields

    def checked(self, model: type[BodyT], values: Mapping[str, Any]) -> BodyT:
        """Make a body of the API, by the rules of the API; raises Invalid."""
        given = {name: value for name, value in values.items() if value is not None}
        found = checked(model, given)
        if isinstance(found, list):
            raise invalid_body(found)
        return found


@dataclass(frozen=True, slots=True)
class Posted(View):
    """A form that a page of a subscription sent."""

    form: Form

    @property
    def once(self) -> Attempt | None:
        """Attempt of the form: the same form sent twice is carried out once. None if the form has no mark."""
        return attempt_of(self.request, self.caller, self.form)

    @property
    def seen(self) -> Match | None:
        """Commit that the page of the form showed as the current one; a change of another one is refused."""
        return etags.parse(self.form.text("seen"))

    async def carried_out(
        self, work: Awaitable[Result], show: Callable[[AnnalsError], Awaitable[Response]]
    ) -> Result:
        """Wait for a change of the history; its form is shown again where the change is refused."""
        try:
            return await work
        except REFUSALS as error:
            self.request.state.refused_page = await show(error)
            raise


def attempt_of(request: Request, caller: Caller, form: Form) -> Attempt | None:
    """Attempt of a form; None if the form has no mark."""
    mark = form.text(ONCE)
    if mark is None:
        return None
    raw = repr(sorted(form.fields.multi_items())).encode()
    digest = sha256(raw).digest()
    return Attempt.of(
        caller=str(caller.user_id or caller.role),
        method="POST",
        path=request.scope["path"],
        # With the form itself: one that was changed meanwhile is another form.
        key=f"{mark}:{digest.hex()}",
        body=BodyDigests(digest, digest),
    )


async def signed_in(request: Request) -> Caller:
    """Caller of a page by its cookie; raises Unauthenticated and TooManyRequests."""
    caller = await _resumed(request)
    await visit_of(request).admit(request, caller)
    return caller


SignedIn = Annotated[Caller, Depends(signed_in)]


async def _resumed(request: Request) -> Caller:
    context = context_of(request)
    token = session_cookie(request).value(request)
    if token is None:
        raise Unauthenticated("You are not signed in.")
    origin = origin_of(request)
    return known(request, await web_sessions.resume(context, authenticator_of(request), token, origin))


def viewing(right: Right) -> Callable[[Request, str], Awaitable[View]]:
    """Make a dependency that shows a page to callers who have `right` in the subscription of the path."""

    async def enter(request: Request, subscription_id: str) -> View:
        return await _view(request, await signed_in(request), subscription_id, right)

    return enter


def posting(right: Right) -> Callable[[Request, str], Awaitable[Posted]]:
    """Make a dependency that takes a form of callers who have `right` in the subscription of the path."""

    async def enter(request: Request, subscription_id: str) -> Posted:
        caller, form = await sent_form(request)
        view = await _view(request, caller, subscription_id, right)
        return Posted(**{each.name: getattr(view, each.name) for each in fields(View)}, form=form)

    return enter


async def _view(request: Request, caller: Caller, subscription_id: str, right: Right) -> View:
    access = await entered(request, caller, subscription_id, right)
    return View(**{each.name: getattr(access, each.name) for each in fields(Access)}, request=request)


Viewing = Annotated[View, Depends(viewing(Right.READ))]
Changing = Annotated[View, Depends(viewing(Right.WRITE))]
Writing = Annotated[Posted, Depends(posting(Right.WRITE))]


async def sent_form(request: Request) -> tuple[Caller, Form]:
    """Caller who sent a form from a page of this server, and the form; raises Unauthenticated."""
    check_same_origin(request)
    caller = await _resumed(request)
    form = await form_of(request)
    # Admitted when the form is there: a slow sender keeps no place of its tenant.
    await visit_of(request).admit(request, caller)
    return caller, form


def check_same_origin(request: Request) -> None:
    """Raise OriginNotAllowed for a form that no page of this server sent; the browser tells who did."""
    site = request.headers.get("sec-fetch-site")
    if site == "same-origin":
        return
    schemes = ("https",) if is_over_tls(request) else ("http", "https")
    own = {f"{scheme}://{request.headers.get('host', '')}" for scheme in schemes}
    if site is None and request.headers.get("origin") in own:
        return
    raise OriginNotAllowed("This form was not sent by a page of Annals.")


async def form_of(request: Request) -> Form:
    """Read the form of a request; raises BodyTooLarge, UnsupportedMedia, MalformedRequest."""
    if media_type_of(request) not in (FORM, ""):
        raise UnsupportedMedia(f"Send `Content-Type: {FORM}`.")
    raw = b""
    async with visit_of(request).awaiting_form(request):
        async for part in request.stream():
            raw += part
            if len(raw) > MAX_FORM_BYTES:
                raise BodyTooLarge(f"A form has at most {MAX_FORM_BYTES // 1024} KiB.")
    try:
        found = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError:
        raise MalformedRequest("The form can't be read.") from None
    # Browsers send the two characters for each end of a line.
    return Form(ImmutableMultiDict((name, value.replace("\r\n", "\n")) for name, value in found))
