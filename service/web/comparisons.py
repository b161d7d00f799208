"""Comparison of any two versions of a resource."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Response

from service.committer.step import path_of
from service.domain.errors import AnnalsError, Invalid, StaleVersion, VersionNotFound
from service.domain.pagination import Paging
from service.http.admission import in_thread
from service.http.parameters import Target, Targeted
from service.usecases import diffs, histories, versions
from service.usecases.diffs import Compared, Draw, Drawing
from service.usecases.histories import ShownHistory
from service.usecases.versions import Version
from service.web import render
from service.web.cookies import zone_of
from service.web.drawn import Drawn, drawn
from service.web.filter_forms import end_of_second, instant_of
from service.web.gate import RESOURCE_PAGE, Posted, View, Viewing
from service.web.words import clock, compact

# Versions that a list offers; an older one is compared by its address.
OFFERED = 100
# Characters of a version's tag and author in that list.
_TAG, _AUTHOR = 30, 20

_ENDS = ("from", "to")

router = APIRouter(include_in_schema=False)


@router.get(f"{RESOURCE_PAGE}/compare")
async def compare(view: Viewing, target: Targeted) -> Response:
    """Compare two versions, `previous` and `current` unless others are named.

    An instant names the version that was current then.
    """
    if (settled := _settled(view, target)) is not None:
        return settled
    history = await read_history(view, target)
    # A resource of one version has none before it.
    usual = "previous" if len(history.page.items) > 1 else "current"
    found = await between(view, target, await _refs(view, target, usual), drawn)
    return await in_thread(view.request, _show, view, target, history, found)


@router.get(f"{RESOURCE_PAGE}/compare/operations.json")
async def operations(view: Viewing, target: Targeted) -> Response:
    """Send the operations (RFC 6902) that make one version of another, as a file."""
    found = await between(view, target, await _refs(view, target, "previous"), diffs.as_it_is)
    ends = f"{found.old.version_number}-{found.new.version_number}"
    name = f"{target.kind}-{target.resource_id}-{ends}.json"
    headers = render.HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(found.drawing.json_patch, headers=headers, media_type="application/json-patch+json")


def _settled(view: View, target: Target) -> Response | None:
    """Lead to the address of a comparison whose form was sent: an end that has a time is that instant.

    None for such an address. Raises Invalid.
    """
    if not any(f"{end}_at" in view.request.query_params for end in _ENDS):
        return None
    asked: dict[str, str] = {}
    for end in _ENDS:
        if (typed := view.asked(f"{end}_at")) is not None:
            moment = instant_of(typed, zone_of(view.request))
            if moment is None:
                raise Invalid("This is no date with a time: take them from the calendar.")
            asked[end] = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        elif (ref := view.asked(end)) is not None:
            asked[end] = ref
    return view.lead_to(f"{view.page_of(target)}/compare" + (f"?{urlencode(asked)}" if asked else ""))


def _moments(view: View) -> dict[str, datetime]:
    """Past instants that the address names, by their ends."""
    zone, now = zone_of(view.request), view.context.clock()
    found = {end: instant_of(view.asked(end) or "", zone) for end in _ENDS}
    return {end: moment for end, moment in found.items() if moment is not None and moment <= now}


async def _refs(view: View, target: Target, usual: str) -> tuple[str, str]:
    """Read the two refs of the address, `usual` and `current` where it has none."""
    return (
        await _named_by(view, target, view.asked("from") or usual),
        await _named_by(view, target, view.asked("to") or "current"),
    )


async def _named_by(view: View, target: Target, text: str) -> str:
    """Return a ref as it is, and for an instant the number of the version of that moment."""
    moment = instant_of(text, zone_of(view.request))
    if moment is None:
        return text
    try:
        number = await in_thread(
            view.request,
            versions.number_at,
            view.context,
            view.subscription_id,
            target.kind,
            target.resource_id,
            end_of_second(moment),
            purged=view.reads_purged,
        )
    except VersionNotFound:
        at = clock(moment, zone_of(view.request))
        raise VersionNotFound(f"The {target.kind} had no version yet at {at}.") from None
    return str(number)


async def read_history(view: View, target: Target) -> ShownHistory:
    """Read the state of a resource, and the versions that a page offers."""
    return await in_thread(
        view.request,
        histories.read,
        view.context,
        view.subscription_id,
        target.kind,
        target.resource_id,
        {},
        Paging(OFFERED, None),
        purged=view.reads_purged,
    )


async def between(
    view: View, target: Target, refs: tuple[str, str], draw: Draw[Drawing]
) -> Compared[Drawing]:
    """Draw the difference of the versions that two refs name."""
    return await diffs.drawn(
        view.context,
        view.subscription_id,
        target.kind,
        target.resource_id,
        refs,
        draw,
        purged=view.reads_purged,
    )


def ends_of(view: View, target: Target, history: ShownHistory, old: Version, new: Version) -> dict[str, Any]:
    """Make the values of a page about two versions of a resource, without their difference."""
    return {
        "place": history.standing.path,
        "here": view.page_of(target),
        "state": history.standing.state,
        "is_live": is_live(history),
        "versions": with_ends(history, old, new),
        "old": old,
        "new": new,
        "reason": reasons_of(history, old, new),
        "operations_at": _operations_at(view, target, old, new),
        "command": _command(old, new),
    }


def is_live(history: ShownHistory) -> bool:
    """Tell if the resource is neither deleted nor purged."""
    state = history.standing.state
    return not state.is_purged and state.deleted_at is None


def with_ends(history: ShownHistory, *ends: Version) -> list[tuple[int, str]]:
    """Number of each version that a list offers, with the words beside it; the ends are always among them."""
    offered = {
        line.version_number: _words(
            line.version_tag, line.created_by_username, published=line.is_published, current=line.is_current
        )
        for line in history.page.items
    }
    for end in ends:
        offered.setdefault(
            end.version_number,
            _words(
                end.version_tag, end.created_by_username, published=end.is_published, current=end.is_current
            ),
        )
    return sorted(offered.items(), reverse=True)


def _words(tag: str | None, author: str, *, published: bool, current: bool) -> str:
    marks = ("published" if published else None, "current" if current else None)
    # A choice of versions is in a page twice.
    ends = (compact(tag or "", _TAG), *marks, compact(author, _AUTHOR))
    return " · ".join(filter(None, ends))


def reasons_of(history: ShownHistory, *ends: Version) -> dict[int, str]:
    """Reason of each end by its number: its first comment, or else its description."""
    comments = {line.version_number: line.first_comment for line in history.page.items}
    return {
        end.version_number: comments.get(end.version_number) or end.version_description or "" for end in ends
    }


def refused(view: View, history: ShownHistory, error: AnnalsError | None) -> dict[str, Any]:
    """Make the values of a page whose form was refused: why, what was typed, and what happened meanwhile."""
    form = view.form if isinstance(view, Posted) else None
    seen = None if form is None else form.text("seen")
    return {
        "problem": error,
        "is_stale": isinstance(error, StaleVersion),
        "comment": (form and form.text("comment")) or "",
        "meanwhile": history.page.items[: _saved_since(history, seen)],
    }


def _saved_since(history: ShownHistory, seen: str | None) -> int:
    """Number of versions that were saved since the one with the commit that a page showed."""
    commits = [line.git_commit_hash for line in history.page.items]
    return commits.index(seen) if seen in commits else 0


def _operations_at(view: View, target: Target, old: Version, new: Version) -> str:
    """Address of the operations that make the new version of the old one."""
    asked = urlencode({"from": old.version_number, "to": new.version_number})
    return f"{view.page_of(target)}/compare/operations.json?{asked}"


def _command(old: Version, new: Version) -> str:
    """Command of git that shows the whole difference, in a clone."""
    return f"git diff {old.git_commit_hash[:12]} {new.git_commit_hash[:12]} -- {path_of(new)}"


def _show(view: View, target: Target, history: ShownHistory, found: Compared[Drawn]) -> Response:
    values = ends_of(view, target, history, found.old, found.new)
    return view.show("compare.html", **values, difference=found.drawing, moments=_moments(view))
