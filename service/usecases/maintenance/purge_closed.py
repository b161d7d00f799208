"""Export and purge closed subscriptions: their rows and their repository are deleted for good.

Tables that are written to until the end are not part of the export: their rows are archived in the
transaction that deletes them. The next run continues where a killed run ended: it exports no table twice, and
each step deletes the rows that are still there.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from gitstore.failpoints import passing
from gitstore.upkeep import bundle
from service.archive import writing
from service.archive.errors import ArchiveStopped
from service.archive.store import ArchiveStore, opened
from service.archive.writing import Source
from service.audit import data_changes
from service.committer.consolidation import sole_upkeep
from service.committer.refs import settle
from service.domain.actions import Action
from service.domain.ids import SubscriptionId
from service.domain.job_runs import Blocked, Counts, JobRun, PlannedPart, RunPlan
from service.usecases.context import JobContext, Parts
from service.usecases.maintenance.actors import with_policy
from service.usecases.maintenance.turns import take_turns
from service.usecases.subscriptions import settings_of, subject_of
from sql.database import PLATFORM, RETENTION_ROLE, Transaction
from sql.queries import legal_holds, purge_closed, repositories, tenancy
from sql.queries.legal_holds import HoldRow
from sql.queries.purge_closed import KEPT_UP, LOGS, PurgeStep
from sql.queries.tenancy import SubscriptionRow

NAME: Final = "purge-closed"

BUNDLE = "repository"
# Rows in one transaction: few if they are only deleted, more if each transaction makes an archive file.
BATCH = 5_000
ARCHIVED_AT_ONCE = 50_000


def run(context: JobContext, run: JobRun) -> Counts:
    """Export and purge the closed subscriptions whose time is over, in the order in which they became due."""
    counts: Counter[str] = Counter(exported=0, purged=0, blocked=0, rows=0)
    with context.database.transaction(PLATFORM) as tx:
        due = {row.subscription_id: row for row in purge_closed.due(tx, run.at)}

    def turn(subscription_id: SubscriptionId, _: None) -> None:
        # A run that is asked to stop leaves the rest to the next run.
        with suppress(ArchiveStopped):
            _PurgeRun(context, run, due[subscription_id], counts).carry_out()

    take_turns(run, due, turn)
    return dict(counts)


def plan(context: Parts, at: datetime) -> RunPlan:
    """Count the rows that a run would purge, and those that legal holds keep."""
    parts: list[PlannedPart] = []
    blocked: list[Blocked] = []
    with context.database.transaction(PLATFORM) as tx:
        for row in purge_closed.due(tx, at):
            found = purge_closed.counts(tx, row.subscription_id)
            hold = _hold(tx, row.subscription_id, at)
            if hold is not None:
                blocked.append(Blocked(hold_id=hold.hold_id, what="subscriptions", rows=sum(found.values())))
                continue
            parts += [
                PlannedPart(what=table, subscription_id=row.subscription_id, rows=rows)
                for table, rows in found.items()
                if rows
            ]
    return RunPlan(at=at, parts=parts, blocked=blocked)


def _hold(tx: Transaction, subscription_id: UUID, at: datetime) -> HoldRow | None:
    return next(iter(legal_holds.running(tx, subscription_id, at)), None)


class _PurgeRun:
    """Export and purge of one subscription."""

    def __init__(self, context: JobContext, run: JobRun, row: SubscriptionRow, counts: Counter[str]) -> None:
        self._context = context
        self._run = run
        self._row = row
        self._subscription_id = SubscriptionId(row.subscription_id)
        self._counts = counts

    def carry_out(self) -> None:
        """Continue until the subscription is purged, the run's time is over or a legal hold keeps it."""
        with self._context.database.transaction(self._subscription_id) as tx:
            hold = _hold(tx, self._subscription_id, self._run.at)
        if hold is not None:
            self._keep(hold)
            return
        if self._row.exported_at is None and not self._export():
            return
        if not self._remove_rows():
            return
        self._context.store.remove(str(self._subscription_id))
        passing("repository-removed")
        with self._context.database.transaction(self._subscription_id) as tx:
            before = self._locked(tx)
            at = self._context.clock()
            self._store(tx, before, replace(before, purged_at=at), Action.DELETE, at)
        self._counts["purged"] += 1
        self._tell("a closed subscription was purged")

    # -- the export ---------------------------------------------------------------------------------

    def _export(self) -> bool:
        """Export the tables that no longer change, and record the export; returns False if it must wait."""
        store = _archive(self._context)
        with self._context.database.transaction(self._subscription_id) as tx:
            done = purge_closed.exported(tx, self._row)
        for table in purge_closed.EXPORTED:
            if self._run.is_over:
                return False
            if table not in done:
                self._export_rows(store, table)
                passing("rows-exported")
        if BUNDLE not in done and not self._export_repository(store):
            return False
        with self._context.database.transaction(self._subscription_id) as tx:
            before = self._locked(tx)
            hold = _hold(tx, self._subscription_id, self._run.at)
            if before.closed_at != self._row.closed_at or hold is not None:
                # The subscription was reopened, or put under a legal hold, during the export: it stays.
                self._tell("a closed subscription was not purged after all")
                return False
            at = self._context.clock()
            self._store(tx, before, replace(before, exported_at=at), Action.UPDATE, at)
        self._counts["exported"] += 1
        self._tell("a closed subscription was exported", {"to": store.url})
        passing("export-noted")
        return True

    def _export_rows(self, store: ArchiveStore, table: str) -> None:
        at = self._context.clock()
        source = Source(
            log=table,
            rows=purge_closed.rows(table, self._subscription_id),
            range_start=self._row.created_at,
            range_end=at,
            time_column=None,
            subscription_id=self._subscription_id,
        )
        with self._context.database.transaction(self._subscription_id) as tx:
            manifest = writing.write(tx, store, source, at=at, run_id=self._run.run_id, stop=self._run.stop)
            if manifest is not None:
                writing.record(tx, store, manifest)

    def _export_repository(self, store: ArchiveStore) -> bool:
        """Export the repository with all its history; returns False if upkeep has the repository's lock."""
        settle(self._context.database, self._context.store, self._subscription_id)
        with self._context.database.transaction(self._subscription_id) as tx:
            state = repositories.refs(tx, self._subscription_id)
        if state is None or state.head is None:
            # The repository was never written to.
            return True
        file = self._context.settings.data_dir / f"export-{self._subscription_id}.bundle"
        try:
            with sole_upkeep(
                self._context.database, self._context.store, self._subscription_id, stop=self._run.stop
            ) as work:
                if work is None:
                    self._tell("upkeep is at the repository: the next run exports it")
                    return False
                bundle.write(work.git, file)
            at = self._context.clock()
            manifest = writing.write_file(
                store,
                file,
                log=BUNDLE,
                suffix="bundle",
                subscription_id=self._subscription_id,
                range_start=self._row.created_at,
                range_end=at,
                at=at,
                run_id=self._run.run_id,
                stop=self._run.stop,
            )
        finally:
            file.unlink(missing_ok=True)
        with self._context.database.transaction(self._subscription_id) as tx:
            writing.record(tx, store, manifest)
        return True

    # -- the end ------------------------------------------------------------------------------------

    def _remove_rows(self) -> bool:
        """Delete the subscription's rows in steps; returns False on a legal hold, or if time is over."""
        store = _archive(self._context)
        removed: Counter[str] = Counter()
        stages: list[Callable[[Transaction], PurgeStep | None]] = [
            *(partial(self._archive_some, store=store, table=table) for table in KEPT_UP),
            self._purge_some,
            *(partial(self._archive_some, store=store, table=table) for table in LOGS),
        ]
        try:
            return all(self._is_through(stage, removed) for stage in stages)
        finally:
            self._counts["rows"] += removed.total()
            if removed:
                self._tell("rows of a closed subscription were removed", dict(removed))

    def _is_through(self, stage: Callable[[Transaction], PurgeStep | None], removed: Counter[str]) -> bool:
        """Repeat the step of a stage until its end; returns False on a legal hold, or if time is over."""
        while not self._run.is_over:
            with self._context.database.transaction(self._subscription_id, role=RETENTION_ROLE) as tx:
                hold = _hold(tx, self._subscription_id, self._run.at)
                if hold is not None:
                    self._keep(hold)
                    return False
                step = stage(tx)
            if step is None:
                return True
            removed[step.table] += step.rows
            passing("rows-purged")
            if step.is_last:
                return True
        return False

    def _purge_some(self, tx: Transaction) -> PurgeStep | None:
        return purge_closed.purge_some(tx, self._subscription_id, self._run.at, limit=BATCH)

    def _archive_some(self, tx: Transaction, *, store: ArchiveStore, table: str) -> PurgeStep | None:
        """Archive and delete rows in one transaction; if it fails, they are at worst archived twice."""
        at = self._context.clock()
        limit = store.rows_at_once(ARCHIVED_AT_ONCE)
        source = Source(
            log=table,
            rows=purge_closed.deletion(table, self._subscription_id, self._run.at, limit=limit),
            range_start=self._row.created_at,
            range_end=at,
            time_column=purge_closed.time_column(table),
            subscription_id=self._subscription_id,
        )
        manifest = writing.write(tx, store, source, at=at, run_id=self._run.run_id, stop=self._run.stop)
        if manifest is None:
            return None
        passing("leaving-archived")
        writing.record(tx, store, manifest)
        passing("leaving-recorded")
        # Fewer rows than the limit end the stage, so that callers who keep writing do not delay the purge.
        return PurgeStep(table, manifest.rows, is_last=manifest.rows < limit)

    def _locked(self, tx: Transaction) -> SubscriptionRow:
        """Lock the subscription's row until the transaction ends; this row is never deleted."""
        row = tenancy.subscription(tx, self._subscription_id, lock=True)
        if row is None:
            raise LookupError(f"the row of the subscription {self._subscription_id} is gone")
        return row

    def _store(
        self, tx: Transaction, before: SubscriptionRow, after: SubscriptionRow, action: Action, at: datetime
    ) -> None:
        tenancy.update_closing(tx, after)
        data_changes.record(
            tx,
            with_policy(tx, self._subscription_id, self._run.machine),
            self._subscription_id,
            subject_of(after),
            action,
            at,
            table="subscriptions",
            record_id=self._subscription_id,
            old=settings_of(before),
            new=settings_of(after),
        )

    def _keep(self, hold: HoldRow) -> None:
        self._counts["blocked"] += 1
        self._tell("a legal hold keeps a closed subscription", {"hold_id": hold.hold_id})

    def _tell(self, message: str, about: Mapping[str, Any] | None = None) -> None:
        self._run.tell(message, {"subscription_id": self._subscription_id, **(about or {})})


def _archive(context: JobContext) -> ArchiveStore:
    """Open the archive of the settings, or else a folder beside the repositories."""
    settings = context.settings
    return opened(settings) or ArchiveStore(
        str(settings.data_dir / "exports"), rows_per_second=settings.archive_rows_per_second
    )
