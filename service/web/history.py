"""The history of a resource: its versions, each with why it was made, beside the resource now."""

from fastapi import APIRouter, Response

from service.http.parameters import Targeted
from service.http.schemas.versions import VersionQuery
from service.usecases import histories
from service.web.cookies import zone_of
from service.web.filter_forms import field_time, filters_of, pushed, query_of, shortened
from service.web.gate import RESOURCE_PAGE, Viewing

VERSIONS = 25
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
        summaries={line.version_number: None for line in found.page.items},
        narrow=narrow,
        since=field_time(narrow.since, zone),
        until=field_time(narrow.until, zone),
        filters=query_of(view, _FILTERS),
    )
    return pushed(view, _FILTERS, answer)
