"""Run scheduled jobs in a test, on the database and the repositories of a server, like another host."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from service.domain.job_runs import Counts, JobRun
from service.usecases.context import JobContext
from sql.database import Database as ServiceDatabase
from tests.support.api import Server
from tests.support.group_commits import committing

Job = Callable[[JobContext, JobRun], Counts]


@contextmanager
def job_context(server: Server) -> Iterator[JobContext]:
    """Make the context of scheduled jobs on a server's database."""
    pool = ServiceDatabase(server.database.url, pool_size=2)
    try:
        with committing(server) as group:
            yield JobContext(
                settings=server.context.settings,
                database=pool,
                store=server.context.store,
                group=group,
                clock=server.clock,
            )
    finally:
        pool.close()


def run_of(context: JobContext, name: str) -> JobRun:
    """Begin a run of a scheduled job."""
    return JobRun(run_id=uuid4(), job=name, at=context.clock())


def carried_out(server: Server, name: str, job: Job) -> Counts:
    """Run a scheduled job; returns its counts."""
    with job_context(server) as context:
        return job(context, run_of(context, name))
