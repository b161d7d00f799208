"""API keys, and the caller that a key stands for."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.errors import KeyNotFound, OwnKey, UserNotFound
from service.http.audited_operations import audits
from service.http.auth.access import Calling, Managing, ReadingUsers
from service.http.bodies import body_of
from service.http.description.declarations import refuses
from service.http.exports import FILES, ListFile, list_answer, of_access, whole
from service.http.parameters import Once, Paged, PathId
from service.http.responses import answer, page_of
from service.http.schemas.answers import CallerIdentity
from service.http.schemas.api_keys import NewApiKey
from service.usecases import api_keys

router = APIRouter(prefix="/v1", tags=["tenancy"])


@router.post(
    "/subscriptions/{subscription_id}/api-keys",
    status_code=201,
    response_model=api_keys.NewKey,
)
@audits(Action.CREATE, "api_key", id_in="key_id")
@refuses(UserNotFound)
def create_api_key(
    access: Managing, body: Annotated[NewApiKey, Depends(body_of(NewApiKey))], once: Once
) -> Response:
    """Make a key; its secret is shown only once (admin, operator)."""
    key = api_keys.create_key(
        access.context,
        access.caller,
        access.subscription_id,
        user_id=body.user_id,
        name=body.name,
        expires_in_days=body.expires_in_days,
        once=once,
    )
    return answer(key, 201)


@router.get(
    "/subscriptions/{subscription_id}/api-keys", response_model=page_of(api_keys.Key), responses=FILES
)
def list_api_keys(request: Request, access: ReadingUsers, paging: Paged, file: ListFile) -> Response:
    """List the keys without their secrets (auditor, admin, operator)."""
    read = partial(api_keys.keys, access.context, access.subscription_id)
    listed = whole("api_key", api_keys.Key, {}, read)
    return list_answer(request, file, of_access(access), listed, paging)


@router.delete("/subscriptions/{subscription_id}/api-keys/{key_id}", status_code=204)
@audits(Action.DELETE, "api_key", id_in="key_id")
@refuses(KeyNotFound, OwnKey)
def delete_api_key(access: Managing, key_id: PathId) -> Response:
    """Delete a key, with effect at once, but not the key of the call itself (admin, operator)."""
    api_keys.delete_key(access.context, access.caller, access.subscription_id, ids.parse(key_id))
    return Response(status_code=204)


@router.get("/whoami", response_model=CallerIdentity)
def whoami(caller: Calling) -> Response:
    """Show the caller that the key stands for."""
    return answer(
        {
            "user_id": caller.user_id,
            "username": caller.username,
            "kind": caller.kind,
            "role": caller.role,
            "subscription_id": caller.subscription_id,
        }
    )
