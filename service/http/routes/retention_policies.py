"""Retention policies: for how long logs are kept."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import Maintaining
from service.http.bodies import body_of
from service.http.exports import FILES, ListFile, of_caller, whole
from service.http.requests import context_of
from service.http.responses import answer
from service.http.schemas.retention import NewRetentionPolicies
from service.usecases import retention_policies

router = APIRouter(prefix="/v1/retention-policies", tags=["maintenance"])


@router.get("", response_model=retention_policies.RetentionPolicies, responses=FILES)
def get_retention_policies(request: Request, caller: Maintaining, file: ListFile) -> Response:
    """Show for how long each level is kept (operator)."""
    if file is not None:
        read = partial(retention_policies.listed, context_of(request))
        listed = whole("retention_policy", retention_policies.PolicyRow, {}, read)
        return file.whole(of_caller(request, caller), listed)
    return answer(retention_policies.get(context_of(request)))


@router.put(
    "",
    response_model=retention_policies.RetentionPolicies,
)
@audits(Action.UPDATE, "retention_policy")
def put_retention_policies(
    request: Request,
    caller: Maintaining,
    body: Annotated[NewRetentionPolicies, Depends(body_of(NewRetentionPolicies))],
) -> Response:
    """Set for how long each level is kept (operator)."""
    wanted = [rule.made() for rule in body.policies]
    return answer(retention_policies.replace(context_of(request), caller, wanted, confirm=body.confirm))
