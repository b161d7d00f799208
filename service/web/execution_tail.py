"""Live tail of the executions: a page with the last lines, and the stream of those that follow."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import AnnalsError, Unauthenticated
from service.domain.ids import SubscriptionId
from service.http import problems
from service.http.admission import in_thread
from service.http.audited_operations import audits
from service.http.auth.access import entered
from service.http.event_streams import MEDIA_TYPE, REACHED, FollowedTail, TailAnswer, event
from service.http.requests import origin_of
from service.http.tails import Piece, Reading
from service.usecases import execution_tails, web_sessions
from service.usecases.context import Context
from service.usecases.execution_tails import AskedLines, ExecutionFilter, TailedLines, place_of, place_text
from service.web import render, words
from service.web.cookies import session_cookie, zone_of
from service.web.executions import workflow_of
from service.web.filter_forms import filters_of, query_of, shortened
from service.web.gate import View, authenticator_of, viewing

# Lines that the page begins with.
LINES: Final = 40
# Levels of the lines that a reader sees, by the least one as an address has it.
_LEVELS: Final = {"warning": ("WARNING", "ERROR", "CRITICAL"), "error": ("ERROR", "CRITICAL")}
_PARAMETERS: Final = ("level", "workflow_id")

router = APIRouter(include_in_schema=False)
Logs = Annotated[View, Depends(viewing(Right.READ_LOGS))]


class _TailQuery(BaseModel):
    level: Literal["warning", "error"] | None = None


@dataclass(frozen=True, slots=True)
class _ShownLines:
    """The question for lines as a reader sees them: with times of a zone."""

    asked: AskedLines
    zone: str


class _LineAnswer(TailAnswer):
    """Stream of lines; where it does not begin, the page says why, and stays as it is."""

    def __init__(self, view: View, filters: ExecutionFilter) -> None:
        session = (view.caller.session_id, view.subscription_id)
        tails = view.request.app.state.tails
        super().__init__(view.request, tails, self._followed, session=session, headers=render.HEADERS)
        self._view = view
        self._filters = filters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines."""
        try:
            await super().__call__(scope, receive, send)
        except AnnalsError as error:
            self._view.refuse(error, self._told(error))
        except Exception as failure:
            if (known := problems.from_store(failure)) is not None:
                self._view.request.state.refused_page = self._told(known)
            raise

    def _told(self, error: AnnalsError) -> Response:
        page = render.page(self._view.request, "tail_refused.html", {"error": error})
        page.status_code = problems.status_of(type(error))
        page.headers.update(problems.headers_of(error, "Bearer"))
        page.headers.update({"HX-Retarget": "#tail-state", "HX-Reswap": "innerHTML"})
        return page

    async def _followed(self) -> FollowedTail:
        view = self._view
        reached = view.request.headers.get(REACHED) or view.asked("after")
        first = await in_thread(
            view.request,
            execution_tails.begin,
            view.context,
            view.caller,
            view.subscription_id,
            self._filters,
            None if reached is None else place_of(reached),
        )
        return FollowedTail(
            subscription_id=view.subscription_id,
            asked=_ShownLines(first, zone_of(view.request).key),
            read=_reading(view.context),
            place=_place,
            is_allowed=self._check_session,
        )

    async def _check_session(self) -> None:
        """Raise an error if the session has ended, or may read no logs any more."""
        request = self._view.request
        token = session_cookie(request).value(request)
        if token is None:
            raise Unauthenticated("You are not signed in.")
        caller = await web_sessions.resume(
            self._view.context, authenticator_of(request), token, origin_of(request)
        )
        await entered(request, caller, str(self._view.subscription_id), Right.READ_LOGS)


@router.get("/s/{subscription_id}/executions/tail")
@audits(Action.READ, "execution_log")
def show_tail(view: Logs) -> Response:
    """Show the last lines; a script adds those that follow."""
    if (short := shortened(view, _PARAMETERS)) is not None:
        return short
    filters = _filters(view)
    found = execution_tails.last_lines(view.context, view.caller, view.subscription_id, filters, limit=LINES)
    kept = {name: value for name in _PARAMETERS if (value := view.asked(name)) is not None}
    here = f"{view.base}/executions/tail"
    asked = {**kept, "after": place_text(found.after.reached)}
    return view.show(
        "tail.html",
        found=found,
        level=view.asked("level"),
        workflow_id=filters.workflow_id,
        here=here,
        newer=here + query_of(view, _PARAMETERS),
        stream=f"{here}/lines?{urlencode(asked)}",
        longest=words.duration(view.context.settings.tail_seconds * 1000),
    )


@router.get("/s/{subscription_id}/executions/tail/lines")
@audits(Action.READ, "execution_log")
async def follow_lines(view: Logs) -> Response:
    """Send lines as they come, from a place on."""
    if MEDIA_TYPE not in view.request.headers.get("accept", ""):
        # Somebody opened the address in a window, which would wait for the end of the stream.
        return view.lead_to(f"{view.base}/executions/tail{query_of(view, _PARAMETERS)}")
    return _LineAnswer(view, _filters(view))


def _filters(view: View) -> ExecutionFilter:
    level = filters_of(view, _TailQuery, ("level",)).level
    return ExecutionFilter(log_level=None if level is None else _LEVELS[level], workflow_id=workflow_of(view))


def _reading(context: Context) -> Reading:
    """Make what reads lines for all readers of a subscription: each question once, and each text once."""

    def read(subscription_id: SubscriptionId, shown: Sequence[_ShownLines]) -> list[Piece]:
        asked = list(dict.fromkeys(each.asked for each in shown))
        found = dict(zip(asked, execution_tails.next_lines(context, subscription_id, asked), strict=True))
        return [_piece(f"/s/{subscription_id}", each.zone, found[each.asked]) for each in shown]

    return read


def _piece(base: str, zone: str, found: TailedLines) -> Piece:
    after = _ShownLines(found.after, zone)
    if not found.lines and found.left_out is None:
        return Piece(b"", after)
    in_zone = ZoneInfo(zone)
    values = {"found": found, "base": base, "clock": lambda time: words.clock(time, in_zone)}
    return Piece(event(render.text("tail_lines.html", values), place=_place(after)), after)


def _place(shown: Hashable) -> str:
    assert isinstance(shown, _ShownLines)  # noqa: S101 - the questions of this module are such
    return place_text(shown.asked.reached)
