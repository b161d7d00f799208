"""Rollback of one resource, or of many at once: new versions with the content of older ones."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from gitstore import snapshots
from gitstore.read.blob_reader import Blob, content_of
from service.committer.changes import (
    Foreseen,
    ForeseenMany,
    RollBack,
    RollBackMany,
    Skipped,
    Written,
    WrittenMany,
)
from service.committer.step import snapshot_of
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from service.usecases.diffs import Compared, Draw, Drawing, as_it_is, described, difference
from service.usecases.documents import found_snapshot
from service.usecases.versions import Saved, saved, shown
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed(Compared[Drawing]):
    """The drawing of what a rollback would change; `unchanged` if it would make no version."""

    unchanged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedMany:
    """The effects that a rollback of many resources would have on the history up to `head`."""

    head: str | None
    versions: list[Foretold]
    skipped: list[Skipped]


async def roll_back(context: Context, change: RollBack) -> Saved | dict[str, Any]:
    """Roll one resource back; a dry run returns the diff. Raises the errors that the change's class names."""
    if change.dry_run:
        found = await preview(context, change, as_it_is)
        return described(found) | {"unchanged": found.unchanged, "dry_run": True}
    result = await context.committer.submit(change)
    assert isinstance(result, Written)  # noqa: S101 - the other result is of dry runs
    return saved(context, change.author.subscription_id, result)


async def preview(context: Context, change: RollBack, draw: Draw[Drawing]) -> Previewed[Drawing]:
    """Draw the difference that a rollback would make, and make none.

    Raises the errors that the change's class names.
    """
    result = await context.committer.submit(replace(change, dry_run=True))
    assert isinstance(result, Foreseen)  # noqa: S101 - the other result is of changes that are made
    foretell = partial(_previewed, context, change, result, draw)
    return await context.diffs.run(change.author.subscription_id, foretell)


def _previewed(
    context: Context, change: RollBack, foreseen: Foreseen, draw: Draw[Drawing]
) -> Previewed[Drawing]:
    subscription_id = change.author.subscription_id
    now, past = (
        found_snapshot(context, subscription_id, row.git_blob_id)
        for row in (foreseen.current, foreseen.target)
    )
    unchanged, drawing = context.documents.run(
        len(now) + len(past), _effect, change.kind, foreseen.resource, now, past, draw
    )
    return Previewed(
        old=shown(context, subscription_id, foreseen.current),
        new=shown(context, subscription_id, foreseen.target),
        drawing=drawing,
        unchanged=unchanged,
    )


def _effect(
    kind: Kind, resource: ResourceRow, current: Blob, target: Blob, draw: Draw[Drawing]
) -> tuple[bool, Drawing]:
    now, past = content_of(current), snapshots.split(content_of(target))
    # Name and parent are not rolled back, so the result is not the older snapshot itself.
    then = snapshot_of(resource, past.definition)
    return now == then, draw(now, then, difference(kind, resource.resource_id, now, then))


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
    found = _foretold(result)
    return RolledBackMany(
        commit=None,
        versions=found.versions,
        skipped=found.skipped,
        unchanged=not found.versions,
        dry_run=True,
    )


async def preview_many(context: Context, change: RollBackMany) -> PreviewedMany:
    """Tell what a rollback of many resources would change, and change nothing.

    Raises the errors that the change's class names.
    """
    result = await context.committer.submit(replace(change, dry_run=True))
    assert isinstance(result, ForeseenMany)  # noqa: S101 - the other result is of changes that are made
    return _foretold(result)


def _foretold(result: ForeseenMany) -> PreviewedMany:
    return PreviewedMany(
        head=result.head,
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
    )
