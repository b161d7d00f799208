"""Subscriptions."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.domain.actions import Action
from service.domain.errors import Held, SubscriptionClosed, SubscriptionOpen
from service.http.audited_operations import audits
from service.http.auth.access import Calling, Closing, Configuring, Creating, Seeing
from service.http.bodies import body_of
from service.http.description.declarations import refuses
from service.http.exports import FILES, ListFile, list_answer, of_caller, whole
from service.http.parameters import Once, Paged
from service.http.requests import context_of, origins_changed
from service.http.responses import answer, page_of
from service.http.schemas.subscriptions import ClosingReason, NewSubscription, SubscriptionUpdate
from service.usecases import closing, subscriptions

router = APIRouter(prefix="/v1", tags=["tenancy"])


@router.post(
    "/subscriptions",
    status_code=201,
    response_model=subscriptions.Subscription,
)
@audits(Action.CREATE, "subscription")
def create_subscription(
    request: Request,
    caller: Creating,
    body: Annotated[NewSubscription, Depends(body_of(NewSubscription))],
    once: Once,
) -> Response:
    """Add a tenant (operator)."""
    made = subscriptions.create_subscription(
        context_of(request), caller, body.name, require_if_match=body.require_if_match, once=once
    )
    return answer(made, 201)


@router.get("/subscriptions", response_model=page_of(subscriptions.Subscription), responses=FILES)
def list_subscriptions(request: Request, caller: Calling, paging: Paged, file: ListFile) -> Response:
    """List all subscriptions for the operator, and the caller's own for others."""
    read = partial(subscriptions.subscriptions, context_of(request), caller)
    listed = whole("subscription", subscriptions.Subscription, {}, read)
    return list_answer(request, file, of_caller(request, caller), listed, paging)


@router.get("/subscriptions/{subscription_id}", response_model=subscriptions.MeasuredSubscription)
def get_subscription(access: Seeing) -> Response:
    """Show a subscription, with its quotas and what is used of them."""
    return answer(subscriptions.subscription(access.context, access.subscription_id))


@router.patch(
    "/subscriptions/{subscription_id}",
    response_model=subscriptions.MeasuredSubscription,
)
@audits(Action.UPDATE, "subscription")
def update_subscription(
    request: Request,
    access: Configuring,
    body: Annotated[SubscriptionUpdate, Depends(body_of(SubscriptionUpdate))],
) -> Response:
    """Set the name, if changes need If-Match, whose pages may call (admin, operator); quotas (operator)."""
    changes = body.model_dump(exclude_unset=True)
    updated = subscriptions.update_subscription(
        access.context, access.caller, access.subscription_id, changes
    )
    origins_changed(request, access.subscription_id)
    return answer(updated)


@router.post(
    "/subscriptions/{subscription_id}/close",
    response_model=subscriptions.Subscription,
)
@audits(Action.UPDATE, "subscription")
@refuses(SubscriptionClosed, Held)
def close_subscription(
    access: Closing, body: Annotated[ClosingReason, Depends(body_of(ClosingReason))], once: Once
) -> Response:
    """Close a subscription: it can only be read, and is purged when its time is over (operator)."""
    return answer(
        closing.close(access.context, access.caller, access.subscription_id, body.reason, once=once)
    )


@router.post(
    "/subscriptions/{subscription_id}/reopen",
    response_model=subscriptions.Subscription,
)
@audits(Action.UPDATE, "subscription")
@refuses(SubscriptionClosed, SubscriptionOpen)
def reopen_subscription(
    access: Closing, body: Annotated[ClosingReason, Depends(body_of(ClosingReason))], once: Once
) -> Response:
    """Reopen a closed subscription, before its purge begins (operator)."""
    return answer(
        closing.reopen(access.context, access.caller, access.subscription_id, body.reason, once=once)
    )
