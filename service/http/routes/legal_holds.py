"""Legal holds."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.errors import HoldNotFound, HoldReleased
from service.http.audited_operations import audits
from service.http.auth.access import Holding, ReadingHolds
from service.http.bodies import body_of
from service.http.description.declarations import refuses
from service.http.exports import FILES, ListFile, list_answer, of_access, whole
from service.http.parameters import Once, Paged, PathId
from service.http.responses import answer, page_of
from service.http.schemas.retention import HoldRelease, NewHold
from service.usecases import legal_holds

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/holds", tags=["holds"])


@router.get("", response_model=page_of(legal_holds.Hold), responses=FILES)
def list_holds(request: Request, access: ReadingHolds, paging: Paged, file: ListFile) -> Response:
    """List the legal holds, newest first (auditor, admin, operator)."""
    read = partial(legal_holds.page, access.context, access.subscription_id)
    listed = whole("legal_hold", legal_holds.Hold, {}, read)
    return list_answer(request, file, of_access(access), listed, paging)


@router.post("", status_code=201, response_model=legal_holds.Hold)
@audits(Action.CREATE, "legal_hold", id_in="hold_id")
def place_hold(access: Holding, body: Annotated[NewHold, Depends(body_of(NewHold))], once: Once) -> Response:
    """Place a legal hold: the subscription, a resource or a user is kept from deletion (admin, operator)."""
    hold = legal_holds.place(access.context, access.caller, access.subscription_id, body.made(), once=once)
    return answer(hold, 201)


@router.get("/{hold_id}", response_model=legal_holds.Hold)
@refuses(HoldNotFound)
def get_hold(access: ReadingHolds, hold_id: PathId) -> Response:
    """Show a legal hold (auditor, admin, operator)."""
    return answer(legal_holds.get(access.context, access.subscription_id, ids.parse(hold_id)))


@router.post("/{hold_id}/release", response_model=legal_holds.Hold)
@audits(Action.UPDATE, "legal_hold", id_in="hold_id")
@refuses(HoldNotFound, HoldReleased)
def release_hold(
    access: Holding, hold_id: PathId, body: Annotated[HoldRelease, Depends(body_of(HoldRelease))], once: Once
) -> Response:
    """Release a legal hold (admin, operator)."""
    hold = legal_holds.release(
        access.context, access.caller, access.subscription_id, ids.parse(hold_id), body.reason, once=once
    )
    return answer(hold)
