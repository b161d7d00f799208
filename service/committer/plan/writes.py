"""The rows of the accepted changes of a batch, written together before its one COMMIT."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from service.domain import idempotency, quotas
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from sql.database import Transaction
from sql.pipelines import pipelined
from sql.queries import (
    audit_logs,
    check_outs,
    comments,
    data_changes,
    deletions,
    places,
    publications,
    repositories,
    resources,
    tags,
    versions,
)
from sql.queries.audit_logs import AuditRow
from sql.queries.check_outs import CheckOutRow
from sql.queries.comments import NewComment
from sql.queries.data_changes import NewDataChange
from sql.queries.deletions import NewDeletion, RestoredDeletions
from sql.queries.publications import Publication
from sql.queries.repositories import Growth, RepositoryState
from sql.queries.resources import ResourceRow
from sql.queries.tags import NewTag
from sql.queries.versions import NewVersionRow


@dataclass(slots=True)
class Rows:
    """Rows in the order in which they depend on each other.

    One flush changes the tag of a resource at most once, and moves at most one resource.
    """

    resources: list[ResourceRow] = field(default_factory=list)
    touched: dict[UUID, ResourceRow] = field(default_factory=dict)
    # Flushed at once, after the rows above: names have to be unique after each row.
    placed: ResourceRow | None = None
    superseded: list[UUID] = field(default_factory=list)
    versions: list[NewVersionRow] = field(default_factory=list)
    untagged: list[tuple[UUID, UUID]] = field(default_factory=list)
    tags: list[NewTag] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    # Check-outs by id, with the version that they move to.
    moved: dict[UUID, tuple[CheckOutRow, UUID]] = field(default_factory=dict)
    checked_in: list[tuple[CheckOutRow, UUID]] = field(default_factory=list)
    comments: list[NewComment] = field(default_factory=list)
    deletions: list[NewDeletion] = field(default_factory=list)
    # Resources to delete, to restore and to purge, by kind.
    to_delete: dict[str, list[UUID]] = field(default_factory=dict)
    to_restore: dict[str, list[UUID]] = field(default_factory=dict)
    to_purge: dict[str, list[UUID]] = field(default_factory=dict)
    restorations: list[RestoredDeletions] = field(default_factory=list)
    # Current versions of deleted and restored resources: they count these changes, which make no version.
    counted: list[UUID] = field(default_factory=list)
    withdrawn: list[UUID] = field(default_factory=list)
    withdrawn_by: UUID | None = None
    published: list[Publication] = field(default_factory=list)
    # Check-outs that a deletion ends, with the user who deletes and the kind of release.
    released: list[tuple[CheckOutRow, UUID, str]] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    # Made once the other rows are sent: comparing documents takes long, and PostgreSQL works meanwhile.
    changes: list[Callable[[], list[NewDataChange]]] = field(default_factory=list)
    kept: list[tuple[Attempt, bytes]] = field(default_factory=list)

    @property
    def more_live(self) -> int:
        """Number by which these rows raise that of live resources, or lower it."""
        restored, deleted = (sum(map(len, of_kind.values())) for of_kind in (self.to_restore, self.to_delete))
        return len(self.resources) + restored - deleted


class Writes:
    """Collects the rows of a batch and flushes them; `witness` is stored exactly if all of them are."""

    def __init__(
        self,
        tx: Transaction,
        subscription_id: SubscriptionId,
        repository: RepositoryState,
        *,
        at: datetime,
        now: datetime,
    ) -> None:
        self.rows = Rows()
        self.tips = repository.tips
        self.witness: AuditRow | None = None
        self._tx = tx
        self._subscription_id = subscription_id
        self._at, self._now = at, now
        self._flushed_tips = self.tips
        # The live resources in the database, without rows that are not flushed; None if nobody counted them.
        self.live = repository.live
        self._day, _ = quotas.of_day(repository.versions_day, repository.versions_of_day, now.date())

    def flush(self, *, meanwhile: Callable[[], int] = lambda: 0) -> None:
        """Write the rows collected since the last flush, and the tips of the branches; the caller commits.

        `meanwhile` is called while the database works on them; it returns the bytes that it added to git.
        """
        rows, self.rows = self.rows, Rows()
        with pipelined(self._tx):
            self._send(rows)
            added = meanwhile()
            if self.live is not None:
                self.live += rows.more_live
            if self.tips != self._flushed_tips or added:
                growth = Growth(day=self._day, versions=len(rows.versions), bytes=added, live=self.live)
                repositories.advance(self._tx, self._subscription_id, self.tips, growth)
                self._flushed_tips = self.tips
        if self.witness is None and rows.audit:
            self.witness = rows.audit[0]

    def _send(self, rows: Rows) -> None:
        tx, subscription_id, at = self._tx, self._subscription_id, self._at
        for row in rows.resources:
            places.insert_row(tx, subscription_id, row)
        resources.touch(tx, subscription_id, rows.touched.values())
        if rows.placed is not None:
            places.put(tx, subscription_id, rows.placed)
        versions.insert_rows(tx, subscription_id, rows.versions, superseded=rows.superseded)
        # Removed before tags are added: a new tag may have the name of a removed one.
        for version_id, user_id in rows.untagged:
            tags.remove(tx, subscription_id, version_id, by=user_id, at=at)
        for tag in rows.tags:
            tags.give(tx, subscription_id, tag, at)
        for publication in rows.publications:
            publications.record(tx, subscription_id, publication, at)
        if rows.withdrawn_by is not None:
            publications.withdraw(tx, subscription_id, rows.withdrawn, by=rows.withdrawn_by, at=at)
        publications.begin(tx, subscription_id, rows.published, at)
        self._send_deletions(rows)
        for lease, version_id in rows.moved.values():
            check_outs.move(tx, subscription_id, lease, version_id)
        check_outs.check_in(tx, subscription_id, rows.checked_in, at=at)
        comments.insert_rows(tx, subscription_id, rows.comments)
        audit_logs.insert_rows(tx, rows.audit)
        for attempt, result in rows.kept:
            idempotency.keep(tx, subscription_id, attempt, result, self._now)
        data_changes.insert_rows(tx, [row for make in rows.changes for row in make()])

    def _send_deletions(self, rows: Rows) -> None:
        tx, subscription_id, at = self._tx, self._subscription_id, self._at
        for lease, user_id, how in rows.released:
            check_outs.release(tx, subscription_id, lease, at=at, by=user_id, kind=how)
        purged = [resource_id for ids in rows.to_purge.values() for resource_id in ids]
        deletions.mark_purged(tx, subscription_id, purged, at=at)
        deletions.insert_rows(tx, subscription_id, rows.deletions)
        deletions.soft_delete(tx, subscription_id, rows.to_delete, at=at)
        deletions.restore(tx, subscription_id, rows.to_restore)
        deletions.delete_rows(tx, subscription_id, rows.to_purge)
        for done in rows.restorations:
            deletions.mark_restored(tx, subscription_id, done, at=at)
        deletions.count_changes(tx, subscription_id, rows.counted)
