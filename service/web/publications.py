"""Publishing and unpublishing a version: first what the branch `published` gains or loses by it."""

from functools import partial
from typing import Final

from fastapi import APIRouter, Response

from service.committer.changes import SetPublished
from service.committer.refusals import resource_deleted
from service.domain.actions import Action
from service.domain.errors import AnnalsError, StaleVersion
from service.http.admission import in_thread
from service.http.audited_operations import audits
from service.http.parameters import Target, Targeted
from service.usecases import versions
from service.usecases.diffs import WrittenDifference
from service.usecases.histories import ShownHistory
from service.usecases.versions import Version
from service.web import documents
from service.web.comparisons import between, ends_of, is_live, read_history, refused
from service.web.documents import Picture
from service.web.drawn import Drawn, drawn
from service.web.gate import RESOURCE_PAGE, Changing, Posted, View, Writing

# A number beyond that is of no version.
_MOST_VERSIONS: Final = 2**31

router = APIRouter(include_in_schema=False)


@router.get(f"{RESOURCE_PAGE}/publish")
async def show_publish(view: Changing, target: Targeted) -> Response:
    """Show what the branch `published` would gain, by the current version unless another is named."""
    return await _preview(view, target, await _read(view, target), view.asked("ref") or "current")


@router.post(f"{RESOURCE_PAGE}/publish")
@audits(Action.PUBLISH)
async def publish(view: Writing, target: Targeted) -> Response:
    """Publish a version, if the history is still as the page showed it."""
    ref = view.form.text("ref") or ""
    try:
        await _set(view, target, ref, published=True)
    except StaleVersion as error:
        history = await _read(view, target)
        view.refuse(error, await _preview(view, target, history, ref, error))
    return view.lead_to(view.page_of(target), done="published")


@router.get(f"{RESOURCE_PAGE}/unpublish")
async def show_unpublish(view: Changing, target: Targeted) -> Response:
    """Ask if what is published shall be withdrawn."""
    return await _ask(view, target, await _read(view, target))


@router.post(f"{RESOURCE_PAGE}/unpublish")
@audits(Action.UNPUBLISH)
async def unpublish(view: Writing, target: Targeted) -> Response:
    """Withdraw the version that the page showed as published."""
    try:
        await _set(view, target, view.form.text("ref") or "", published=False)
    except StaleVersion as error:
        view.refuse(error, await _ask(view, target, await _read(view, target), error))
    return view.lead_to(view.page_of(target), done="unpublished")


async def _read(view: View, target: Target) -> ShownHistory:
    """Read the history of a live resource; raises ResourceDeleted."""
    history = await read_history(view, target)
    if not is_live(history):
        raise resource_deleted(target.kind)
    return history


async def _set(view: Posted, target: Target, ref: str, *, published: bool) -> None:
    seen = view.form.number("published_seen")
    change = SetPublished(
        author=view.author,
        kind=target.kind,
        resource_id=target.resource_id,
        ref=ref,
        published=published,
        if_match=(view.form.text("seen") or "",),
        # The commit tells nothing of what is published.
        instead_of=seen if isinstance(seen, int) and seen < _MOST_VERSIONS else 0,
        once=view.once,
    )
    await versions.write(view.context, change)


async def _preview(
    view: View, target: Target, history: ShownHistory, ref: str, error: AnnalsError | None = None
) -> Response:
    now = history.standing.state.published_version
    if now is None:
        # Nothing to compare with: all of the document would look new.
        first = await between(view, target, (ref, ref), _pictured)
        show = partial(_show, difference=None, picture=first.drawing)
        return await in_thread(view.request, show, view, target, history, (first.new, first.new), error)
    found = await between(view, target, (str(now), ref), drawn)
    show = partial(_show, difference=found.drawing, picture=None)
    return await in_thread(view.request, show, view, target, history, (found.old, found.new), error)


def _pictured(_old: bytes, new: bytes, _made: WrittenDifference) -> Picture:
    return documents.picture_of(new)


def _show(
    view: View,
    target: Target,
    history: ShownHistory,
    ends: tuple[Version, Version],
    error: AnnalsError | None,
    *,
    difference: Drawn | None,
    picture: Picture | None,
) -> Response:
    return view.show(
        "publish.html",
        **ends_of(view, target, history, *ends),
        difference=difference,
        picture=picture,
        **refused(view, history, error),
    )


async def _ask(
    view: View, target: Target, history: ShownHistory, error: AnnalsError | None = None
) -> Response:
    values = {
        "place": history.standing.path,
        "kind": target.kind,
        "here": view.page_of(target),
        "state": history.standing.state,
        **refused(view, history, error),
    }
    return await in_thread(view.request, view.show, "unpublish.html", **values)
