"""Tags: a name for one version of a resource, which git has as an annotated tag."""

from uuid import UUID

from service.callers import Member
from service.committer.change import SetTag
from service.context import Context
from service.etags import Match
from service.ids import ResourceId
from service.kinds import Kind
from service.usecases.versions import Saved, saved


async def set_tag(
    context: Context,
    author: Member,
    kind: Kind,
    resource_id: UUID,
    ref: str,
    tag: str | None,
    *,
    if_match: Match | None,
) -> Saved:
    """Give the version that `ref` names a tag in place of the one that it has, or with None take it away.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef, ResourceDeleted, TagTaken, StaleVersion.
    """
    change = SetTag(
        author=author,
        kind=kind,
        resource_id=ResourceId(resource_id),
        if_match=if_match,
        ref=ref,
        tag=tag,
    )
    return saved(context, author, await context.committer.submit(change))
