"""Subscriptions, users and keys."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Role
from service.http.audited_operations import audits
from service.http.auth.access import Calling, Closing, Configuring, Creating, Managing, Seeing
from service.http.bodies import body_of
from service.http.parameters import Once, Paged
from service.http.requests import context_of
from service.http.responses import answer, page_answer, page_of, takes
from service.http.schemas.tenancy import (
    ClosingReason,
    NewApiKey,
    NewSubscription,
    NewUser,
    SubscriptionChange,
    UserChange,
)
from service.usecases import closing, keys, tenancy

router = APIRouter(prefix="/v1", tags=["tenancy"])


@router.post(
    "/subscriptions",
    status_code=201,
    response_model=tenancy.Subscription,
    openapi_extra=takes(NewSubscription),
)
@audits(Action.CREATE, "subscription")
def create_subscription(
    request: Request,
    caller: Creating,
    body: Annotated[NewSubscription, Depends(body_of(NewSubscription))],
    once: Once,
) -> Response:
    """Add a tenant (operator)."""
    made = tenancy.create_subscription(
        context_of(request), caller, body.name, require_if_match=body.require_if_match, once=once
    )
    return answer(made, 201)


@router.get("/subscriptions", response_model=page_of(tenancy.Subscription))
def list_subscriptions(request: Request, caller: Calling, paging: Paged) -> Response:
    """All subscriptions for the operator, one's own otherwise."""
    return page_answer(request, tenancy.subscriptions(context_of(request), caller, paging))


@router.get("/subscriptions/{subscription_id}", response_model=tenancy.Subscription)
def get_subscription(access: Seeing) -> Response:
    """One subscription."""
    return answer(tenancy.subscription(access.context, access.subscription_id))


@router.patch(
    "/subscriptions/{subscription_id}",
    response_model=tenancy.Subscription,
    openapi_extra=takes(SubscriptionChange),
)
@audits(Action.UPDATE, "subscription")
def change_subscription(
    access: Configuring, body: Annotated[SubscriptionChange, Depends(body_of(SubscriptionChange))]
) -> Response:
    """Set the name, and whether changes of resources need If-Match (admin, operator)."""
    changes = body.model_dump(include=body.model_fields_set)
    return answer(tenancy.change_subscription(access.context, access.caller, access.subscription_id, changes))


@router.post(
    "/subscriptions/{subscription_id}/close",
    response_model=tenancy.Subscription,
    openapi_extra=takes(ClosingReason),
)
@audits(Action.UPDATE, "subscription")
def close_subscription(
    access: Closing, body: Annotated[ClosingReason, Depends(body_of(ClosingReason))], once: Once
) -> Response:
    """Let it only be read from now on, and be purged when its time is over (operator)."""
    return answer(
        closing.close(access.context, access.caller, access.subscription_id, body.reason, once=once)
    )


@router.post(
    "/subscriptions/{subscription_id}/reopen",
    response_model=tenancy.Subscription,
    openapi_extra=takes(ClosingReason),
)
@audits(Action.UPDATE, "subscription")
def reopen_subscription(
    access: Closing, body: Annotated[ClosingReason, Depends(body_of(ClosingReason))], once: Once
) -> Response:
    """Let a closed one be as before, until its purge begins (operator)."""
    return answer(
        closing.reopen(access.context, access.caller, access.subscription_id, body.reason, once=once)
    )


@router.post(
    "/subscriptions/{subscription_id}/users",
    status_code=201,
    response_model=tenancy.User,
    openapi_extra=takes(NewUser),
)
@audits(Action.CREATE, "user", id_in="user_id")
def create_user(
    access: Managing, body: Annotated[NewUser, Depends(body_of(NewUser))], once: Once
) -> Response:
    """Add a user (admin, operator)."""
    user = tenancy.create_user(
        access.context,
        access.caller,
        access.subscription_id,
        username=body.username,
        email=body.email,
        role=Role(body.role),
        once=once,
    )
    return answer(user, 201)


@router.get("/subscriptions/{subscription_id}/users", response_model=page_of(tenancy.User))
def list_users(request: Request, access: Managing, paging: Paged) -> Response:
    """The users (admin, operator)."""
    return page_answer(request, tenancy.users(access.context, access.subscription_id, paging))


@router.patch(
    "/subscriptions/{subscription_id}/users/{user_id}",
    response_model=tenancy.User,
    openapi_extra=takes(UserChange),
)
@audits(Action.UPDATE, "user", id_in="user_id")
def change_user(
    access: Managing, user_id: str, body: Annotated[UserChange, Depends(body_of(UserChange))]
) -> Response:
    """Set a user's e-mail address or role (admin, operator)."""
    changes = body.model_dump(include=body.model_fields_set)
    user = tenancy.change_user(
        access.context, access.caller, access.subscription_id, ids.parse(user_id), changes
    )
    return answer(user)


@router.delete("/subscriptions/{subscription_id}/users/{user_id}", status_code=204)
@audits(Action.DELETE, "user", id_in="user_id")
def delete_user(access: Managing, user_id: str) -> Response:
    """Remove a user, its keys and its check-outs; history keeps its name (admin, operator)."""
    tenancy.delete_user(access.context, access.caller, access.subscription_id, ids.parse(user_id))
    return Response(status_code=204)


@router.post(
    "/subscriptions/{subscription_id}/api-keys",
    status_code=201,
    response_model=keys.NewKey,
    openapi_extra=takes(NewApiKey),
)
@audits(Action.CREATE, "api_key", id_in="key_id")
def create_key(
    access: Managing, body: Annotated[NewApiKey, Depends(body_of(NewApiKey))], once: Once
) -> Response:
    """Make a key; its secret is shown this once (admin, operator)."""
    key = keys.create_key(
        access.context,
        access.caller,
        access.subscription_id,
        user_id=body.user_id,
        name=body.name,
        expires_in_days=body.expires_in_days,
        once=once,
    )
    return answer(key, 201)


@router.get("/subscriptions/{subscription_id}/api-keys", response_model=page_of(keys.Key))
def list_keys(request: Request, access: Managing, paging: Paged) -> Response:
    """The keys without their secrets (admin, operator)."""
    return page_answer(request, keys.keys(access.context, access.subscription_id, paging))


@router.delete("/subscriptions/{subscription_id}/api-keys/{key_id}", status_code=204)
@audits(Action.DELETE, "api_key", id_in="key_id")
def delete_key(access: Managing, key_id: str) -> Response:
    """Remove a key, with effect at once (admin, operator)."""
    keys.delete_key(access.context, access.caller, access.subscription_id, ids.parse(key_id))
    return Response(status_code=204)


@router.get("/whoami")
def whoami(caller: Calling) -> Response:
    """Whom the key stands for."""
    return answer(
        {
            "user_id": caller.user_id,
            "username": caller.username,
            "role": caller.role,
            "subscription_id": caller.subscription_id,
        }
    )
