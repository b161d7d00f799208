"""Pages that restore a deletion, after a preview, and that delete for good, by the typed name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from starlette.datastructures import ImmutableMultiDict

from service.committer.changes import Purge, Resolution, Restore
from service.domain import names
from service.domain.actions import Action, EventOrigin
from service.domain.callers import Right
from service.domain.errors import AnnalsError, DeletionPosted, Invalid, NotRestorable
from service.domain.ids import ResourceId
from service.domain.pagination import Paging
from service.domain.resource_kinds import PARENT_FIELDS, Kind, Place
from service.http.admission import in_thread
from service.http.audited_operations import audits
from service.http.schemas.deletions import ResolutionRequest
from service.usecases import deletion_previews, deletions, resources
from service.usecases.deletions import Deletion, DeletionMade, Restoration
from service.usecases.resources import ResourceSummary
from service.web.deletions import DeletionForm
from service.web.gate import Changing, Form, Posted, View, Writing, posting, viewing
from service.web.restore_bin import Named, has_history, path_of

# Parents that the form offers of each kind; any other is named by its id.
PARENTS_SHOWN = 100

router = APIRouter(include_in_schema=False)
_DELETION = "/s/{subscription_id}/deletions/{deletion_id}"


@router.get(f"{_DELETION}/restore")
async def preview(view: Changing, deletion_id: Named) -> Response:
    """Show what a restore would bring back, and each conflict with the ways to settle it."""
    return await _preview(view, deletion_id, Form(view.request.query_params))


@router.post(f"{_DELETION}/restore")
@audits(Action.RESTORE, "deletion", id_in="deletion_id")
async def restore(view: Writing, deletion_id: Named) -> Response:
    """Restore a deletion, or a part of one."""

    async def again(error: AnnalsError) -> Response:
        return await _preview(view, deletion_id, view.form, problem=error)

    await view.carried_out(_restore(view, deletion_id, view.form, dry_run=False), again)
    named = await in_thread(view.request, _read, view, deletion_id)
    kind = Kind(named.resource_type)
    return view.lead_to(f"{view.base}/{kind.collection}/{named.resource_id}", done="restored")


@router.get(f"{_DELETION}/purge")
def show_purge(view: Annotated[View, Depends(viewing(Right.PURGE))], deletion_id: Named) -> Response:
    """Show what is deleted for good, and ask for its name."""
    return _purge_page(view, deletion_id)


@router.post(f"{_DELETION}/purge")
@audits(Action.DELETE, "deletion", id_in="deletion_id")
async def purge(view: Annotated[Posted, Depends(posting(Right.PURGE))], deletion_id: Named) -> Response:
    """Delete for good what was deleted; the name has to be typed as it is."""
    form = view.form

    async def again(error: AnnalsError) -> Response:
        return await in_thread(view.request, _purge_page, view, deletion_id, given=form.fields, problem=error)

    try:
        done = await view.carried_out(_purge(view, deletion_id), again)
    except NotRestorable:
        # Done already, as by a second click.
        return view.lead_to(path_of(view, deletion_id), done="purged")
    return view.lead_to(path_of(view, done.deletion_id), done="purged")


def _read(view: View, deletion_id: UUID) -> Deletion:
    return deletions.look_up(view.context, view.subscription_id, deletion_id)


async def _restore(view: View, deletion_id: UUID, form: Form, *, dry_run: bool) -> Restoration:
    parent_id = form.text("parent_id") or form.text("new_parent_id")
    given = {"rename": form.text("rename"), "new_parent_id": parent_id}
    resolve = form.checked(ResolutionRequest, given | {"keep_restored": form.is_set("keep_restored")})
    change = Restore(
        author=view.author,
        deletion_id=deletion_id,
        resolution=Resolution(**resolve.model_dump()),
        dry_run=dry_run,
        # A dry run would be kept as the result of the form, which could then never be carried out.
        once=view.once if isinstance(view, Posted) and not dry_run else None,
    )
    return await deletions.restore(view.context, change)


async def _preview(
    view: View, deletion_id: UUID, form: Form, *, problem: AnnalsError | None = None
) -> Response:
    named = await in_thread(view.request, _read, view, deletion_id)
    if named.origin == EventOrigin.POSTED:
        raise DeletionPosted("A platform posted this deletion: only its own system can restore the resource.")
    try:
        found = await _restore(view, deletion_id, form, dry_run=True)
    except Invalid as error:
        # What was typed settles nothing: the conflicts are those without it.
        problem = problem or error
        found = await _restore(view, deletion_id, Form(ImmutableMultiDict()), dry_run=True)
    return await in_thread(view.request, _shown, view, named, found, form, problem)


def _shown(
    view: View, named: Deletion, found: Restoration, form: Form, problem: AnnalsError | None
) -> Response:
    reasons = {each.reason for each in found.conflicts}
    has_parents = bool({"parent_deleted", "name_taken"} & reasons) or form.text("new_parent_id") is not None
    return view.show(
        "restore.html",
        deletion=named,
        found=found,
        reasons=reasons,
        parents=_parents(view, Kind(named.resource_type)) if has_parents else {},
        parents_shown=PARENTS_SHOWN,
        given={name: form.text(name) or "" for name in ("rename", "new_parent_id", "parent_id")},
        keeps="keep_restored" in form.fields,
        has_history=has_history(view, named),
        problem=problem,
    )


def _parents(view: View, kind: Kind) -> Mapping[Kind, Sequence[ResourceSummary]]:
    """Read the live resources that a resource of this kind can lie in, the newest of each kind."""
    return {
        each: resources.page(
            view.context,
            view.subscription_id,
            each,
            Paging(PARENTS_SHOWN),
            place=Place(),
            name=None,
            include_deleted=False,
        ).items
        for _, each in PARENT_FIELDS[kind]
    }


async def _purge(view: Posted, deletion_id: UUID) -> DeletionMade:
    form = view.form
    found = await in_thread(
        view.request, deletion_previews.of_purge, view.context, view.subscription_id, deletion_id
    )
    given = form.checked(DeletionForm, {"reason": form.text("reason")})
    if names.comparable(form.text("name") or "") != names.comparable(found.resource.name):
        detail = "this is not the name of what would be deleted; nothing was deleted"
        raise Invalid.in_body("name", detail)
    change = Purge(
        author=view.author,
        kind=Kind(found.resource.resource_type),
        resource_id=ResourceId(found.resource.resource_id),
        reason=given.reason,
        if_match=view.seen,
        once=view.once,
    )
    return await deletions.delete(view.context, change)


def _purge_page(
    view: View,
    deletion_id: UUID,
    *,
    given: Mapping[str, str] | None = None,
    problem: AnnalsError | None = None,
) -> Response:
    found = deletion_previews.of_purge(view.context, view.subscription_id, deletion_id)
    typed = given or {}
    return view.show(
        "purge.html",
        preview=found,
        hold=None if found.hold is None else asdict(found.hold),
        typed=typed.get("name", ""),
        reason=typed.get("reason", ""),
        problem=problem,
    )
