"""Page of a version's tag: set, replaced, removed."""

from fastapi import APIRouter, Response

from service.committer.changes import SetTag
from service.domain.actions import Action
from service.domain.errors import AnnalsError, TagTaken
from service.http.admission import in_thread
from service.http.audited_operations import audits
from service.http.parameters import Target, Targeted
from service.http.schemas.versions import TagRequest
from service.usecases import trees, versions
from service.web.gate import RESOURCE_PAGE, Changing, Posted, View, Writing

router = APIRouter(include_in_schema=False)


@router.get(f"{RESOURCE_PAGE}/versions/{{ref}}/tag")
def show_tag(view: Changing, target: Targeted, ref: str) -> Response:
    """Show the form of a version's tag."""
    return _page(view, target, ref)


@router.post(f"{RESOURCE_PAGE}/versions/{{ref}}/tag")
@audits(Action.TAG)
async def put_tag(view: Writing, target: Targeted, ref: str) -> Response:
    """Set a version's tag, in place of its present one."""
    text = view.form.text("tag")

    async def again(error: AnnalsError) -> Response:
        return await in_thread(view.request, _page, view, target, ref, typed=text or "", problem=error)

    async def work() -> versions.Saved:
        tag = view.form.checked(TagRequest, {"tag": text or ""}).tag
        return await _set_tag(view, target, ref, tag)

    saved = await view.carried_out(work(), again)
    return view.lead_to(f"{view.page_of(target)}/versions/{saved.version_number}", done="tagged")


@router.post(f"{RESOURCE_PAGE}/versions/{{ref}}/tag/remove")
@audits(Action.UNTAG)
async def remove_tag(view: Writing, target: Targeted, ref: str) -> Response:
    """Remove a version's tag."""

    async def again(error: AnnalsError) -> Response:
        return await in_thread(view.request, _page, view, target, ref, problem=error)

    saved = await view.carried_out(_set_tag(view, target, ref, None), again)
    return view.lead_to(f"{view.page_of(target)}/versions/{saved.version_number}", done="untagged")


async def _set_tag(view: Posted, target: Target, ref: str, tag: str | None) -> versions.Saved:
    change = SetTag(
        author=view.author,
        kind=target.kind,
        resource_id=target.resource_id,
        ref=ref,
        tag=tag,
        if_match=view.seen,
        # The commit tells nothing of tags.
        instead_of=view.form.text("tag_seen") or "",
        once=view.once,
    )
    return await versions.write(view.context, change)


def _page(
    view: View, target: Target, ref: str, *, typed: str | None = None, problem: AnnalsError | None = None
) -> Response:
    of = (view.context, view.subscription_id, target.kind, target.resource_id)
    version = versions.look_up(*of, ref, purged=False)
    taken = versions.tagged(*of, typed) if typed and isinstance(problem, TagTaken) else None
    current = version if version.is_current else versions.look_up(*of, "current", purged=False)
    return view.show(
        "tag.html",
        target=target,
        place=trees.way_to(view.context, view.subscription_id, target.kind, target.resource_id),
        version=version,
        seen=current.git_commit_hash,
        typed=typed if typed is not None else version.version_tag or "",
        problem=problem,
        taken=taken,
    )
