"""References between workflows and connectors."""

from functools import partial

from fastapi import APIRouter, Request, Response

from service.http.auth.access import Reading
from service.http.exports import FILES, ListFile, list_answer, of_access, whole
from service.http.parameters import RESOURCE_PATH, Paged, Targeted
from service.http.responses import page_of
from service.usecases import references

router = APIRouter(prefix=RESOURCE_PATH, tags=["resources"])


@router.get("/references", response_model=page_of(references.Reference), responses=FILES)
def list_references(
    request: Request, access: Reading, target: Targeted, paging: Paged, file: ListFile
) -> Response:
    """List the connectors that a workflow names, or the live workflows that name a connector."""
    kind, resource_id = target.kind, target.resource_id
    read = partial(references.page, access.context, access.subscription_id, kind, resource_id)
    filters = {"of": "references", "resource_id": resource_id}
    listed = whole(kind, references.Reference, filters, read)
    return list_answer(request, file, of_access(access), listed, paging)
