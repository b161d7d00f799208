"""Legal holds: list them, place one, release one."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import AnnalsError
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind
from service.http.audited_operations import audits
from service.http.schemas.retention import HoldRelease, NewHold
from service.usecases import legal_holds
from service.web import settings
from service.web.cookies import zone_of
from service.web.filter_forms import zoned
from service.web.gate import Form, Posted, View, posting, viewing

PATH = "/s/{subscription_id}/settings/holds"
# Rows of a page.
SHOWN = 50

router = APIRouter(include_in_schema=False)
ReadingHolds = Annotated[View, Depends(viewing(Right.READ_HOLDS))]
PostingHolds = Annotated[Posted, Depends(posting(Right.HOLD))]


@router.get(PATH)
def list_holds(view: ReadingHolds) -> Response:
    """Show the holds, and the form that places one; a page of a resource may name it in the address."""
    return _list(view, typed=view.request.query_params)


@router.post(PATH)
@audits(Action.CREATE, "legal_hold")
def place_hold(posted: PostingHolds) -> Response:
    """Place a hold on everything, on a resource or on a user."""
    form = posted.form
    with posted.refused_on(lambda problem: _list(posted, problem, form.fields)):
        wanted = form.checked(NewHold, terms_of(posted.request, form)).made()
        legal_holds.place(posted.context, posted.caller, posted.subscription_id, wanted, once=posted.once)
    return posted.lead_to(f"{posted.base}/settings/holds", done="hold-placed")


@router.get(PATH + "/{hold_id}")
def show_hold(view: ReadingHolds, hold_id: str) -> Response:
    """Show a hold, and the form that releases it."""
    return _hold(view, hold_id)


@router.post(PATH + "/{hold_id}/release")
@audits(Action.UPDATE, "legal_hold", id_in="hold_id")
def release_hold(posted: PostingHolds, hold_id: str) -> Response:
    """Release a hold."""
    form = posted.form
    with posted.refused_on(lambda problem: _hold(posted, hold_id, problem, form.fields)):
        wanted = form.checked(HoldRelease, {"reason": form.text("reason")})
        legal_holds.release(
            posted.context,
            posted.caller,
            posted.subscription_id,
            ids.parse(hold_id),
            wanted.reason,
            once=posted.once,
        )
    return posted.lead_to(f"{posted.base}/settings/holds", done="hold-released")


def terms_of(request: Request, form: Form) -> dict[str, str | None]:
    """Read the terms of a hold from a form, whose `on` says which of its fields count."""
    until = form.text("until")
    terms = {"reason": form.text("reason"), "until": until and zoned(until, zone_of(request))}
    match form.text("on"):
        case "resource":
            kind, resource_id = named_resource(form.text("resource") or "")
            # An empty id is refused by the API's rule, where a missing one would hold everything.
            return terms | {"resource_type": kind or form.text("resource_type"), "resource_id": resource_id}
        case "user":
            return terms | {"user_id": form.text("user") or form.text("user_id") or ""}
        case "everything":
            return terms
        case _:
            return terms | {"user_id": ""}


def named_resource(text: str) -> tuple[Kind | None, str]:
    """Read the kind and the id of a resource from the address of its page, or the id alone."""
    parts = text.partition("?")[0].rstrip("/").split("/")
    for collection, resource_id in pairwise(parts):
        if collection in KIND_OF_COLLECTION:
            return KIND_OF_COLLECTION[collection], resource_id
    return None, parts[-1]


def _list(view: View, problem: AnnalsError | None = None, typed: Mapping[str, str] | None = None) -> Response:
    page = legal_holds.page(view.context, view.subscription_id, view.paging(SHOWN))
    return settings.show(
        view,
        "settings_holds.html",
        problem=problem,
        page=page,
        names=legal_holds.names_of(view.context, view.subscription_id, page.items),
        people=settings.people(view, Right.HOLD),
        kinds=list(Kind),
        typed=typed or {},
    )


def _hold(
    view: View, hold_id: str, problem: AnnalsError | None = None, typed: Mapping[str, str] | None = None
) -> Response:
    hold = legal_holds.get(view.context, view.subscription_id, ids.parse(hold_id))
    return settings.show(
        view,
        "settings_hold.html",
        problem=problem,
        hold=hold,
        names=legal_holds.names_of(view.context, view.subscription_id, [hold]),
        typed=typed or {},
    )
