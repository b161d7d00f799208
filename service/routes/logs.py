"""The audit log."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.answers import page_answer, page_of
from service.deps import Paged, ReadingLogs
from service.schemas import AuditQuery
from service.usecases import logs

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}", tags=["logs"])


@router.get("/audit-logs", response_model=page_of(logs.AuditEvent))
def list_audit_logs(
    request: Request, access: ReadingLogs, paging: Paged, narrow: Annotated[AuditQuery, Query()]
) -> Response:
    """What was done, newest first (auditor, admin)."""
    found = logs.audit_page(
        access.context, access.subscription_id, narrow.model_dump(exclude_none=True), paging
    )
    return page_answer(request, found)
