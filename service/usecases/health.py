"""Health: check the parts that requests need, and read figures for the metrics, at most once a second."""

import asyncio
import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from uuid import UUID

import pygit2
import structlog

from service.domain.errors import Busy
from service.runtime import metrics
from service.runtime.metrics import Figure
from service.runtime.probe import Probe
from service.runtime.version import version
from service.usecases import disks
from service.usecases.context import Context
from service.usecases.disks import Disk
from service.usecases.maintenance import scheduled_jobs
from service.usecases.maintenance.scheduled_jobs import ScheduledJobStatus
from service.usecases.maintenance.table import SCHEDULED_JOBS
from sql.database import PLATFORM, Database
from sql.errors import DiskFull
from sql.queries import log_queue, repositories, schema
from sql.queries.log_queue import QueueState
from sql.queries.repositories import Sizes
from sql.queries.schema import DatabaseState

log = structlog.get_logger(__name__)
T = TypeVar("T")

# A monitor waits for three seconds or more.
PATIENCE_SECONDS: Final = 2.5
# Figures of the database are left out after this time, so that the others come within PATIENCE_SECONDS.
FIGURES_SECONDS: Final = 1.5
# The committer gives a sign of life each second.
COMMITTER_SILENCE_SECONDS: Final = 3.0
# Requests do without it: retention keeps its rows until they can be archived.
_SPARED: Final = frozenset({"disk_archive"})
# Followers of logs see rows after a tenth of a second, while the sequencer is at work.
QUEUE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """Check of one part, with a detail of its state."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Checks of all parts; requests are served in spite of `warnings`."""

    ready: bool
    checks: dict[str, Check]
    warnings: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredState:
    """The state of the database, and the figures in it."""

    state: DatabaseState
    newest: UUID | None
    jobs: Sequence[ScheduledJobStatus]
    sizes: Sizes
    queue: QueueState


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """The state of the disks and of the folder of the repositories."""

    disks: Sequence[Disk]
    repositories: Check


class Health:
    """The checks and the metrics of one process; used by one event loop.

    The database and the files are each asked by a thread and a connection of their own. So a part that hangs
    delays no request, and is named after PATIENCE_SECONDS.
    """

    def __init__(self, context: Context, database_url: str, *, sample: Callable[[], None]) -> None:
        # A pool of its own, so that no request waits for these checks, nor they for a request.
        self._own = Database(database_url, pool_size=1)
        self._context = replace(context, database=self._own)
        self._folders = disks.folders(context.settings, database_url)
        self._sample = sample
        self._database = Probe("health of the database", self._read_database, context.clock)
        self._files = Probe("health of the files", self._read_files, context.clock)
        self._exposition = Probe("metrics", self._expose, context.clock)

    def close(self) -> None:
        """Close the connection."""
        self._own.close()

    async def readiness(self) -> Readiness:
        """Check each part, within PATIENCE_SECONDS."""
        database, files = self._database.asked(), self._files.asked()
        await _done((database, files), PATIENCE_SECONDS)
        checks, warnings = self._database_checks(database)
        found, short = self._file_checks(files)
        checks |= found | {"committer": self._committer()}
        ready = all(check.ok or name in _SPARED for name, check in checks.items())
        return Readiness(ready, checks, warnings + short)

    async def exposition(self) -> bytes:
        """Metrics in Prometheus' text format; raises Busy if they can't be made in time."""
        made = self._exposition.asked()
        await _done((made,), PATIENCE_SECONDS)
        if not made.done():
            raise Busy("The metrics could not be made in time; try again shortly.")
        if (error := made.exception()) is not None:
            log.error("the metrics could not be made", exc_info=error)
            raise Busy("The metrics could not be made just now; try again shortly.")
        return made.result()

    # -- the threads of the probes ----------------------------------------------------------------------

    def _read_database(self) -> _StoredState:
        with self._own.transaction(PLATFORM) as tx:
            state, newest, sizes = schema.state(tx), repositories.newest(tx), repositories.sizes(tx)
            queue = log_queue.state(tx)
        return _StoredState(
            state=state,
            newest=newest,
            sizes=sizes,
            queue=queue,
            jobs=scheduled_jobs.all_jobs(self._context),
        )

    def _read_files(self) -> _Files:
        return _Files(disks=disks.examine(self._folders), repositories=self._repositories())

    def _repositories(self) -> Check:
        root = self._context.settings.git_dir
        if not (root.is_dir() and os.access(root, os.W_OK | os.X_OK)):
            return Check(ok=False, detail="the folder is not writable")
        found = _within(self._database.asked(), FIGURES_SECONDS)
        if found is None:
            return Check(ok=True, detail="writable; what has to be in it is not known just now")
        if found.newest is not None and not self._context.store.exists(str(found.newest)):
            detail = "this database's repositories are missing: is it the right data directory?"
            return Check(ok=False, detail=detail)
        return Check(ok=True, detail="writable")

    def _expose(self) -> bytes:
        deadline = time.monotonic() + FIGURES_SECONDS
        database, files = self._database.asked(), self._files.asked()
        figures = [_BUILD]
        if (stored := _within(database, deadline - time.monotonic())) is not None:
            figures += _figures(stored)
        if (found := _within(files, deadline - time.monotonic())) is not None:
            figures += _space(found)
        self._sample()
        return metrics.exposition(figures)

    # -- what was found ---------------------------------------------------------------------------------

    def _database_checks(self, asked: Future[_StoredState]) -> tuple[dict[str, Check], list[str]]:
        if not asked.done():
            return {"database": Check(ok=False, detail=_silence(self._database))}, []
        if (error := asked.exception()) is not None:
            # The reason is only logged, because it names hosts and users.
            log.warning("the database does not answer", error=str(error))
            detail = "its disk is full" if isinstance(error, DiskFull) else "does not answer"
            return {"database": Check(ok=False, detail=detail)}, []
        found = asked.result()
        state = found.state
        checks = {
            "database": Check(ok=True, detail=f"PostgreSQL {state.server_version} as {state.role}"),
            "schema": Check(ok=state.revision is not None, detail=f"revision {state.revision}"),
        }
        warnings = []
        if not state.may_delete_rows:
            warnings.append(
                "jobs can't let rows of logs go: GRANT annals_retention to the login of DATABASE_URL"
            )
        if found.queue.oldest_seconds > QUEUE_SECONDS:
            warnings.append(
                f"followers of logs do not see the rows of the last {found.queue.oldest_seconds:.0f} s: "
                "the scheduler has to run, and annals_sealer be granted to the login of DATABASE_URL"
            )
        if state.timescaledb is not None:
            checks["timescaledb"] = Check(ok=True, detail=f"TimescaleDB {state.timescaledb}")
        else:
            required = self._context.settings.timescaledb_is_required
            checks["timescaledb"] = Check(ok=not required, detail="not present")
            warnings.append("no TimescaleDB: logs are plain tables, and retention deletes in batches")
        return checks, warnings + scheduled_jobs.overdue(found.jobs)

    def _file_checks(self, asked: Future[_Files]) -> tuple[dict[str, Check], list[str]]:
        if not asked.done():
            return {"repositories": Check(ok=False, detail=_silence(self._files))}, []
        if (error := asked.exception()) is not None:
            log.warning("the files could not be looked at", error=str(error))
            return {"repositories": Check(ok=False, detail="could not be looked at")}, []
        found = asked.result()
        checks = {"repositories": found.repositories}
        warnings = []
        for disk in found.disks:
            checks[f"disk_{disk.name}"] = Check(ok=disk.fault is None and not disk.is_full, detail=str(disk))
            if disk.is_short(self._context.settings):
                warnings.append(
                    f"the disk of {disk.folder} has {disk.free_bytes / disks.MEBIBYTE:.0f} MiB left: "
                    f"make room, or set ANNALS_MIN_FREE_MB below {self._context.settings.min_free_mb}"
                )
        return checks, warnings

    def _committer(self) -> Check:
        committer = self._context.committer
        silence = committer.silence()
        if silence is None:
            return Check(ok=False, detail="not running")
        if silence > COMMITTER_SILENCE_SECONDS:
            return Check(ok=False, detail=f"has given no sign of life for {silence:.0f} s")
        alive = committer.is_alive()
        return Check(ok=alive, detail="taking changes" if alive else "running, but takes no changes")


async def _done(parts: Sequence[Future[Any]], seconds: float) -> None:
    waited_for = [asyncio.wrap_future(part) for part in parts if not part.done()]
    if waited_for:
        await asyncio.wait(waited_for, timeout=seconds)
        for each in waited_for:
            # Read, so that asyncio does not report an error that the caller handles.
            if each.done():
                each.exception()


def _within(part: Future[T], seconds: float) -> T | None:
    """Wait for a part; None if it does not answer in time, or not at all."""
    try:
        return part.result(max(0.0, seconds))
    except Exception:  # noqa: BLE001 - whatever it is, the check of that part tells it
        return None


def _silence(probe: Probe[T]) -> str:
    return f"has not answered for {probe.seconds():.1f} s"


_BUILD = Figure(
    name="annals_build_info",
    help="The version of Annals and of what it runs on",
    samples=(
        (
            {
                "version": version(),
                "python": platform.python_version(),
                "libgit2": pygit2.LIBGIT2_VERSION,
            },
            1.0,
        ),
    ),
)


def _figures(found: _StoredState) -> list[Figure]:
    jobs, sizes = found.jobs, found.sizes
    return [
        _gauge("annals_job_last_success_timestamp_seconds", "When a job last succeeded", jobs, _ended),
        _gauge("annals_job_last_duration_seconds", "How long the last success of a job took", jobs, _took),
        _gauge("annals_job_last_rows", "Rows that the last success of a job was about", jobs, _rows),
        _gauge("annals_job_lag_seconds", "How long a job is overdue", jobs, lambda job: job.lag_seconds),
        _gauge("annals_job_failed", "Whether the last run of a job failed", jobs, _failed),
        _single("annals_log_queue_rows", "Rows of logs that followers do not see yet", found.queue.rows),
        _single(
            "annals_log_queue_oldest_seconds", "Age of the oldest of these rows", found.queue.oldest_seconds
        ),
        _single("annals_repositories", "Repositories", sizes.repositories),
        _single("annals_repository_packs", "Packs of all repositories", sizes.packs),
        _single("annals_repository_bytes", "Bytes of all repositories", sizes.bytes),
        _single("annals_repository_largest_bytes", "Bytes of the largest", sizes.largest),
    ]


def _space(found: _Files) -> list[Figure]:
    free = tuple(({"disk": disk.name}, float(disk.free_bytes)) for disk in found.disks)
    full = tuple(({"disk": disk.name}, float(disk.is_full)) for disk in found.disks)
    return [
        Figure(name="annals_disk_free_bytes", help="Bytes that may still be written", samples=free),
        Figure(name="annals_disk_full", help="Whether a test write found no room", samples=full),
    ]


def _single(name: str, about: str, value: float) -> Figure:
    return Figure(name=name, help=about, samples=(({}, float(value)),))


def _gauge(
    name: str,
    about: str,
    jobs: Sequence[ScheduledJobStatus],
    read: Callable[[ScheduledJobStatus], float | None],
) -> Figure:
    values = [({"job": job.name}, read(job)) for job in jobs]
    return Figure(
        name=name, help=about, samples=tuple((job, value) for job, value in values if value is not None)
    )


def _ended(job: ScheduledJobStatus) -> float | None:
    done = job.last_success
    return None if done is None or done.ended_at is None else done.ended_at.timestamp()


def _took(job: ScheduledJobStatus) -> float | None:
    done = job.last_success
    if done is None or done.started_at is None or done.ended_at is None:
        return None
    return (done.ended_at - done.started_at).total_seconds()


def _rows(job: ScheduledJobStatus) -> float | None:
    done = job.last_success
    counts = None if done is None else done.counts
    return None if counts is None else sum(counts.get(name, 0) for name in SCHEDULED_JOBS[job.name].rows)


def _failed(job: ScheduledJobStatus) -> float | None:
    return None if job.last_run is None else float(job.last_run.state == "failed")
