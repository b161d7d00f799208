"""Publishing: which version of a resource the branch `published` holds."""

from uuid import UUID

from service.committer.changes import SetPublished
from service.domain.callers import Member
from service.domain.etags import Match
from service.domain.idempotency import Attempt
from service.domain.ids import ResourceId
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from service.usecases.versions import Saved, saved


async def set_published(
    context: Context,
    author: Member,
    kind: Kind,
    resource_id: UUID,
    ref: str,
    *,
    published: bool,
    if_match: Match | None,
    once: Attempt | None,
) -> Saved:
    """Publish the version that `ref` names in place of the one that is, or let it no longer be published.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef, ResourceDeleted, StaleVersion.
    """
    change = SetPublished(
        author=author,
        kind=kind,
        resource_id=ResourceId(resource_id),
        if_match=if_match,
        once=once,
        ref=ref,
        published=published,
    )
    return saved(context, author, await context.committer.submit(change))
