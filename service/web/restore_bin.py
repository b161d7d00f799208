"""Pages of the restore bin: deletions, each with its parts and its document."""

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from service.domain import ids
from service.domain.actions import EventOrigin
from service.domain.errors import DeletionNotFound
from service.domain.resource_kinds import Kind
from service.http.schemas.fields import QueryText
from service.http.schemas.filters import ReportedId
from service.usecases import deletions, versions
from service.usecases.deletions import Deletion
from service.web.filter_forms import filters_of, pushed, shortened
from service.web.gate import View, Viewing

SHOWN = 25
PARTS_SHOWN = 50
# Bytes of a deleted document that its page shows.
DOCUMENT_SHOWN = 20_000

router = APIRouter(include_in_schema=False)


class BinQuery(BaseModel):
    """The filters of the bin, as its form sends them; without a state it shows what can be restored."""

    resource_type: QueryText | None = None
    name: QueryText | None = None
    deleted_by: ReportedId | None = None
    state: Literal["restorable", "over", "all"] | None = None
    parts: Literal["1"] | None = None
    resource_id: ReportedId | None = None


_FILTERS = tuple(BinQuery.model_fields)
_RESTORABLE = {"restorable": True, "over": False, "all": None}
# Filters other than the state.
_NARROWING = tuple(name for name in _FILTERS if name not in ("state", "parts"))


def deletion_id_of(deletion_id: str) -> UUID:
    """Id of the deletion that a path names; raises DeletionNotFound for what is no id."""
    found = ids.parse(deletion_id)
    if found is None:
        raise DeletionNotFound(f"There is no deletion {deletion_id!r} in this subscription.")
    return found


Named = Annotated[UUID, Depends(deletion_id_of)]


@router.get("/s/{subscription_id}/deletions")
def list_deletions(view: Viewing) -> Response:
    """List what can be restored, or what else was deleted, newest first."""
    short = shortened(view, _FILTERS)
    if short is not None:
        return short
    query = filters_of(view, BinQuery, _FILTERS)
    # A link to the deletions of one resource asks for all of them.
    state = query.state or ("all" if query.resource_id else "restorable")
    filters = deletions.filter_of(
        resource_type=query.resource_type,
        resource_id=query.resource_id,
        parent_resource_id=None,
        name_part=query.name,
        deleted_by=query.deleted_by,
        restorable=_RESTORABLE[state],
        cascade_level=None if query.parts or query.resource_id else 0,
    )
    found = deletions.page(view.context, view.subscription_id, filters, view.paging(SHOWN))
    asked = {name: view.asked(name) or "" for name in _FILTERS}
    answer = view.show(
        "deletions.html",
        deletions=found.items,
        places=deletions.places(view.context, view.subscription_id, found.items),
        next=found.next_cursor,
        address=view.address,
        kinds=[str(kind) for kind in Kind],
        asked=asked,
        shows_all=state == "all",
        narrows=any(asked[name] for name in _NARROWING),
        wider=f"{view.request.url.path}?{urlencode(_given(asked) | {'state': 'all'})}",
    )
    return pushed(view, _FILTERS, answer)


@router.get("/s/{subscription_id}/deletions/{deletion_id}")
def show_deletion(view: Viewing, deletion_id: Named) -> Response:
    """Show a deletion: its parts, and the document as it was."""
    found = deletions.get_text(view.context, view.subscription_id, deletion_id, purged=view.reads_purged)
    parts = None
    if found.root_deletion_id is not None and sum(found.counts.values()) > 1:
        filters = deletions.filter_of(
            resource_type=None,
            resource_id=None,
            parent_resource_id=found.resource_id,
            root_deletion_id=found.root_deletion_id,
        )
        parts = deletions.page(view.context, view.subscription_id, filters, view.paging(PARTS_SHOWN))
    return view.show(
        "deletion.html",
        deletion=found,
        places=deletions.places(view.context, view.subscription_id, [found]),
        parts_in_it=() if parts is None else parts.items,
        next=None if parts is None else parts.next_cursor,
        address=view.address,
        document=_document(found.text),
        has_history=has_history(view, found),
        is_purged=found.purged_at is not None or not found.is_soft_delete,
    )


def _given(asked: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in asked.items() if value}


def has_history(view: View, deletion: Deletion) -> bool:
    """Tell if the deleted resource, restored or not, has a page that the caller may read."""
    if deletion.origin == EventOrigin.POSTED:
        return False
    return versions.can_be_read(
        view.context,
        view.subscription_id,
        Kind(deletion.resource_type),
        UUID(deletion.resource_id),
        purged=view.reads_purged,
    )


def _document(text: bytes | None) -> tuple[str, bool] | None:
    """Beginning of a document that the page shows, and whether that is all of it."""
    if text is None:
        return None
    # Cut before it is decoded, so that a large one costs no more than a small one.
    shown = text[:DOCUMENT_SHOWN].decode(errors="ignore")
    return shown, len(text) <= DOCUMENT_SHOWN


def path_of(view: View, deletion_id: UUID) -> str:
    """Path of the page of a deletion."""
    return f"{view.base}/deletions/{deletion_id}"
