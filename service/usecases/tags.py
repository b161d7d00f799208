"""Tags: a name for one version of a resource, which git has as an annotated tag."""

from uuid import UUID

from service.committer.changes import SetTag
from service.domain.callers import Member
from service.domain.etags import Match
from service.domain.ids import ResourceId
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
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
