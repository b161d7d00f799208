"""The rows that the accepted changes of a batch make, written together before the one COMMIT."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from service.domain import idempotency
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
from sql.queries.repositories import Tips
from sql.queries.resources import ResourceRow
from sql.queries.tags import NewTag
from sql.queries.versions import NewVersionRow


@dataclass(slots=True)
class Rows:
    """Rows in the order of their dependence.

    In one writing a resource has one change of tags at the most, and one resource is put elsewhere.
    """

    resources: list[ResourceRow] = field(default_factory=list)
    touched: dict[UUID, ResourceRow] = field(default_factory=dict)
    # Written at once, after what was made before it: names are unique after each row.
    put: ResourceRow | None = None
    superseded: list[UUID] = field(default_factory=list)
    versions: list[NewVersionRow] = field(default_factory=list)
    untagged: list[tuple[UUID, UUID]] = field(default_factory=list)
    tags: list[NewTag] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    moved: dict[UUID, tuple[CheckOutRow, UUID]] = field(default_factory=dict)
    checked_in: list[tuple[CheckOutRow, UUID]] = field(default_factory=list)
    comments: list[NewComment] = field(default_factory=list)
    deletions: list[NewDeletion] = field(default_factory=list)
    # Resources by kind that fall, rise again, and whose rows go.
    fell: dict[str, list[UUID]] = field(default_factory=dict)
    rose: dict[str, list[UUID]] = field(default_factory=dict)
    removed: dict[str, list[UUID]] = field(default_factory=dict)
    purged: list[UUID] = field(default_factory=list)
    restored: list[RestoredDeletions] = field(default_factory=list)
    # Current versions of resources with a change that made none.
    counted: list[UUID] = field(default_factory=list)
    withdrawn: list[UUID] = field(default_factory=list)
    withdrawn_by: UUID | None = None
    published: list[Publication] = field(default_factory=list)
    # A check-out that a deletion ends, by whom, and how.
    released: list[tuple[CheckOutRow, UUID, str]] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    # Made when the others are on their way: comparing documents takes long, and PostgreSQL is busy meanwhile.
    changes: list[Callable[[], list[NewDataChange]]] = field(default_factory=list)
    kept: list[tuple[Attempt, bytes]] = field(default_factory=list)


class Writes:
    """Collects rows, and writes them when told to; `witness` is there exactly if all of them are."""

    def __init__(self, tips: Tips) -> None:
        self.rows = Rows()
        self.tips = tips
        self.witness: AuditRow | None = None
        self._written_tips = tips

    def flush(
        self,
        tx: Transaction,
        subscription_id: SubscriptionId,
        at: datetime,
        *,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Write the rows collected since the last time, and where the branches stand; the caller commits.

        `meanwhile` is done while the database is at work on them.
        """
        rows, self.rows = self.rows, Rows()
        with pipelined(tx):
            self._send(tx, subscription_id, rows, at)
            meanwhile()
        if self.witness is None and rows.audit:
            self.witness = rows.audit[0]

    def _send(self, tx: Transaction, subscription_id: SubscriptionId, rows: Rows, at: datetime) -> None:
        for row in rows.resources:
            places.insert_row(tx, subscription_id, row)
        resources.touch(tx, subscription_id, rows.touched.values())
        if rows.put is not None:
            places.put(tx, subscription_id, rows.put)
        versions.insert_rows(tx, subscription_id, rows.versions, superseded=rows.superseded)
        # Before the new tags: one of them may be one that was taken away.
        for version_id, user_id in rows.untagged:
            tags.take_away(tx, subscription_id, version_id, by=user_id, at=at)
        for tag in rows.tags:
            tags.give(tx, subscription_id, tag, at)
        for publication in rows.publications:
            publications.record(tx, subscription_id, publication, at)
        if rows.withdrawn_by is not None:
            publications.withdraw(tx, subscription_id, rows.withdrawn, by=rows.withdrawn_by, at=at)
        publications.begin(tx, subscription_id, rows.published, at)
        self._send_deletions(tx, subscription_id, rows, at)
        for held, version_id in rows.moved.values():
            check_outs.move(tx, subscription_id, held, version_id)
        check_outs.check_in(tx, subscription_id, rows.checked_in, at=at)
        comments.insert_rows(tx, subscription_id, rows.comments)
        audit_logs.insert_rows(tx, rows.audit)
        for attempt, result in rows.kept:
            idempotency.keep(tx, subscription_id, attempt, result, at)
        if self.tips != self._written_tips:
            repositories.advance(tx, subscription_id, self.tips)
            self._written_tips = self.tips
        data_changes.insert_rows(tx, [row for make in rows.changes for row in make()])

    def _send_deletions(
        self, tx: Transaction, subscription_id: SubscriptionId, rows: Rows, at: datetime
    ) -> None:
        for held, user_id, how in rows.released:
            check_outs.release(tx, subscription_id, held, at=at, by=user_id, kind=how)
        deletions.mark_purged(tx, subscription_id, rows.purged, at=at)
        deletions.insert_rows(tx, subscription_id, rows.deletions)
        deletions.fell(tx, subscription_id, rows.fell, at=at)
        deletions.rose(tx, subscription_id, rows.rose)
        deletions.remove_rows(tx, subscription_id, rows.removed)
        for done in rows.restored:
            deletions.mark_restored(tx, subscription_id, done, at=at)
        deletions.count_changes(tx, subscription_id, rows.counted)
