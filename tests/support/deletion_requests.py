"""Deletions that are requested in SQL: their answers, their outcomes, and hosts that carry them out."""

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
    """Start another host on the database and the repositories of a server."""
    pool = ServiceDatabase(server.database.url, pool_size=1)
    try:
        with committing(server) as group:
            yield DeletionRequests(pool, group, clock=server.clock, restorable_for=timedelta(days=30))
    finally:
        pool.close()


def carry_out(tenant: Tenant) -> None:
    """Carry out all waiting requests on another host."""
    with host(tenant.server) as other:
        assert other.carry_out(SubscriptionId(UUID(tenant.subscription_id)))


def ask(tenant: Tenant, workspace: Json, *, softly: bool = True, by: str | None = None) -> Json:
    """Return the answer of the SQL function to an operator."""
    query = "SELECT cascade_delete_workspace(%s, %s, %s)"
    answer: Json = tenant.server.database.value(
        query, workspace["resource_id"], by or tenant.ana.user_id, softly
    )
    return answer


def stored(database: Database, request: Json) -> Json:
    """Return the current row of a request."""
    query = "SELECT to_jsonb(r) FROM deletion_requests r WHERE request_id = %s"
    row: Json = database.value(query, request["request_id"])
    return row


def done(database: Database, request: Json) -> Json:
    """Wait until a request is carried out; returns its row."""
    deadline = time.monotonic() + SECONDS
    while stored(database, request)["done_at"] is None:
        assert time.monotonic() < deadline, "nobody carries it out"
        time.sleep(0.05)
    return stored(database, request)


def outcome(tenant: Tenant, request: Json) -> tuple[str | None, str | None]:
    """Return the deletion and the problem of a request that is no longer waiting; one of them is None."""
    row = stored(tenant.server.database, request)
    assert row["done_at"] is not None
    return row["deletion_id"], row["problem"]


def deletion(tenant: Tenant, deletion_id: str | None) -> Json:
    """Return a deletion as the API shows it."""
    return ok(tenant.vera.get(f"{tenant.path}/deletions/{deletion_id}"))
