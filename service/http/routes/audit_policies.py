"""Policy of the audit log."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import ManagingPolicy, ReadingLogs
from service.http.bodies import body_of
from service.http.responses import answer
from service.http.schemas.audit_policies import NewAuditPolicy
from service.usecases import audit_policies

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/audit-policy", tags=["logs"])


@router.get("", response_model=audit_policies.AuditPolicy)
def get_audit_policy(access: ReadingLogs) -> Response:
    """Show which events the audit log keeps, and how much of each (auditor, admin)."""
    return answer(audit_policies.get(access.context, access.subscription_id))


@router.put("", response_model=audit_policies.AuditPolicy)
@audits(Action.UPDATE, "audit_policy")
def put_audit_policy(
    access: ManagingPolicy, body: Annotated[NewAuditPolicy, Depends(body_of(NewAuditPolicy))]
) -> Response:
    """Set which events the audit log keeps, and how much of each (admin)."""
    rules = [rule.made() for rule in body.rules]
    return answer(audit_policies.replace(access.context, access.caller, access.subscription_id, rules))
