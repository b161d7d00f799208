"""References between workflows and connectors."""

from fastapi import APIRouter, Request, Response

from service.http.auth.access import Reading
from service.http.parameters import RESOURCE_PATH, Paged, Targeted
from service.http.responses import page_answer, page_of
from service.usecases import references

router = APIRouter(prefix=RESOURCE_PATH, tags=["resources"])


@router.get("/references", response_model=page_of(references.Reference))
def list_references(request: Request, access: Reading, target: Targeted, paging: Paged) -> Response:
    """List the connectors that a workflow names, or the live workflows that name a connector."""
    found = references.page(access.context, access.subscription_id, target.kind, target.resource_id, paging)
    return page_answer(request, found)
