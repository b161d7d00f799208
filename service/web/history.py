"""The history of a resource: its versions, each with why it was made, beside the resource now."""

from fastapi import APIRouter, Response

from service.domain.pagination import Page, Paging
from service.domain.resource_kinds import Kind
from service.http.parameters import Target, Targeted
from service.http.schemas.versions import VersionQuery
from service.usecases import histories, references
from service.usecases.histories import ShownHistory, ShownResource
from service.usecases.references import Reference
from service.web import change_summaries, documents
from service.web.cookies import zone_of
from service.web.documents import Picture
from service.web.filter_forms import field_time, filters_of, pushed, query_of, shortened
from service.web.gate import RESOURCE_PAGE, View, Viewing

VERSIONS = 25
_REFERENCES = 20
_FILTERS = ("author", "tag", "published", "since", "until")

router = APIRouter(include_in_schema=False)


@router.get(RESOURCE_PAGE)
def history(view: Viewing, target: Targeted) -> Response:
    """Show the versions of a resource, newest first."""
    if (short := shortened(view, (*_FILTERS, "cursor"))) is not None:
        return short
    narrow = filters_of(view, VersionQuery, _FILTERS)
    found = histories.read(
        view.context,
        view.subscription_id,
        target.kind,
        target.resource_id,
        narrow.model_dump(exclude_none=True),
        view.paging(VERSIONS),
        purged=view.reads_purged,
    )
    zone = zone_of(view.request)
    answer = view.show(
        "history.html",
        kind=target.kind,
        resource_id=str(target.resource_id),
        here=view.page_of(target),
        history=found,
        summaries=change_summaries.of_pairs(
            view, {line.version_number: (line.blob_before, line.git_blob_id) for line in found.page.items}
        ),
        same_as=_same_as(found),
        references=_references(view, target, found.standing),
        picture=_picture(view, found.standing.state.git_blob_id),
        narrow=narrow,
        since=field_time(narrow.since, zone),
        until=field_time(narrow.until, zone),
        filters=query_of(view, _FILTERS),
    )
    return pushed(view, _FILTERS, answer)


def _same_as(history: ShownHistory) -> dict[int, int | None]:
    """Number of the newest older version of the page with the same document, as after a rollback.

    A version that left the document as it was has none.
    """
    lines = history.page.items
    return {
        line.version_number: next(
            (older.version_number for older in lines[at + 1 :] if older.git_blob_id == line.git_blob_id), None
        )
        if line.git_blob_id != line.blob_before
        else None
        for at, line in enumerate(lines)
    }


def _picture(view: View, blob_id: str) -> Picture:
    return histories.drawn(view.context, view.subscription_id, blob_id, documents.picture_of)


def _references(view: View, target: Target, standing: ShownResource) -> Page[Reference]:
    """List the first connectors that a workflow names, or the workflows that name a connector."""
    if target.kind not in (Kind.WORKFLOW, Kind.CONNECTOR) or standing.state.is_purged:
        return Page([], None)
    paging = Paging(_REFERENCES)
    return references.page(view.context, view.subscription_id, target.kind, target.resource_id, paging)
