"""Jobs run by a test itself, on the database and the repositories of a server, as another host's."""

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
    """The context of scheduled jobs."""
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
    """A run of a job that begins now."""
    return JobRun(run_id=uuid4(), job=name, at=context.clock())


def carried_out(server: Server, name: str, job: Job) -> Counts:
    """The counts of a scheduled job that is run now."""
    with job_context(server) as context:
        return job(context, run_of(context, name))
