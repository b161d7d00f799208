"""Users."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Role
from service.domain.errors import LastAdmin, UsernameTaken, UserNotFound
from service.http.audited_operations import audits
from service.http.auth.access import Erasing, Managing, ReadingUsers
from service.http.bodies import body_of
from service.http.description.declarations import refuses
from service.http.exports import FILES, ListFile, list_answer, of_access, whole
from service.http.parameters import Once, Paged, PathId
from service.http.responses import answer, page_of
from service.http.schemas.users import NewUser, UserQuery, UserUpdate
from service.usecases import users

router = APIRouter(prefix="/v1", tags=["tenancy"])


@router.post(
    "/subscriptions/{subscription_id}/users",
    status_code=201,
    response_model=users.User,
)
@audits(Action.CREATE, "user", id_in="user_id")
@refuses(UsernameTaken)
def create_user(
    access: Managing, body: Annotated[NewUser, Depends(body_of(NewUser))], once: Once
) -> Response:
    """Add a user (admin, operator)."""
    user = users.create_user(
        access.context,
        access.caller,
        access.subscription_id,
        username=body.username,
        kind=body.kind,
        email=body.email,
        role=Role(body.role),
        once=once,
    )
    return answer(user, 201)


@router.get("/subscriptions/{subscription_id}/users", response_model=page_of(users.User), responses=FILES)
def list_users(
    request: Request,
    access: ReadingUsers,
    paging: Paged,
    file: ListFile,
    narrow: Annotated[UserQuery, Query()],
) -> Response:
    """List the users, persons and service accounts (auditor, admin, operator)."""
    read = partial(users.users, access.context, access.subscription_id, narrow.kind)
    listed = whole("user", users.User, narrow.model_dump(exclude_none=True), read)
    return list_answer(request, file, of_access(access), listed, paging)


@router.patch(
    "/subscriptions/{subscription_id}/users/{user_id}",
    response_model=users.User,
)
@audits(Action.UPDATE, "user", id_in="user_id")
@refuses(UserNotFound, LastAdmin)
def update_user(
    access: Managing, user_id: PathId, body: Annotated[UserUpdate, Depends(body_of(UserUpdate))]
) -> Response:
    """Set a user's e-mail address or role; null erases the address (admin, operator)."""
    changes = body.model_dump(include=body.model_fields_set)
    user = users.update_user(
        access.context, access.caller, access.subscription_id, ids.parse(user_id), changes
    )
    return answer(user)


@router.delete("/subscriptions/{subscription_id}/users/{user_id}/email", status_code=204)
@audits(Action.UPDATE, "user", id_in="user_id")
@refuses(UserNotFound)
def erase_email(access: Erasing, user_id: PathId) -> Response:
    """Erase the e-mail address of a user, or of a former one whom history names (admin, operator).

    A subscription that is closed takes this call, too.
    """
    users.erase_email(access.context, access.caller, access.subscription_id, ids.parse(user_id))
    return Response(status_code=204)


@router.delete("/subscriptions/{subscription_id}/users/{user_id}", status_code=204)
@audits(Action.DELETE, "user", id_in="user_id")
@refuses(UserNotFound, LastAdmin)
def delete_user(access: Managing, user_id: PathId) -> Response:
    """Remove a user, its keys and its check-outs; history keeps its name (admin, operator)."""
    users.delete_user(access.context, access.caller, access.subscription_id, ids.parse(user_id))
    return Response(status_code=204)
