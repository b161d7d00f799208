"""Deletions asked for in SQL: what an operator is answered, what becomes of it, and hosts that see to it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from service.committer.deletion_requests import DeletionRequests
from service.domain.ids import SubscriptionId
from sql.database import Database as ServiceDatabase
from tests.support.api import Json, Server, Tenant, ok
from tests.support.databases import Database
from tests.support.group_commits import committing

SECONDS = 30


@contextmanager
def host(server: Server) -> Iterator[DeletionRequests]:
    """Another host on the database and the repositories of a server."""
    pool = ServiceDatabase(server.database.url, pool_size=1)
    try:
        with committing(server) as group:
            yield DeletionRequests(pool, group, clock=server.clock, restorable_for=timedelta(days=30))
    finally:
        pool.close()


def carry_out(tenant: Tenant) -> None:
    """Run a host until all waiting requests are done."""
    with host(tenant.server) as other:
        assert other.carry_out(SubscriptionId(UUID(tenant.subscription_id)))


def ask(tenant: Tenant, workspace: Json, *, softly: bool = True, by: str | None = None) -> Json:
    """The answer of the function to an operator."""
    query = "SELECT cascade_delete_workspace(%s, %s, %s)"
    answer: Json = tenant.server.database.value(
        query, workspace["resource_id"], by or tenant.ana.user_id, softly
    )
    return answer


def stored(database: Database, request: Json) -> Json:
    """A request as it is by now."""
    query = "SELECT to_jsonb(r) FROM deletion_requests r WHERE request_id = %s"
    row: Json = database.value(query, request["request_id"])
    return row


def done(database: Database, request: Json) -> Json:
    """A request once it was carried out."""
    deadline = time.monotonic() + SECONDS
    while stored(database, request)["done_at"] is None:
        assert time.monotonic() < deadline, "nobody carries it out"
        time.sleep(0.05)
    return stored(database, request)


def outcome(tenant: Tenant, request: Json) -> tuple[str | None, str | None]:
    """The deletion, or the problem, of a request that is no longer waiting."""
    row = stored(tenant.server.database, request)
    assert row["done_at"] is not None
    return row["deletion_id"], row["problem"]


def deletion(tenant: Tenant, deletion_id: str | None) -> Json:
    """A deletion as the API shows it."""
    return ok(tenant.vera.get(f"{tenant.path}/deletions/{deletion_id}"))
