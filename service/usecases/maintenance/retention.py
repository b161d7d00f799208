"""The job that lets rows of logs go when their term is over: whole chunks, or rows, so many at once."""

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
from service.domain.job_runs import Blocked, Counts, JobRun, Part, Plan
from service.domain.retention_levels import LEVELS_OF
from service.usecases.context import JobContext, Parts
from sql.database import PLATFORM, RETENTION_ROLE, Transaction
from sql.errors import ChunkGone, LockNotTaken, RowsKept, WriteConflict
from sql.queries import retention, retention_policies
from sql.queries.retention import Chunk, Guarded, HeldRows, Span

NAME: Final = "retention"

# In one transaction: short where it only deletes, fewer and larger files where it archives.
ROWS_AT_ONCE: Final = 5_000
ARCHIVED_AT_ONCE: Final = 20_000
# Of a chunk in which some are past their term already, those that are so for longer go at once: it takes more
# than a day until it goes as a whole.
GRACE: Final = timedelta(days=1)
# Somebody reads or writes what is to go: each try makes others wait for 80 ms at the most, and seldom.
LOCK_TRIES: Final = 40
LOCK_PAUSE_SECONDS: Final = 0.5
# A chunk that was written to while it was archived is archived again.
ARCHIVE_TRIES: Final = 3

Result = TypeVar("Result")
Rows = TypeVar("Rows", Chunk, Span)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What may go of a log: chunks as a whole, and rows of others."""

    log: str
    chunks: Sequence[Chunk] = ()
    spans: Sequence[Span] = ()


class _Terms:
    """The instants before which rows of a level may go, None for good: for all, and by subscriptions."""

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
        """Whose rows of a level may go, and before when; None for all that have no rule of their own."""
        for of, cutoff in ((None, self._for_all[level]), *self._own.get(level, ())):
            if cutoff is not None:
                yield of, cutoff

    def newest(self, log: str) -> datetime | None:
        """Before when any row of a log may go."""
        return max((cutoff for level in LEVELS_OF[log] for _, cutoff in self.of(level)), default=None)


def plan(context: Parts, at: datetime) -> Plan:
    """What a run at an instant would let go, by log, level and whose rule it is, and what holds keep."""
    parts: list[Part] = []
    blocked: dict[tuple[UUID, str], int] = {}
    with context.database.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
        for work in _works(tx, at):
            kept: list[datetime] = []
            for span in work.spans:
                held = retention.held(tx, span, at=at)
                for each in held:
                    blocked[each.hold_id, span.log] = blocked.get((each.hold_id, span.log), 0) + each.rows
                oldest = _oldest_kept(tx, span, held)
                kept += [] if oldest is None else [oldest]
                if rows := retention.count(tx, span, at=at):
                    parts.append(
                        Part(
                            what=span.log,
                            level=span.level,
                            subscription_id=span.subscription_id,
                            rows=rows,
                            oldest_kept=oldest,
                        )
                    )
            if work.chunks:
                parts.append(_part_of(tx, work, kept))
    return Plan(
        at=at,
        parts=parts,
        blocked=[Blocked(hold_id=hold, what=log, rows=rows) for (hold, log), rows in blocked.items()],
    )


def run(context: JobContext, run: JobRun) -> Counts:
    """Let go what is past its term at the run's instant, archived first where there is an archive.

    What the archive does not take stays, and keeps nothing else: ArchiveError is raised when all had their
    turn.
    """
    with context.database.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
        works = list(_works(tx, run.at))
    letting_go = _LettingGo(context, run)
    for work in works:
        for chunk in work.chunks:
            letting_go.attempt(letting_go.drop, chunk)
        for span in work.spans:
            letting_go.attempt(letting_go.sweep, span)
    if letting_go.failures:
        raise letting_go.failures[0]
    return letting_go.counts(works)


class _LettingGo:
    """One run at work: what it does to a chunk or to a span of rows, and what that came to."""

    def __init__(self, context: JobContext, run: JobRun) -> None:
        self._context = context
        self._run = run
        self._archive = store.opened(context.settings)
        self._rows: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self.failures: list[ArchiveError] = []

    def attempt(self, let_go: Callable[[Rows], None], rows: Rows) -> None:
        """Let a chunk or a span go, or leave it; where the archive does not take it the run will fail."""
        if self._run.is_over:
            self._leave(rows, "no time was left for it")
            return
        try:
            let_go(rows)
        except ChunkGone:
            self._tell(rows, "somebody else dropped it")
        except (RowsKept, LockNotTaken, WriteConflict, ArchiveStopped) as reason:
            self._leave(rows, reason)
        except ArchiveError as error:
            self._leave(rows, error)
            self.failures.append(error)

    def drop(self, chunk: Chunk) -> None:
        """Let a chunk go as a whole; whoever is at work in it is waited for a few times, then it stays."""
        for _ in range(ARCHIVE_TRIES):
            guarded = self._patiently(partial(self._guard, chunk))
            passing("chunk-guarded")
            archived = None if self._archive is None else self._archived(self._archive, chunk)
            try:
                rows = self._patiently(partial(self._drop, chunk, archived, guarded))
            except WriteConflict:
                # Something was added to it since it was guarded.
                continue
            passing("chunk-dropped")
            self._rows[chunk.log] += rows
            self._done["chunks"] += 1
            self._done["bytes"] += chunk.bytes
            about = {"rows": rows, "bytes": chunk.bytes, "archived": archived is not None}
            self._tell(chunk, "a chunk was dropped", **about)
            return
        self._leave(chunk, "it is written to all the while")

    def sweep(self, span: Span) -> None:
        """Delete rows of a span that may go, so many at once."""
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

    def counts(self, works: Sequence[_Work]) -> Counts:
        """What the run came to, what holds keep, and the oldest row of each log that is left."""
        held = 0
        kept: dict[str, datetime | None] = {}
        for work in works:
            held += sum(each.rows for span in work.spans for each in self._held(span))
            with self._transaction() as tx:
                kept[work.log] = retention.oldest(tx, work.log)
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
        """How many rows a chunk's new archive has."""
        with self._transaction() as tx:
            manifest = self._write(tx, archive, chunk, retention.rows_of(chunk))
            passing("chunk-archived")
            if manifest is not None:
                writing.record(tx, archive, manifest)
        passing("archive-recorded")
        return 0 if manifest is None else self._noted(manifest)

    def _guard(self, chunk: Chunk) -> Guarded:
        with self._transaction() as tx:
            return retention.guard(tx, chunk)

    def _drop(self, chunk: Chunk, archived: int | None, guarded: Guarded) -> int:
        with self._transaction() as tx:
            rows = archived
            if rows is None:
                # Where PostgreSQL knows it, not counted: that takes far longer than the drop.
                rows = chunk.planned_rows if chunk.planned_rows >= 0 else retention.count_rows(tx, chunk)
            retention.drop(tx, chunk, guarded, at=self._run.at)
            return rows

    def _delete(self, span: Span, limit: int) -> int:
        with self._transaction() as tx:
            return retention.delete(tx, span, at=self._run.at, limit=limit)

    def _delete_archived(self, archive: ArchiveStore, span: Span, limit: int) -> int:
        """Delete rows in the transaction in which they are archived: at worst they are so twice."""
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
            # It was refused, at the latest by its COMMIT: the rows stay.
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
        """A new archive of what a query gives; None for no rows."""
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
        """Do a transaction's work, again where a lock is not free; raises LockNotTaken in the end."""
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
            # A rule was made meanwhile by which none of it may go.
            return []

    def _leave(self, rows: Chunk | Span, reason: object) -> None:
        self._done["left"] += 1
        self._tell(rows, "left for the next run", reason=str(reason))

    def _tell(self, rows: Chunk | Span, message: str, /, **about: Any) -> None:
        span = {"log": rows.log, "since": rows.start.isoformat(), "until": rows.end.isoformat()}
        self._run.tell(f"{rows.log}: {message}", span | about)


def _works(tx: Transaction, at: datetime) -> Iterator[_Work]:
    """What may go of each log, by the rules and holds of this moment."""
    terms = _Terms(tx, at)
    for log in LEVELS_OF:
        newest = terms.newest(log)
        if newest is None:
            continue
        old = [chunk for chunk in retention.chunks(tx, log) if chunk.start < newest]
        whole = [chunk for chunk in old if chunk.end <= newest and not retention.keeps(tx, chunk, at=at)]
        spans = [span for part in _parted(old, whole) for span in _spans(log, part, terms)]
        # A log without chunks is a plain table, or has no rows.
        yield _Work(log=log, chunks=whole, spans=spans if old else _plain(tx, log, terms))


def _parted(old: Sequence[Chunk], whole: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """The chunks that stay, those together that no chunk that goes lies between."""
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
    """The rows of some chunks that may go before these do."""
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
    """The rows of a plain table that may go."""
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


def _part_of(tx: Transaction, work: _Work, kept: Sequence[datetime]) -> Part:
    """What goes of a log in whole chunks."""
    levels = LEVELS_OF[work.log]
    after = retention.oldest(tx, work.log, since=work.chunks[-1].end)
    return Part(
        what=work.log,
        level=levels[0] if len(levels) == 1 else None,
        rows=sum(retention.count_rows(tx, chunk) for chunk in work.chunks),
        bytes=sum(chunk.bytes for chunk in work.chunks),
        chunks=len(work.chunks),
        oldest_kept=min([*kept, *([] if after is None else [after])], default=None),
    )
