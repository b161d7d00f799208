"""The figures of retention: an expired day dropped, deleted and archived, and inserts meanwhile."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from bench.figures import Demand, Measured
from bench.load import LoadFailed, percentile
from bench.service import ROOT
from bench.stage import Stage
from service.archive import writing
from service.archive.store import ArchiveStore
from service.archive.writing import Source
from service.domain.ids import mint
from service.domain.job_runs import JobRun
from service.processes.scheduler import job_context
from service.runtime.clock import system_clock
from service.runtime.settings import load
from service.usecases.maintenance import retention as job
from sql.database import OWNER_ROLE, PLATFORM, RETENTION_ROLE
from sql.database import Database as Pool
from sql.queries import retention
from sql.queries.retention import Chunk

_DROP = Demand(
    "drop-day", "dropping an expired day of many rows, against one of a tenth", 1.5, 1.2, "×", at_most=True
)
_DELETE = Demand("delete-day", "the same day by `DELETE`, against dropping it", 20, 100, "×")
_ARCHIVE = Demand(
    "archive", "archiving, read again and all, against `COPY … TO STDOUT \\| zstd`", 0.5, 0.6, "×"
)
INSERTS = Demand(
    "inserts", "p99 of inserts while retention and archive run, against without", 2, 1.5, "×", at_most=True
)
DAY = (_DROP, _DELETE, _ARCHIVE)
INSERTS_A_SECOND = 50

_LOG = "server_logs"
# Long after the log's retention of 90 days; each new day of the benchmark precedes the last one.
_NEWEST = timedelta(days=200)
_FILL = Path(__file__).with_name("expired_day.sql").read_bytes()
_DELETION = "DELETE FROM server_logs WHERE created_at >= %s AND created_at < %s"
_CHUNK = """
SELECT format('%%I.%%I', chunk_schema, chunk_name)::regclass::oid FROM timescaledb_information.chunks
WHERE hypertable_name = %s AND range_start = %s
"""
_LOOK_SECONDS = 0.002
_COPY = "COPY (SELECT * FROM server_logs WHERE created_at >= '{}' AND created_at < '{}') TO STDOUT"


def expired_day(stage: Stage) -> list[Measured]:
    """Alternately archive and copy a day, delete it without the commit, and drop it."""
    _check_programs()
    drop, delete = Measured(_DROP, measure="ms"), Measured(_DELETE, measure="ms")
    archive = Measured(_ARCHIVE, measure="rows/s")
    days = _Days(stage)
    store = ArchiveStore(str(stage.scratch("archive")))
    with _pool(stage) as pool, psycopg.connect(stage.database.url, autocommit=True) as watcher:
        for number in range(stage.sizes.pairs):
            large, small = days.fill(stage.sizes.day), days.fill(stage.sizes.small_day)
            days.settle()
            ours, theirs = _by_turns(
                number, partial(_archive, pool, store, large), partial(_copy, stage, large)
            )
            archive.add(stage.sizes.day / ours, stage.sizes.day / theirs)
            deleting = _delete(stage, large)
            (of_small, small_files), (of_large, large_files) = (
                _drop(pool, watcher, chunk) for chunk in (small, large)
            )
            drop.add(of_large * 1000, of_small * 1000)
            delete.add(deleting * 1000, of_large * 1000)
            drop.notes.append(
                f"with the files given back to the disk {large_files * 1000:.0f} ms, "
                f"of a tenth of the rows {small_files * 1000:.0f} ms"
            )
            stage.say(
                f"expired day, pair {number + 1}: archived in {ours:.1f} s against {theirs:.1f} s, "
                f"dropped in {of_large * 1000:.0f} ms, a tenth of it in {of_small * 1000:.0f} ms, "
                f"deleted in {deleting:.1f} s"
            )
    return [drop, delete, archive]


def inserts(stage: Stage) -> list[Measured]:
    """Insert at a steady pace, first alone, then while the scheduled job archives and drops a day."""
    measured = Measured(INSERTS, measure="ms")
    days = _Days(stage)
    archive_url = str(stage.scratch("archive"))
    settings, _ = load({"data_dir": stage.folder / "data", "archive_url": archive_url}, {})
    with job_context(settings, stage.database.url) as context:
        for number in range(stage.sizes.pairs):
            days.fill(stage.sizes.day)
            days.settle()

            def run_job() -> None:
                run = JobRun(run_id=mint(), job=job.NAME, at=system_clock())
                done = job.run(context, run)
                if done["chunks"] != 1 or done["archives"] != 1:
                    raise LoadFailed(f"retention did something else: {done}")

            alone = _inserting(stage, lambda: time.sleep(stage.sizes.seconds))
            beside = _inserting(stage, run_job)
            measured.add(percentile(beside, 0.99), percentile(alone, 0.99))
            stage.say(
                f"inserts, pair {number + 1}: p99 {measured.service[-1]:.1f} ms of {len(beside)} beside the "
                f"job, {measured.reference[-1]:.1f} ms of {len(alone)} alone"
            )
    return [measured]


class _Days:
    """Days of the server log that are past their retention; each new day precedes the last one."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        stage.service()

    def fill(self, rows: int) -> Chunk:
        """Insert a new day with a number of rows."""
        database = self._stage.database
        newest = datetime.now(UTC) - _NEWEST
        oldest = database.value("SELECT least(min(created_at), %s) FROM server_logs", newest)
        first = oldest.replace(hour=0, minute=0, second=0, microsecond=0)
        start = first - timedelta(days=1)
        self._stage.say(f"filling {start:%Y-%m-%d} with {rows:,} rows")
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute(_FILL, {"start": start, "rows": rows})
        return Chunk(log=_LOG, start=start, end=start + timedelta(days=1), bytes=0, planned_rows=rows)

    def settle(self) -> None:
        """Vacuum the days and write them to the disk: real days that expire were written long ago."""
        self._stage.database.vacuum()
        self._stage.database.checkpoint()


@contextmanager
def _pool(stage: Stage) -> Iterator[Pool]:
    pool = Pool(stage.database.url, pool_size=1)
    try:
        yield pool
    finally:
        pool.close()


def _by_turns(number: int, ours: Callable[[], None], theirs: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds of both; each is the first one in every second turn."""
    if number % 2:
        later = _seconds(theirs)
        return _seconds(ours), later
    return _seconds(ours), _seconds(theirs)


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _archive(pool: Pool, store: ArchiveStore, chunk: Chunk) -> None:
    source = Source(log=_LOG, rows=retention.rows_of(chunk), range_start=chunk.start, range_end=chunk.end)
    with pool.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
        manifest = writing.write(tx, store, source, at=system_clock())
        if manifest is None or manifest.rows != chunk.planned_rows:
            raise LoadFailed(f"archived {manifest}")
        writing.record(tx, store, manifest)


def _copy(stage: Stage, chunk: Chunk) -> None:
    """Run the reference: write just the rows, compressed, into a file."""
    copy = _COPY.format(chunk.start.isoformat(), chunk.end.isoformat())
    with (stage.scratch("reference-copy") / "day.zst").open("wb") as file:
        compressing = subprocess.Popen(["zstd", "-q", "-c"], stdin=subprocess.PIPE, stdout=file)
        copying = subprocess.run(
            ["psql", "-qX", "-c", copy, stage.database.url], stdout=compressing.stdin, check=False
        )
        compressing.communicate()
        os.fsync(file.fileno())
    if copying.returncode or compressing.returncode:
        raise LoadFailed("COPY piped to zstd failed")


def _delete(stage: Stage, chunk: Chunk) -> float:
    """Return the seconds of a DELETE.

    It is rolled back, since the same rows are dropped afterwards.
    """
    with psycopg.connect(stage.database.url) as connection:
        connection.execute(f"SET ROLE {OWNER_ROLE}")
        began = time.perf_counter()
        deleted = connection.execute(_DELETION, [chunk.start, chunk.end]).rowcount
        took = time.perf_counter() - began
        connection.rollback()
    if deleted != chunk.planned_rows:
        raise LoadFailed(f"DELETE found {deleted:,} rows")
    return took


def _drop(pool: Pool, watcher: psycopg.Connection[Any], chunk: Chunk) -> tuple[float, float]:
    """Return the seconds until the day is invisible, and the seconds until its files are deleted, too.

    PostgreSQL releases its locks first and then deletes the files: only the connection that drops the day
    waits for that.
    """
    gone: list[float] = []
    [[oid]] = watcher.execute(_CHUNK, [_LOG, chunk.start]).fetchall()
    watching = threading.Thread(target=_watch, args=(watcher, oid, gone))
    watching.start()
    began = time.perf_counter()
    with pool.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
        retention.drop(tx, chunk, None, at=system_clock())
    ended = time.perf_counter()
    watching.join()
    return gone[0] - began, ended - began


def _watch(watcher: psycopg.Connection[Any], oid: int, gone: list[float]) -> None:
    while watcher.execute("SELECT FROM pg_class WHERE oid = %s", [oid]).rowcount:
        time.sleep(_LOOK_SECONDS)
    gone.append(time.perf_counter())


def _inserting(stage: Stage, meanwhile: Callable[[], None]) -> list[float]:
    """Return the milliseconds of each insert beside some other work, in ascending order."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.inserting", stage.database.url, str(INSERTS_A_SECOND)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    if process.stdin is None or process.stdout is None or process.stdout.readline() != "ready\n":
        raise LoadFailed("nothing could be inserted")
    try:
        meanwhile()
    finally:
        process.stdin.close()
        taken: list[float] = json.loads(process.stdout.read() or "[]")
        process.stdout.close()
        process.wait()
    if not taken:
        raise LoadFailed("nothing was inserted")
    return taken


def _check_programs() -> None:
    missing = [name for name in ("psql", "zstd") if shutil.which(name) is None]
    if missing:
        raise LoadFailed(
            f"the reference takes {' and '.join(missing)}: apt-get install postgresql-client zstd"
        )
