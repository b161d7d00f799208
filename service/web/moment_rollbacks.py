"""Rollback of a folder, a workspace or everything to a moment: choose, see, do what was seen."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlencode

from fastapi import APIRouter, Response

from service.committer.changes import RollBackMany, Skipped
from service.domain import ids
from service.domain.actions import Action
from service.domain.errors import (
    AmbiguousRef,
    AnnalsError,
    CheckedOut,
    CommitNotFound,
    Invalid,
    PathNotFound,
    QuotaExceeded,
    StaleVersion,
)
from service.domain.ids import ResourceId
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind
from service.http.admission import in_thread
from service.http.audited_operations import audits
from service.http.bodies import checked, invalid_body
from service.http.schemas.versions import RollbackManyRequest
from service.usecases import as_of, moments, rollbacks, trees
from service.usecases.as_of import Since
from service.usecases.moments import PastMoment
from service.usecases.rollbacks import PreviewedMany, RolledBackMany
from service.usecases.trees import Branch
from service.web.cookies import zone_of
from service.web.filter_forms import end_of_second
from service.web.gate import Changing, Posted, View, Writing

PAGE = "/s/{subscription_id}/roll-back"
# Rows of a list, whose length the page tells.
SHOWN = 200
# Versions that are named if they were saved after the page was shown.
MEANWHILE = 5
# Times that a form tries to roll back, while others save something else.
_TRIES = 3
# What the API rolls back as a whole.
_ROOTS = frozenset({Kind.FOLDER, Kind.WORKSPACE})

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Root:
    """Resource that is rolled back with all that lies in it, and its place; None for all resources."""

    given: str
    named: tuple[Kind, ResourceId] | None
    name: str
    page: str
    place: Branch | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """Effect of a rollback; `committed_at` is the time of the commit if it is to a commit."""

    found: PreviewedMany
    committed_at: datetime | None

    @property
    def digest(self) -> str:
        """Digest of what would change, from which version to which."""
        changes = self.found.versions
        pairs = sorted((str(each.resource_id), each.from_version, each.to_version) for each in changes)
        return sha256(repr(pairs).encode()).hexdigest()


@dataclass(slots=True)
class Latest:
    """The latest preview that was made for a form, if any."""

    preview: Preview | None = None


@router.get(PAGE)
async def show_roll_back(view: Changing) -> Response:
    """Ask for a moment, or show what a rollback to it would change."""
    root = await _root_of(view, view.asked("root"))
    try:
        moment = _moment_of(view)
    except Invalid as error:
        view.refuse(error, await _choice(view, root, error))
    if moment is None:
        return await _choice(view, root)
    if view.asked("to") != moment:
        # One address for one moment, in whatever zone it was chosen.
        return view.lead_to(_address(view, root, moment))
    try:
        return await _preview(view, root, moment)
    except (CommitNotFound, AmbiguousRef) as error:
        view.refuse(error, await _choice(view, root, error))


@router.post(PAGE)
@audits(Action.ROLLBACK, "subscription")
async def roll_back(view: Writing) -> Response:
    """Roll back, if it changes exactly what the page showed."""
    root = await _root_of(view, view.form.text("root"))
    try:
        moment = _named_moment(view, view.form.text("to") or "", "This is neither a time nor a commit id.")
    except Invalid as error:
        view.refuse(error, await _choice(view, root, error))
    latest = Latest()
    try:
        asked = view.form.checked(RollbackManyRequest, {"to": moment, "comment": view.form.text("comment")})
        change = RollBackMany(
            author=view.author,
            to=asked.to,
            root=root.named,
            comment=asked.comment,
            if_match=(view.form.text("seen") or "",),
            once=view.once,
        )
        done = await _rolled_back(view, root, change, latest)
    except (CommitNotFound, AmbiguousRef) as error:
        view.refuse(error, await _choice(view, root, error))
    except (StaleVersion, CheckedOut, Invalid, QuotaExceeded) as error:
        view.refuse(error, await _preview(view, root, moment, error, latest.preview))
    return view.lead_to(root.page, done="nothing-to-roll-back" if done.unchanged else "rolled-back-many")


async def _rolled_back(view: Posted, root: Root, change: RollBackMany, latest: Latest) -> RolledBackMany:
    """Roll back what the page showed.

    Others may have saved something else meanwhile, as they do all the time in a busy subscription: then the
    preview is made again, as `latest`, and if it is still the same, so is the rollback. Raises StaleVersion
    otherwise.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            return await rollbacks.roll_back_many(view.context, change)
        except StaleVersion:
            now = latest.preview = await _foretold(view, root, change.to)
            head = now.found.head
            if not tries_left or head is None or now.digest != view.form.text("shown"):
                raise
            change = replace(change, if_match=(head,))
    raise AssertionError


async def _root_of(view: View, given: str | None) -> Root:
    """Find what an address names as `workspaces/<id>`; raises ResourceNotFound, PathNotFound, Invalid."""
    if given is None:
        return Root("", None, view.tenant, f"{view.base}/resources")
    collection, _, text = given.partition("/")
    kind, resource_id = KIND_OF_COLLECTION.get(collection), ids.parse(text)
    if kind is None or resource_id is None:
        raise PathNotFound("There is no such resource in this subscription.")
    if kind not in _ROOTS:
        raise Invalid(f"A {kind} goes back by its versions: a folder or a workspace goes back to a moment.")
    named = (kind, ResourceId(resource_id))
    found = await in_thread(view.request, trees.place_in, view.context, view.subscription_id, named)
    name = found.root.name if found.root else ""
    return Root(given, named, name, f"{view.base}/{given}", found)


def _moment_of(view: View) -> str | None:
    """Moment of the address, as the API writes it; None if there is none yet. Raises Invalid."""
    if view.asked("commit") and view.asked("at"):
        raise Invalid("Choose a time or a commit: both are filled in.")
    given = view.asked("commit") or view.asked("to") or view.asked("at")
    if given is None:
        if "at" in view.request.query_params:
            raise Invalid("Choose a moment or a commit.")
        return None
    if given == view.asked("at"):
        try:
            # A field for date and time has no zone: it is the reader's.
            typed = datetime.fromisoformat(given).replace(tzinfo=zone_of(view.request))
            given = min(end_of_second(typed), max(typed, view.context.clock())).isoformat()
        except (ValueError, OverflowError):
            raise Invalid("This is no date with a time: take them from the calendar.") from None
    if given == view.asked("commit"):
        return _named_moment(view, given, "This is no commit id: it has 7 to 40 of the digits 0–9 and a–f.")
    other = "This is neither a time nor a commit id: choose one of the moments, or a time."
    return _named_moment(view, given, other)


def _named_moment(view: View, given: str, other: str) -> str:
    """Return a moment as the API writes it; raises Invalid, for any other text with the words `other`."""
    asked = checked(RollbackManyRequest, {"to": given})
    if isinstance(asked, list):
        raise Invalid(other)
    if isinstance(asked.to, str):
        return asked.to
    if asked.to > view.context.clock():
        raise Invalid("This moment is yet to come: choose an earlier one.")
    try:
        return _instant(asked.to)
    except OverflowError:
        raise Invalid("There is no such time: take it from the calendar.") from None


def _named(moment: PastMoment) -> str:
    """Name a moment as an address has it: a save by its commit, others by their time."""
    return moment.version.commit if moment.mark is None else _instant(moment.at)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _address(view: View, root: Root, moment: str) -> str:
    asked = {"root": root.given, "to": moment} if root.given else {"to": moment}
    return f"{view.base}/roll-back?{urlencode(asked)}"


async def _choice(view: View, root: Root, error: AnnalsError | None = None) -> Response:
    return await in_thread(view.request, _show_choice, view, root, error)


def _show_choice(view: View, root: Root, error: AnnalsError | None) -> Response:
    latest = moments.latest(view.context, view.subscription_id, root.named)
    return view.show(
        "moment_choice.html",
        root=root,
        moments=[(each, _address(view, root, _named(each))) for each in latest],
        problem=error,
        at=view.asked("at") or "",
        commit=view.asked("commit") or (view.asked("to") if error else None) or "",
    )


async def _preview(
    view: View,
    root: Root,
    moment: str,
    error: AnnalsError | None = None,
    found: Preview | None = None,
) -> Response:
    """Show what a rollback would change; `error` refused the form that was sent before.

    `found` is the preview, if it was made already.
    """
    try:
        asked = checked(RollbackManyRequest, {"to": moment})
        if isinstance(asked, list):
            raise invalid_body(asked)
        if found is None:
            found = await _foretold(view, root, asked.to)
    except CheckedOut as lock:
        page = await in_thread(view.request, _show_locks, view, root, moment, lock)
        if error is None:
            return page
        view.refuse(error, page)
    since = None
    seen = view.form.text("seen") if isinstance(view, Posted) else None
    if isinstance(error, StaleVersion) and seen:
        # A page that was made by hand may name any commit.
        with suppress(CommitNotFound, AmbiguousRef):
            since = await in_thread(
                view.request, as_of.since, view.context, view.subscription_id, seen, MEANWHILE
            )
    return await in_thread(view.request, _show, view, root, moment, asked.to, found, since, error)


async def _foretold(view: View, root: Root, to: datetime | str) -> Preview:
    """Make the preview of a rollback."""
    at = None
    if isinstance(to, str):
        at = await in_thread(view.request, as_of.committed_at, view.context, view.subscription_id, to)
    change = RollBackMany(author=view.author, to=to, root=root.named)
    return Preview(await rollbacks.preview_many(view.context, change), at)


def _show(
    view: View,
    root: Root,
    moment: str,
    to: datetime | str,
    preview: Preview,
    since: Since | None,
    error: AnnalsError | None,
) -> Response:
    changes = preview.found.versions
    return view.show(
        "moment_roll_back.html",
        root=root,
        moment=moment,
        commit=None if isinstance(to, datetime) else moment,
        instant=to if isinstance(to, datetime) else preview.committed_at,
        head=preview.found.head,
        shown=preview.digest,
        changes=changes[:SHOWN],
        count=len(changes),
        skipped=_by_reason(preview.found.skipped),
        problem=error,
        is_stale=isinstance(error, StaleVersion),
        since=since,
        comment=(view.form.text("comment") or "") if isinstance(view, Posted) else "",
    )


def _by_reason(skipped: list[Skipped]) -> list[tuple[str, int, list[Skipped]]]:
    """Group the resources that stay as they are by the reason: how many, and the first of them."""
    counts = Counter(each.reason for each in skipped)
    return [
        (reason, count, [each for each in skipped if each.reason == reason][:SHOWN])
        for reason, count in counts.items()
    ]


def _show_locks(view: View, root: Root, moment: str, lock: CheckedOut) -> Response:
    check_outs = lock.facts["check_outs"]
    return view.show(
        "moment_locked.html",
        root=root,
        moment=moment,
        check_outs=check_outs[:SHOWN],
        count=len(check_outs),
        was_refused=isinstance(view, Posted),
        comment=(view.form.text("comment") or "") if isinstance(view, Posted) else "",
    )
