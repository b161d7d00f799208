"""Rollback of one resource, or of many at once: new versions with the content of older ones."""

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from gitstore import snapshots
from gitstore.read.blob_reader import Blob, content_of
from service.committer.changes import Foreseen, RollBack, RollBackMany, Skipped, WrittenMany
from service.committer.step import snapshot_of
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from service.usecases.diffs import WrittenDifference, described, difference
from service.usecases.documents import found_snapshot
from service.usecases.versions import Saved, saved
from sql.queries.resources import ResourceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """The effect of a dry-run rollback on one resource."""

    resource_type: str
    resource_id: UUID
    resource_name: str
    from_version: int
    to_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBackMany:
    """The effects of a rollback of many resources, or with `dry_run` its expected effects.

    `skipped` are the resources that it leaves unchanged, with reasons.
    """

    commit: str | None
    versions: list[Saved] | list[Foretold]
    skipped: list[Skipped]
    unchanged: bool
    dry_run: bool


async def roll_back(context: Context, change: RollBack) -> Saved | dict[str, Any]:
    """Roll one resource back; a dry run returns the diff. Raises the errors that the change's class names."""
    result = await context.committer.submit(change)
    if isinstance(result, Foreseen):
        foretell = partial(_foretold, context, change, result)
        return await context.diffs.run(change.author.subscription_id, foretell)
    return saved(context, change.author.subscription_id, result)


def _foretold(context: Context, change: RollBack, foreseen: Foreseen) -> dict[str, Any]:
    subscription_id = change.author.subscription_id
    now, past = (
        found_snapshot(context, subscription_id, row.git_blob_id)
        for row in (foreseen.current, foreseen.target)
    )
    unchanged, made = context.documents.run(
        len(now) + len(past), _effect, change.kind, foreseen.resource, now, past
    )
    answer = described(context, subscription_id, foreseen.current, foreseen.target, made)
    return answer | {"unchanged": unchanged, "dry_run": True}


def _effect(kind: Kind, resource: ResourceRow, current: Blob, target: Blob) -> tuple[bool, WrittenDifference]:
    now, past = content_of(current), snapshots.split(content_of(target))
    # Name and parent are not rolled back, so the result is not the older snapshot itself.
    then = snapshot_of(resource, past.definition)
    return now == then, difference(kind, resource.resource_id, now, then)


async def roll_back_many(context: Context, change: RollBackMany) -> RolledBackMany:
    """Roll many resources back; a dry run returns the resources that would change.

    Raises the errors that the change's class names.
    """
    result = await context.committer.submit(change)
    if isinstance(result, WrittenMany):
        return RolledBackMany(
            commit=result.commit,
            versions=[saved(context, change.author.subscription_id, written) for written in result.versions],
            skipped=list(result.skipped),
            unchanged=result.commit is None,
            dry_run=False,
        )
    return RolledBackMany(
        commit=None,
        versions=[
            Foretold(
                resource_type=each.resource.resource_type,
                resource_id=each.resource.resource_id,
                resource_name=each.resource.name,
                from_version=each.current.version_number,
                to_version=each.target.version_number,
            )
            for each in result.foreseen
        ],
        skipped=list(result.skipped),
        unchanged=not result.foreseen,
        dry_run=True,
    )
