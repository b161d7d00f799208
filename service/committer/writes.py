"""The rows that the accepted changes of a batch make, written together before the one COMMIT."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from service.ids import SubscriptionId
from sql.database import Transaction
from sql.queries import audit_logs, check_outs, repositories, resources, versions
from sql.queries.audit_logs import AuditRow
from sql.queries.check_outs import CheckOutRow
from sql.queries.resources import ResourceRow
from sql.queries.versions import NewComment, NewVersion


@dataclass(slots=True)
class Writes:
    """Rows in the order of their dependence; `head` is the last commit, None where none was made."""

    resources: list[tuple[ResourceRow, dict[str, UUID]]] = field(default_factory=list)
    touched: dict[UUID, ResourceRow] = field(default_factory=dict)
    superseded: list[UUID] = field(default_factory=list)
    versions: list[NewVersion] = field(default_factory=list)
    tags: dict[UUID, str] = field(default_factory=dict)
    moved: dict[UUID, tuple[CheckOutRow, UUID]] = field(default_factory=dict)
    checked_in: list[tuple[CheckOutRow, UUID]] = field(default_factory=list)
    comments: list[NewComment] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    head: str | None = None

    def tag(self, version_id: UUID, name: str) -> None:
        """Name a version, be it one that is there or one of this batch."""
        for index, new in enumerate(self.versions):
            if new.version_id == version_id:
                self.versions[index] = replace(new, version_tag=name)
                return
        self.tags[version_id] = name

    def flush(self, tx: Transaction, subscription_id: SubscriptionId, at: datetime) -> None:
        """Write all rows and advance the repository's head; the caller commits."""
        for row, place in self.resources:
            resources.insert_row(tx, subscription_id, row, place)
        for row in self.touched.values():
            resources.touch(tx, subscription_id, row)
        # Before the new versions: a tag that one of them takes may have been freed by another.
        for version_id, tag in self.tags.items():
            versions.tag(tx, subscription_id, version_id, tag)
        versions.insert_rows(tx, subscription_id, self.versions, superseded=self.superseded)
        for held, version_id in self.moved.values():
            check_outs.move(tx, subscription_id, held, version_id)
        for held, version_id in self.checked_in:
            check_outs.check_in(tx, subscription_id, held, at=at, version_id=version_id)
        versions.insert_comments(tx, subscription_id, self.comments)
        audit_logs.insert_rows(tx, self.audit)
        if self.head is not None:
            repositories.advance(tx, subscription_id, self.head)
