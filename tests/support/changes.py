"""Changes as the committer takes them, and batches of them."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from gitstore.snapshots import canonical_definition
from service.committer.changes import (
    Amend,
    Change,
    CheckIn,
    Create,
    Result,
    Save,
    SetPublished,
    SetTag,
)
from service.domain.callers import Member, Origin
from service.domain.ids import ResourceId, SubscriptionId, UserId, mint
from service.domain.resource_kinds import Kind, Place
from tests.support.api import Caller, Json, Tenant
from tests.support.waiting import waits_for_a_lock

ORIGIN = Origin(
    request_id="a-batch", ip_address="192.0.2.1", user_agent="pytest", endpoint="/test", method="POST"
)


def author(tenant: Tenant, caller: Caller) -> Member:
    """Return a user as the author of a change."""
    return Member(
        user_id=UserId(UUID(caller.user_id)),
        username=caller.username,
        subscription_id=SubscriptionId(UUID(tenant.subscription_id)),
        origin=ORIGIN,
    )


def save(
    tenant: Tenant, resource: Json, data: Json, tag: str | None = None, by: Caller | None = None
) -> Save:
    return Save(
        author=author(tenant, by or tenant.ana),
        kind=Kind(resource["resource_type"]),
        resource_id=ResourceId(UUID(resource["resource_id"])),
        definition=canonical_definition(data),
        description=None,
        tag=tag,
    )


def create(tenant: Tenant, name: str, kind: Kind = Kind.WORKSPACE, **place: UUID) -> Create:
    return Create(
        author=author(tenant, tenant.ana),
        kind=kind,
        resource_id=ResourceId(mint()),
        name=name,
        description=None,
        place=Place(**place),
        definition=b"{}",
    )


def check_in(tenant: Tenant, resource: Json, data: Json, by: Caller) -> CheckIn:
    return CheckIn(
        author=author(tenant, by),
        kind=Kind.WORKFLOW,
        resource_id=ResourceId(UUID(resource["resource_id"])),
        definition=canonical_definition(data),
        comment=None,
        tag=None,
    )


def submit(tenant: Tenant, changes: Sequence[Change]) -> list[Result | BaseException]:
    """Return the outcomes of changes that wait together, and so are one batch.

    Another subscription's change keeps the committer busy until all of them are queued.
    """
    decoy, database = Tenant(tenant.server, "decoy"), tenant.server.database
    busy = create(decoy, "decoy")
    committer = tenant.server.context.committer

    async def everything() -> list[Result | BaseException]:
        with psycopg.connect(database.url) as blocker:
            blocker.execute(
                "SELECT 1 FROM repositories WHERE subscription_id = %s FOR UPDATE", [decoy.subscription_id]
            )
            first = asyncio.create_task(committer.submit(busy))
            while not await asyncio.to_thread(waits_for_a_lock, database):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            # The type of a task is that of its result; these changes have results of different types.
            rest: list[asyncio.Task[Result]] = [
                asyncio.create_task(committer.submit(change)) for change in changes
            ]
            await asyncio.sleep(0)
        await first
        return await asyncio.gather(*rest, return_exceptions=True)

    return asyncio.run(everything())


def unknown(tenant: Tenant) -> Change:
    """Make a change that is refused, because its resource does not exist."""
    return save(tenant, {"resource_type": "workflow", "resource_id": str(mint())}, {})


def resource_id(resource: Json) -> ResourceId:
    return ResourceId(UUID(resource["resource_id"]))


def set_tag(tenant: Tenant, resource: Json, ref: str, tag: str | None) -> SetTag:
    return SetTag(
        author=author(tenant, tenant.ana),
        kind=Kind.WORKFLOW,
        resource_id=resource_id(resource),
        ref=ref,
        tag=tag,
    )


def publish(
    tenant: Tenant, resource: Json, ref: str, *, published: bool = True, instead_of: int | None = None
) -> SetPublished:
    return SetPublished(
        author=author(tenant, tenant.ana),
        kind=Kind.WORKFLOW,
        resource_id=resource_id(resource),
        ref=ref,
        published=published,
        instead_of=instead_of,
    )


def amend(tenant: Tenant, resource: Json, **wanted: Any) -> Amend:
    """Make a change that waits in a batch; ids are given as texts."""
    return Amend(
        author=author(tenant, tenant.ana),
        kind=Kind(resource["resource_type"]),
        resource_id=ResourceId(UUID(resource["resource_id"])),
        wanted={name: UUID(v) if name.endswith("_id") and v else v for name, v in wanted.items()},
    )
