"""Delete log rows whose retention term is over: whole chunks where possible, else rows in bounded steps."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import Executable

from gitstore.failpoints import passing
from service.archive import store, writing
from service.archive.errors import ArchiveError, ArchiveStopped
from service.archive.manifests import Manifest
from service.archive.store import ArchiveStore
from service.archive.writing import Source
from service.domain.job_runs import Blocked, Counts, JobRun, PlannedPart, RunPlan
from service.domain.retention_levels import LEVELS_OF
from service.usecases.context import JobContext, Parts
from sql.database import PLATFORM, RETENTION_ROLE, Transaction
from sql.errors import ChunkGone, LockNotTaken, RowsKept, WriteConflict
from sql.queries import log_positions, retention, retention_policies
from sql.queries.retention import Chunk, HeldRows, Span

NAME: Final = "retention"

# Rows in one transaction: few if they are only deleted, more if each transaction makes an archive file.
ROWS_AT_ONCE: Final = 5_000
ARCHIVED_AT_ONCE: Final = 20_000
# Rows that expire before the rest of their chunk are deleted singly only after this time: a chunk spans a
# day, so most rows are dropped with their chunk before.
GRACE: Final = timedelta(days=1)
# Many short tries: each one that waits for a reader or writer of the chunk delays others by at most 80 ms.
LOCK_TRIES: Final = 40
LOCK_PAUSE_SECONDS: Final = 0.5
# Positions of a subscription that are looked at in one transaction.
POSITIONS_AT_ONCE: Final = 10_000

Result = TypeVar("Result")
Rows = TypeVar("Rows", Chunk, Span)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expired:
    """Expired rows of a log: whole chunks, and spans of rows in other chunks."""

    log: str
    # The newest of the cutoffs of its levels.
    until: datetime
    chunks: Sequence[Chunk] = ()
    spans: Sequence[Span] = ()


class _Terms:
    """Cut-offs by level: those for all subscriptions, and those of single ones. None keeps rows for good."""

    def __init__(self, tx: Transaction, at: datetime) -> None:
        self._for_all: dict[str, datetime | None] = {}
        self._own: dict[str, list[tuple[UUID, datetime | None]]] = {}
        for rule in retention_policies.rules(tx):
            cutoff = None if rule.keep_days is None else at - timedelta(days=rule.keep_days)
            if rule.subscription_id is None:
                self._for_all[rule.level] = cutoff
            else:
                self._own.setdefault(rule.level, []).append((rule.subscription_id, cutoff))

    def of(self, level: str) -> Iterator[tuple[UUID | None, datetime]]:
        """Yield subscriptions and their cut-offs of a level; None means all that have no own rule."""
        for of, cutoff in ((None, self._for_all[level]), *self._own.get(level, ())):
            if cutoff is not None:
                yield of, cutoff

    def newest(self, log: str) -> datetime | None:
        """Latest cut-off of a log over all its levels and rules."""
        return max((cutoff for level in LEVELS_OF[log] for _, cutoff in self.of(level)), default=None)


def plan(context: Parts, at: datetime) -> RunPlan:
    """Plan a run at an instant: rows to delete by log, level and rule, and rows that legal holds keep."""
    parts: list[PlannedPart] = []
    blocked: dict[tuple[UUID, str], int] = {}
    with context.database.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
        for found in _expired(tx, at):
            kept: list[datetime] = []
            for span in found.spans:
                held = retention.held(tx, span, at=at)
                for each in held:
                    blocked[each.hold_id, span.log] = blocked.get((each.hold_id, span.log), 0) + each.rows
                oldest = _oldest_kept(tx, span, held)
                kept += [] if oldest is None else [oldest]
                if rows := retention.count(tx, span, at=at):
                    parts.append(
                        PlannedPart(
                            what=span.log,
                            level=span.level,
                            subscription_id=span.subscription_id,
                            rows=rows,
                            oldest_kept=oldest,
                        )
                    )
            if found.chunks:
                parts.append(_part_of(tx, found, kept))
    return RunPlan(
        at=at,
        parts=parts,
        blocked=[Blocked(hold_id=hold, what=log, rows=rows) for (hold, log), rows in blocked.items()],
    )


def run(context: JobContext, run: JobRun) -> Counts:
    """Delete the rows whose term is over at the run's instant; if an archive is set, archive them first.

    Rows that the archive refuses stay. The run continues with other rows, and raises ArchiveError at the end.
    """
    with context.database.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
        expired = list(_expired(tx, run.at))
    removal = _RetentionRun(context, run)
    for found in expired:
        for chunk in found.chunks:
            removal.attempt(removal.drop, chunk)
        for span in found.spans:
            removal.attempt(removal.sweep, span)
    _delete_positions(context, run, expired)
    if removal.failures:
        raise removal.failures[0]
    return removal.counts(expired)


def _delete_positions(context: JobContext, run: JobRun, expired: Sequence[_Expired]) -> None:
    """Delete the positions of deleted rows; readers pass those that are left over."""
    until: dict[str, datetime] = {}
    for found in expired:
        # The positions of both execution logs are of one name.
        log = "execution_logs" if found.log == "node_execution_logs" else found.log
        until[log] = max(found.until, until.get(log, found.until))
    with context.database.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
        subscriptions = log_positions.numbered(tx)
    for subscription_id in subscriptions:
        for log, end in until.items():
            after: int | None = -1
            while after is not None and not run.is_over:
                with context.database.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
                    after = log_positions.delete_gone(
                        tx, subscription_id, log, end, after, limit=POSITIONS_AT_ONCE
                    )


class _RetentionRun:
    """One run of retention: deletes chunks and spans of rows, and counts them."""

    def __init__(self, context: JobContext, run: JobRun) -> None:
        self._context = context
        self._run = run
        self._archive = store.opened(context.settings)
        self._rows: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self.failures: list[ArchiveError] = []

    def attempt(self, delete: Callable[[Rows], None], rows: Rows) -> None:
        """Delete a chunk or a span, or leave it to the next run; archive errors are kept as failures."""
        if self._run.is_over:
            self._leave(rows, "no time was left for it")
            return
        try:
            delete(rows)
        except ChunkGone:
            self._tell(rows, "somebody else dropped it")
        except (RowsKept, LockNotTaken, WriteConflict, ArchiveStopped) as reason:
            self._leave(rows, reason)
        except ArchiveError as error:
            self._leave(rows, error)
            self.failures.append(error)

    def drop(self, chunk: Chunk) -> None:
        """Drop a whole chunk, archived first; if its readers do not end in time, leave it to the next run."""
        archived = None if self._archive is None else self._archived(self._archive, chunk)
        rows = self._patiently(partial(self._drop, chunk, archived))
        passing("chunk-dropped")
        self._rows[chunk.log] += rows
        self._done["chunks"] += 1
        self._done["bytes"] += chunk.bytes
        about = {"rows": rows, "bytes": chunk.bytes, "archived": archived is not None}
        self._tell(chunk, "a chunk was dropped", **about)

    def sweep(self, span: Span) -> None:
        """Delete the expired rows of a span, in bounded steps."""
        limit = ROWS_AT_ONCE if self._archive is None else self._archive.rows_at_once(ARCHIVED_AT_ONCE)
        delete = self._delete if self._archive is None else partial(self._delete_archived, self._archive)
        gone, last = 0, limit
        try:
            while last == limit:
                if self._run.is_over:
                    self._leave(span, "no time was left for all of it")
                    break
                last = self._patiently(partial(delete, span, limit))
                passing("rows-gone")
                gone += last
        finally:
            self._rows[span.log] += gone
            if gone:
                of = span.subscription_id
                about = {"level": span.level, "subscription_id": None if of is None else str(of)}
                self._tell(span, "rows were deleted", rows=gone, **about)

    def counts(self, expired: Sequence[_Expired]) -> Counts:
        """Return the run's counts, the number of rows under legal holds, and each log's oldest row left."""
        held = 0
        kept: dict[str, datetime | None] = {}
        for found in expired:
            held += sum(each.rows for span in found.spans for each in self._held(span))
            with self._transaction() as tx:
                kept[found.log] = retention.oldest(tx, found.log)
        return {
            "rows": self._rows.total(),
            "rows_by_log": dict(self._rows),
            **{name: self._done[name] for name in ("chunks", "bytes", "archives", "archived_rows", "left")},
            "held_rows": held,
            "oldest_kept": kept,
            "is_complete": not self._run.is_over,
        }

    def _transaction(self) -> AbstractContextManager[Transaction]:
        return self._context.database.transaction(PLATFORM, role=RETENTION_ROLE)

    def _archived(self, archive: ArchiveStore, chunk: Chunk) -> int:
        """Archive a chunk; returns the number of archived rows."""
        with self._transaction() as tx:
            manifest = self._write(tx, archive, chunk, retention.rows_of(chunk))
            passing("chunk-archived")
            if manifest is not None:
                writing.record(tx, archive, manifest)
        passing("archive-recorded")
        return 0 if manifest is None else self._noted(manifest)

    def _drop(self, chunk: Chunk, archived: int | None) -> int:
        with self._transaction() as tx:
            rows = archived
            if rows is None:
                # PostgreSQL's estimate is taken, if it has one: counting takes far longer than the drop.
                rows = chunk.planned_rows if chunk.planned_rows >= 0 else retention.count_rows(tx, chunk)
            retention.drop(tx, chunk, archived, at=self._run.at)
            return rows

    def _delete(self, span: Span, limit: int) -> int:
        with self._transaction() as tx:
            return retention.delete(tx, span, at=self._run.at, limit=limit)

    def _delete_archived(self, archive: ArchiveStore, span: Span, limit: int) -> int:
        """Archive and delete rows in one transaction; if it fails, they are at worst archived twice."""
        gone = retention.deletion(span, at=self._run.at, limit=limit)
        manifest = None
        try:
            with self._transaction() as tx:
                manifest = self._write(tx, archive, span, gone, of=span.subscription_id)
                if manifest is None:
                    return 0
                passing("rows-archived")
                writing.record(tx, archive, manifest)
                passing("rows-recorded")
        except LockNotTaken:
            # The transaction was refused, at the latest at COMMIT: the rows stay, so withdraw their archive.
            if manifest is not None:
                writing.withdraw(archive, manifest)
            raise
        return self._noted(manifest)

    def _write(
        self,
        tx: Transaction,
        archive: ArchiveStore,
        rows: Chunk | Span,
        query: Executable,
        *,
        of: UUID | None = None,
    ) -> Manifest | None:
        """Write an archive of the rows that a query returns; returns None if there are no rows."""
        source = Source(
            log=rows.log,
            rows=query,
            range_start=rows.start,
            range_end=rows.end,
            time_column=retention.time_column(rows.log),
            subscription_id=of,
        )
        at = self._context.clock()
        return writing.write(tx, archive, source, at=at, run_id=self._run.run_id, stop=self._run.stop)

    def _noted(self, manifest: Manifest) -> int:
        self._done["archives"] += 1
        self._done["archived_rows"] += manifest.rows
        return manifest.rows

    def _patiently(self, work: Callable[[], Result]) -> Result:
        """Repeat a transaction while a lock is not free; raises LockNotTaken after the last try."""
        for _ in range(LOCK_TRIES):
            try:
                return work()
            except LockNotTaken:
                if self._run.is_over or self._run.stop.wait(LOCK_PAUSE_SECONDS):
                    raise
        return work()

    def _held(self, span: Span) -> list[HeldRows]:
        try:
            with self._transaction() as tx:
                return retention.held(tx, span, at=self._run.at)
        except RowsKept:
            # A rule made since then keeps all rows of the span, so legal holds keep no further ones.
            return []

    def _leave(self, rows: Chunk | Span, reason: object) -> None:
        self._done["left"] += 1
        self._tell(rows, "left for the next run", reason=str(reason))

    def _tell(self, rows: Chunk | Span, message: str, /, **about: Any) -> None:
        span = {"log": rows.log, "since": rows.start.isoformat(), "until": rows.end.isoformat()}
        self._run.tell(f"{rows.log}: {message}", span | about)


def _expired(tx: Transaction, at: datetime) -> Iterator[_Expired]:
    """Yield the expired rows of each log by the present rules and legal holds."""
    terms = _Terms(tx, at)
    for log in LEVELS_OF:
        newest = terms.newest(log)
        if newest is None:
            continue
        old = [chunk for chunk in retention.chunks(tx, log) if chunk.start < newest]
        whole = [chunk for chunk in old if chunk.end <= newest and not retention.keeps(tx, chunk, at=at)]
        spans = [span for part in _parted(old, whole) for span in _spans(log, part, terms)]
        # A log without chunks is a plain table or has no rows.
        yield _Expired(log=log, until=newest, chunks=whole, spans=spans if old else _plain(tx, log, terms))


def _parted(old: Sequence[Chunk], whole: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Group neighbouring chunks to keep; a chunk to drop ends a group."""
    part: list[Chunk] = []
    for chunk in old:
        if chunk not in whole:
            part.append(chunk)
        elif part:
            yield part
            part = []
    if part:
        yield part


def _spans(log: str, part: Sequence[Chunk], terms: _Terms) -> Iterator[Span]:
    """Yield the spans of rows that expire before the rest of their chunks."""
    start, end = part[0].start, part[-1].end
    for level in LEVELS_OF[log]:
        for of, cutoff in terms.of(level):
            until = cutoff
            if of is None:
                past = [chunk.end for chunk in part if chunk.end <= cutoff]
                until = max([cutoff - GRACE, *past])
            if start < until:
                yield Span(log=log, level=level, subscription_id=of, start=start, end=min(until, end))


def _plain(tx: Transaction, log: str, terms: _Terms) -> list[Span]:
    """List the spans of expired rows of a plain table."""
    oldest = retention.oldest(tx, log)
    return [
        Span(log=log, level=level, subscription_id=of, start=oldest, end=cutoff)
        for level in LEVELS_OF[log]
        for of, cutoff in terms.of(level)
        if oldest is not None and oldest < cutoff
    ]


def _oldest_kept(tx: Transaction, span: Span, held: Iterable[HeldRows]) -> datetime | None:
    after = retention.oldest(tx, span.log, since=span.end, of=span.subscription_id)
    return min([each.oldest for each in held] + ([] if after is None else [after]), default=None)


def _part_of(tx: Transaction, found: _Expired, kept: Sequence[datetime]) -> PlannedPart:
    """Make the part of a plan that is about the chunks of a log to drop."""
    levels = LEVELS_OF[found.log]
    after = retention.oldest(tx, found.log, since=found.chunks[-1].end)
    return PlannedPart(
        what=found.log,
        level=levels[0] if len(levels) == 1 else None,
        rows=sum(retention.count_rows(tx, chunk) for chunk in found.chunks),
        bytes=sum(chunk.bytes for chunk in found.chunks),
        chunks=len(found.chunks),
        oldest_kept=min([*kept, *([] if after is None else [after])], default=None),
    )
