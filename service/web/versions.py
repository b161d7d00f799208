"""One version of a resource: its document, its comments, and what can be done with it."""

from fastapi import APIRouter, Response

from service.domain.errors import AmbiguousRef, VersionNotFound
from service.domain.pagination import Paging
from service.http.parameters import Target, Targeted
from service.usecases import histories, versions
from service.web import documents, render
from service.web.gate import RESOURCE_PAGE, View, Viewing

COMMENTS = 20
# Versions that the page of an unknown ref names.
_NAMED = 25

router = APIRouter(include_in_schema=False, prefix=f"{RESOURCE_PAGE}/versions")


@router.get("/{ref}")
def version(view: Viewing, target: Targeted, ref: str) -> Response:
    """Show the version of a number, tag or commit, or `current`, `published`, `previous`."""
    try:
        found = histories.version(
            view.context,
            view.subscription_id,
            target.kind,
            target.resource_id,
            ref,
            view.paging(COMMENTS),
            documents.shown,
            purged=view.reads_purged,
        )
    except (VersionNotFound, AmbiguousRef) as error:
        view.refuse(error, _unknown(view, target, error))
    here = view.page_of(target)
    number = found.version.version_number
    return view.show(
        "version.html",
        kind=target.kind,
        resource_id=str(target.resource_id),
        here=here,
        at=f"{here}/versions/{number}",
        shown=found,
        version=found.version,
        document=found.drawing,
        state=found.standing.state,
    )


@router.get("/{ref}/document.json")
def document(view: Viewing, target: Targeted, ref: str) -> Response:
    """Send the canonical bytes of a version, as a file."""
    data = versions.data(
        view.context,
        view.subscription_id,
        target.kind,
        target.resource_id,
        ref,
        purged=view.reads_purged,
    )
    name = f"{target.kind}-{target.resource_id}-{data.commit[:12]}.json"
    headers = render.HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data.content, headers=headers, media_type="application/json")


def _unknown(view: View, target: Target, error: VersionNotFound | AmbiguousRef) -> Response:
    found = histories.read(
        view.context,
        view.subscription_id,
        target.kind,
        target.resource_id,
        {},
        Paging(_NAMED),
        purged=view.reads_purged,
    )
    return view.show(
        "unknown_version.html",
        problem=error,
        kind=target.kind,
        here=view.page_of(target),
        standing=found.standing,
        page=found.page,
    )
