"""Archives of deleted rows: a list with the state of each, and one with the ways to read it."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import Invalid
from service.domain.retention_levels import LEVELS_OF
from service.http.audited_operations import audits
from service.http.exports import whole
from service.usecases import archives, subscriptions
from service.usecases.archives import ArchiveFilter
from service.web.filter_forms import query_of
from service.web.platform_gate import PlatformView, viewing_platform

PATH: Final = "/platform/archives"
SHOWN: Final = 25
_FILTERS: Final = ("log", "subscription_id", "run_id")
# As wide as the column is.
_MAX_LOG: Final = 100

router = APIRouter(include_in_schema=False)
Seeing = Annotated[PlatformView, Depends(viewing_platform(Right.MAINTAIN))]


@router.get(PATH)
@audits(Action.READ, "archive")
def list_archives(view: Seeing) -> Response:
    """Show archives, or with `format` all of the filter as a file."""
    narrow = _narrowed(view)
    if (form := view.file_format) is not None:
        read = partial(archives.page, view.context, view.caller, narrow)
        given = {name: view.asked(name) for name in _FILTERS if view.asked(name)}
        listed = whole("archive", archives.Archive, given, read)
        return view.file(form, listed)
    page = archives.page(view.context, view.caller, narrow, view.paging(SHOWN))
    return view.show(
        "platform_archives.html",
        page=page,
        findings=archives.findings(view.context, page.items),
        names=subscriptions.names(view.context, view.caller, [each.subscription_id for each in page.items]),
        logs=list(LEVELS_OF),
        narrow=narrow,
        query=query_of(view, _FILTERS),
        is_set=view.context.settings.archive_url is not None,
    )


@router.get(PATH + "/{archive_id}")
def show_archive(view: Seeing, archive_id: str) -> Response:
    """Show an archive, and the commands that check it and restore its rows."""
    found = archives.get(view.context, view.caller, ids.parse(archive_id))
    return view.show(
        "platform_archive.html",
        archive=found,
        finding=archives.findings(view.context, [found])[found.archive_id],
        names=subscriptions.names(view.context, view.caller, [found.subscription_id]),
    )


def _narrowed(view: PlatformView) -> ArchiveFilter:
    log = view.asked("log")
    if log is not None and len(log) > _MAX_LOG:
        raise Invalid.of("log", f"has at most {_MAX_LOG} characters")
    found = {}
    for name in ("subscription_id", "run_id"):
        text = view.asked(name)
        found[name] = None if text is None else ids.parse(text)
        if text is not None and found[name] is None:
            raise Invalid.of(name, "is an id")
    return ArchiveFilter(log=log, **found)
