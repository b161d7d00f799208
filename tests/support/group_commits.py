"""Start a committer of the tests' own on a server's database, like that of another host."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from service.committer import group_commit as group_module
from service.committer.group_commit import GroupCommit
from sql.database import Database as ServiceDatabase
from tests.support.api import Server, Tenant
from tests.support.waiting import until


@contextmanager
def committing(server: Server) -> Iterator[GroupCommit]:
    """Start a group on the server's database and repositories, like that of another host."""
    pool = ServiceDatabase(server.database.url, pool_size=group_module.WRITERS + 1)
    made = GroupCommit(pool, server.context.store, clock=server.clock, public_url="http://annals.example")
    made.start()
    try:
        yield made
    finally:
        made.stop()
        pool.close()


@contextmanager
def held(tenant: Tenant) -> Iterator[None]:
    """Lock the subscription until the block ends, as another host does that is writing it."""
    with psycopg.connect(tenant.server.database.url) as blocker:
        blocker.execute(
            "SELECT 1 FROM repositories WHERE subscription_id = %s FOR UPDATE", [tenant.subscription_id]
        )
        yield


def until_taken(group: GroupCommit) -> None:
    """Wait until a thread writes a batch."""
    until(lambda: group._began)
