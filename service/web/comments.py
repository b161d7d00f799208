"""Comments on a version: the form of one, which the page of the version has, too."""

from fastapi import APIRouter, Response

from service.domain.actions import Action
from service.domain.errors import AnnalsError
from service.http.audited_operations import audits
from service.http.parameters import Target, Targeted
from service.http.schemas.versions import CommentRequest
from service.usecases import comments, trees, versions
from service.web.gate import RESOURCE_PAGE, Changing, View, Writing

router = APIRouter(include_in_schema=False)


@router.get(f"{RESOURCE_PAGE}/versions/{{ref}}/comments")
def show_form(view: Changing, target: Targeted, ref: str) -> Response:
    """Show the form of a comment."""
    return _page(view, target, ref)


@router.post(f"{RESOURCE_PAGE}/versions/{{ref}}/comments")
@audits(Action.COMMENT)
def add_comment(view: Writing, target: Targeted, ref: str) -> Response:
    """Comment on a version."""
    text = view.form.text("text") or ""
    with view.refused_on(lambda error: _page(view, target, ref, typed=text, problem=error)):
        body = view.form.checked(CommentRequest, {"text": text})
        made = comments.add(
            view.context,
            view.author,
            target.kind,
            target.resource_id,
            ref,
            body.text,
            if_match=None,
            once=view.once,
        )
    return view.lead_to(f"{view.page_of(target)}/versions/{made.version_number}", done="commented")


def _page(
    view: View, target: Target, ref: str, *, typed: str = "", problem: AnnalsError | None = None
) -> Response:
    version = versions.look_up(
        view.context, view.subscription_id, target.kind, target.resource_id, ref, purged=False
    )
    return view.show(
        "comment.html",
        target=target,
        place=trees.way_to(view.context, view.subscription_id, target.kind, target.resource_id),
        version=version,
        typed=typed,
        problem=problem,
    )
