"""Page that deletes a resource, after it showed what goes with it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from service.committer.changes import Delete
from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import AnnalsError
from service.domain.pagination import Paging
from service.domain.resource_kinds import Kind
from service.http.admission import in_thread
from service.http.audited_operations import audits
from service.http.parameters import Target, Targeted
from service.http.schemas.body import Body
from service.http.schemas.fields import QueryInteger, QueryReason
from service.usecases import deletion_previews, deletions, references, trees
from service.usecases.deletions import DeletionMade
from service.web.gate import RESOURCE_PAGE, Changing, Posted, View, Writing

router = APIRouter(include_in_schema=False)
# Workflows that the page names as those that name a connector.
NAMING_SHOWN = 20
_NOTHING_TYPED: Mapping[str, str] = MappingProxyType({})


class DeletionForm(Body):
    """The reason of a deletion, and for how long it can be restored."""

    reason: QueryReason = None
    restore_days: Annotated[QueryInteger, Field(ge=1)] | None = None


@router.get(f"{RESOURCE_PAGE}/delete")
def show_deletion(view: Changing, target: Targeted) -> Response:
    """Show what a deletion of this resource would delete, and what stands in its way."""
    return _page(view, target)


@router.post(f"{RESOURCE_PAGE}/delete")
@audits(Action.DELETE)
async def delete(view: Writing, target: Targeted) -> Response:
    """Delete a resource and all below it."""
    if view.form.is_set("force"):
        view.caller.needs(Right.FORCE)

    async def again(error: AnnalsError) -> Response:
        return await in_thread(view.request, _page, view, target, given=view.form.fields, problem=error)

    done = await view.carried_out(_delete(view, target), again)
    return view.lead_to(f"{view.base}/deletions/{done.deletion_id}", done="deleted")


async def _delete(view: Posted, target: Target) -> DeletionMade:
    form = view.form
    given = form.checked(
        DeletionForm, {"reason": form.text("reason"), "restore_days": form.text("restore_days")}
    )
    change = Delete(
        author=view.author,
        kind=target.kind,
        resource_id=target.resource_id,
        reason=given.reason,
        force=form.is_set("force"),
        restorable_for=deletions.restore_term(view.context, given.restore_days, permanent=False),
        if_match=view.seen,
        once=view.once,
    )
    return await deletions.delete(view.context, change)


def _page(
    view: View,
    target: Target,
    *,
    given: Mapping[str, str] = _NOTHING_TYPED,
    problem: AnnalsError | None = None,
) -> Response:
    found = deletion_previews.of_deletion(
        view.context, view.subscription_id, target.kind, target.resource_id, view.caller.user_id
    )
    settings = view.context.settings
    naming = None
    if target.kind is Kind.CONNECTOR:
        naming = references.page(
            view.context, view.subscription_id, target.kind, target.resource_id, Paging(NAMING_SHOWN)
        )
    return view.show(
        "delete.html",
        target=target,
        place=trees.way_to(view.context, view.subscription_id, target.kind, target.resource_id),
        preview=found,
        others=[each for each in found.check_outs if each.checked_out_by != view.caller.user_id],
        naming=naming,
        longest=settings.longest_restore_days,
        days=given.get("restore_days") or settings.restore_days,
        reason=given.get("reason", ""),
        force="force" in given,
        problem=problem,
    )
