"""Rollback of a resource: first what it would change, then the rollback of exactly what was seen."""

from fastapi import APIRouter, Response

from service.committer.changes import RollBack
from service.domain.actions import Action
from service.domain.errors import AnnalsError, CheckedOut, Invalid, QuotaExceeded, StaleVersion
from service.http.admission import in_thread
from service.http.audited_operations import audits
from service.http.parameters import Target, Targeted
from service.http.schemas.versions import RollbackRequest
from service.usecases import rollbacks
from service.usecases.histories import ShownHistory
from service.usecases.rollbacks import Previewed
from service.usecases.versions import Saved
from service.web.comparisons import ends_of, read_history, refused
from service.web.drawn import Drawn, drawn
from service.web.gate import RESOURCE_PAGE, Changing, Posted, View, Writing

router = APIRouter(include_in_schema=False)


@router.get(f"{RESOURCE_PAGE}/roll-back")
async def show_roll_back(view: Changing, target: Targeted) -> Response:
    """Show what a rollback would change, to the version before unless another is named."""
    history = await read_history(view, target)
    usual = "previous" if len(history.page.items) > 1 else "current"
    return await _preview(view, target, history, view.asked("to") or usual)


@router.post(f"{RESOURCE_PAGE}/roll-back")
@audits(Action.ROLLBACK)
async def roll_back(view: Writing, target: Targeted) -> Response:
    """Roll back, if the resource is still at the version that the page showed."""
    to, comment = view.form.text("to") or "", view.form.text("comment")
    try:
        asked = view.form.checked(RollbackRequest, {"to": to, "comment": comment})
        change = RollBack(
            author=view.author,
            kind=target.kind,
            resource_id=target.resource_id,
            to=asked.to,
            comment=asked.comment,
            if_match=(view.form.text("seen") or "",),
            once=view.once,
        )
        done = await rollbacks.roll_back(view.context, change)
    except (StaleVersion, CheckedOut, Invalid, QuotaExceeded) as error:
        history = await read_history(view, target)
        view.refuse(error, await _preview(view, target, history, to, error))
    is_same = isinstance(done, Saved) and done.unchanged
    return view.lead_to(view.page_of(target), done="nothing-to-roll-back" if is_same else "rolled-back")


async def _preview(
    view: View, target: Target, history: ShownHistory, to: str, error: AnnalsError | None = None
) -> Response:
    """Show the page of a rollback; `error` refused the form that was sent before."""
    change = RollBack(
        author=view.author, kind=target.kind, resource_id=target.resource_id, to=to, dry_run=True
    )
    try:
        found = await rollbacks.preview(view.context, change, drawn)
    except CheckedOut as lock:
        page = await in_thread(view.request, _show_lock, view, target, history, to, lock)
        if error is None:
            return page
        view.refuse(error, page)
    return await in_thread(view.request, _show, view, target, history, found, error)


def _show(
    view: View, target: Target, history: ShownHistory, found: Previewed[Drawn], error: AnnalsError | None
) -> Response:
    return view.show(
        "roll_back.html",
        **ends_of(view, target, history, found.old, found.new),
        difference=found.drawing,
        unchanged=found.unchanged,
        **refused(view, history, error),
    )


def _show_lock(view: View, target: Target, history: ShownHistory, to: str, lock: CheckedOut) -> Response:
    return view.show(
        "roll_back_locked.html",
        place=history.standing.path,
        kind=target.kind,
        here=view.page_of(target),
        state=history.standing.state,
        to=to,
        lock=lock.facts,
        was_refused=isinstance(view, Posted),
        **refused(view, history, None),
    )
