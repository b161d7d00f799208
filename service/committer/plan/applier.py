"""The effects of accepted changes: their commits, and all rows except rows of versions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from gitstore import snapshots
from gitstore.commit_messages import DeletionLine
from gitstore.write.commit_builder import CommitBuilder
from service.audit import data_changes, events
from service.audit.events import Subject
from service.committer.changes import Written
from service.committer.plan.commits import MAIN, PUBLISHED, Commits, Draft, body_of, line_of, subject_of
from service.committer.plan.ledger import Ledger
from service.committer.plan.quotas import Quotas
from service.committer.refusals import check_match, tag_taken
from service.committer.step import Entry, Step, path_of, running, snapshot_of, version_state
from service.documents.workers import DocumentWorkers
from service.domain.actions import Action
from service.domain.callers import Member
from service.domain.ids import mint
from service.domain.resource_kinds import Kind
from sql.queries.audit_logs import Values
from sql.queries.comments import NewComment
from sql.queries.publications import Publication
from sql.queries.resources import ResourceRow
from sql.queries.versions import VersionRow


class Applier:
    """Adds commits and rows for accepted changes; a refusal is raised before anything is added."""

    def __init__(
        self,
        ledger: Ledger,
        quotas: Quotas,
        *,
        builder: CommitBuilder,
        documents: DocumentWorkers,
        git_url: str,
    ) -> None:
        self._ledger = ledger
        self._quotas = quotas
        self._writes = ledger.writes
        self._at, self._now = ledger.at, ledger.now
        self._commits = Commits(ledger, builder=builder, documents=documents, git_url=git_url)

    def create(self, row: ResourceRow, author: Member, definition: bytes) -> Written:
        """Make a resource's first version; raises QuotaExceeded."""
        snapshot = snapshot_of(row, definition)
        self._quotas.admit(versions=1, size=len(snapshot), resources=1)
        [version] = self._commits.add_versions([Draft(row, 1, snapshot, author)])
        self.record(author, Subject.of(row), Action.CREATE, old=None, new=version_state(version))
        return Written(resource=row, version=version, unchanged=False)

    def apply(self, steps: Sequence[Step], *, title: str | None = None) -> list[Written]:
        """Apply steps of different resources in one commit; the commits of bulk changes have a `title`.

        Raises TagTaken, StaleVersion and QuotaExceeded.
        """
        drafts = [self._draft(step) for step in steps]
        for step, draft in zip(steps, drafts, strict=True):
            self._check(step, for_new_version=draft is not None)
        new = [draft for draft in drafts if draft is not None]
        self._quotas.admit(versions=len(new), size=sum(len(draft.snapshot) for draft in new))
        befores = [version_state(step.entry.current) | step.was for step in steps]
        made = iter(self._commits.add_versions(new, title, steps[0].comment or steps[0].body))
        for step, draft in zip(steps, drafts, strict=True):
            if draft is not None:
                self._writes.rows.superseded.append(step.entry.current.version_id)
                self._writes.rows.touched[step.row.resource_id] = step.row
                step.entry.row, step.entry.current, step.entry.dirty = step.row, next(made), True
        return [
            self._finish(step, before, unchanged=draft is None)
            for step, before, draft in zip(steps, befores, drafts, strict=True)
        ]

    def set_tag(self, entry: Entry, version: VersionRow, tag: str | None, author: Member) -> VersionRow:
        """Give a version a free tag, or remove its tag; returns the version itself if nothing changes."""
        if version.version_tag == tag:
            return version
        if version.version_tag is not None:
            self._writes.rows.untagged.append((version.version_id, author.user_id))
        if tag is not None:
            self._writes.rows.tags.append(self._commits.new_tag(version, tag, author))
        return self._keep(entry, replace(version, version_tag=tag))

    def set_published(
        self, entry: Entry, version: VersionRow, author: Member, *, published: bool
    ) -> VersionRow:
        """Publish or unpublish a version of a resource; returns the version itself if nothing changes."""
        if version.is_published == published:
            return version
        kind, resource_id = Kind(entry.row.resource_type), str(entry.row.resource_id)
        path = path_of(version)
        line = [line_of(version)]
        word = "published" if published else "unpublished"
        self._commits.add(
            PUBLISHED,
            places={path: version.git_blob_id} if published else {},
            removes=() if published else (path,),
            subject=f"{kind.collection}/{resource_id}: {word} v{version.version_number}"
            f" — {version.resource_name}",
            published=line if published else (),
            unpublished=() if published else line,
            author=author,
        )
        self._writes.rows.publications.append(
            Publication(
                publication_id=mint(),
                resource_type=kind,
                resource_id=entry.row.resource_id,
                version_id=version.version_id if published else None,
                by=author.user_id,
            )
        )
        # At most one version is published: clear the current one; `_keep` replaces it if it is this version.
        entry.current = replace(entry.current, is_published=False)
        return self._keep(entry, replace(version, is_published=published))

    def delete(
        self, rows: Sequence[ResourceRow], line: DeletionLine, *, author: Member, root: ResourceRow, also: int
    ) -> str:
        """Commit the deletion of `rows`, or if there are none the purge of `root`; returns the commit's id.

        `also` is how many resources below the root are deleted with it.
        """
        word = "deleted" if rows else "deleted for good"
        commit = self._commits.add(
            MAIN,
            removes=[path_of(row) for row in rows],
            subject=subject_of(root, word),
            body=body_of(also),
            deletion=line,
            author=author,
        )
        return commit.commit_id

    def withdraw(
        self, published: Sequence[VersionRow], line: DeletionLine, *, author: Member, root: ResourceRow
    ) -> None:
        """Unpublish the published versions of deleted resources."""
        self._commits.add(
            PUBLISHED,
            removes=[path_of(version) for version in published],
            subject=subject_of(root, "deleted"),
            unpublished=[line_of(version) for version in published],
            deletion=line,
            author=author,
        )
        self._writes.rows.withdrawn += [version.version_id for version in published]
        self._writes.rows.withdrawn_by = author.user_id

    def restore(
        self,
        places: Mapping[str, str],
        deletion_id: UUID,
        *,
        author: Member,
        root: ResourceRow,
        changed: Step | None,
    ) -> tuple[str, VersionRow | None]:
        """Commit restored resources; `places` are blobs by path. A `changed` root becomes a new version.

        Returns the commit's id and the new version.
        """
        draft = None if changed is None else self._draft(changed)
        others = {path: blob for path, blob in places.items() if draft is None or path != path_of(root)}
        commit, made = self._commits.add_versions_and_blobs(
            [] if draft is None else [draft],
            title=subject_of(root, "restored"),
            body=body_of(len(places) - 1),
            author=author,
            places=others,
            restored=str(deletion_id),
        )
        if draft is not None and changed is not None:
            self._writes.rows.superseded.append(changed.entry.current.version_id)
            self._writes.rows.touched[root.resource_id] = changed.row
        return commit, made[0] if made else None

    def republish(
        self, published: Sequence[VersionRow], deletion_id: UUID, *, author: Member, root: ResourceRow
    ) -> None:
        """Publish again the versions that were published when their resources were deleted."""
        self._commits.add(
            PUBLISHED,
            places={path_of(version): version.git_blob_id for version in published},
            subject=subject_of(root, "restored"),
            published=[line_of(version) for version in published],
            restored=str(deletion_id),
            author=author,
        )
        self._writes.rows.published += [
            Publication(
                publication_id=mint(),
                resource_type=version.resource_type,
                resource_id=version.resource_id,
                version_id=version.version_id,
                by=author.user_id,
            )
            for version in published
        ]

    def count_changes(
        self, entries: Sequence[Entry], author: Member, action: Action, *, reason: str | None
    ) -> None:
        """Add a data change for the deletion or restore of each resource, and count it."""
        records = [
            data_changes.RecordState(
                Kind(entry.row.resource_type).collection,
                entry.row.resource_id,
                entry.row.name,
                version_state(entry.current),
                entry.current.changes + 1,
            )
            for entry in entries
        ]
        self._writes.rows.counted += [entry.current.version_id for entry in entries]
        self._writes.rows.changes.append(
            partial(
                data_changes.rows_of,
                author,
                self._ledger.subscription_id,
                records,
                self._at,
                change_type="DELETE" if action is Action.DELETE else "INSERT",
                reason=reason,
            )
        )

    def record(
        self, author: Member, subject: Subject, action: Action, *, old: Values | None, new: Values | None
    ) -> None:
        """Add an audit row."""
        subscription_id = self._ledger.subscription_id
        self._writes.rows.audit.append(
            events.event(author, subscription_id, subject, action, self._at, old=old, new=new)
        )

    # -- the parts of a step ------------------------------------------------------------------------

    def _draft(self, step: Step) -> Draft | None:
        if step.definition is None:
            return None
        snapshot = snapshot_of(step.row, step.definition)
        if snapshots.blob_id(snapshot) == step.entry.current.git_blob_id:
            return None
        number = step.entry.current.version_number + 1
        return Draft(
            step.row, number, snapshot, step.author, step.description, step.entry.current, step.comment
        )

    def _check(self, step: Step, *, for_new_version: bool) -> None:
        entry = step.entry
        if step.tag is not None:
            owner = self._ledger.tag_owner(entry, step.tag)
            if owner is not None and (for_new_version or owner != entry.current.version_id):
                raise tag_taken(entry.row.resource_type, step.tag)
        check_match(entry.row.resource_type, entry.current, step.if_match)

    def _finish(self, step: Step, before: Values, *, unchanged: bool) -> Written:
        entry = step.entry
        self._follow_check_out(step)
        if step.tag is not None:
            self.set_tag(entry, entry.current, step.tag, step.author)
        if step.publish:
            self.set_published(entry, entry.current, step.author, published=True)
        if step.comment is not None:
            self._writes.rows.comments.append(
                NewComment(
                    comment_id=mint(),
                    version_id=entry.current.version_id,
                    comment_text=step.comment,
                    commented_by=step.author.user_id,
                    commented_at=self._at,
                )
            )
        after = version_state(entry.current) | step.about
        if unchanged:
            after["unchanged"] = True
        if step.publish:
            after["is_published"] = True
        self.record(step.author, Subject.of(step.row), step.action, old=before, new=after)
        return Written(resource=entry.row, version=entry.current, unchanged=unchanged)

    def _follow_check_out(self, step: Step) -> None:
        """End the check-out, or move it to the version that is current now."""
        entry, rows = step.entry, self._writes.rows
        if step.ends is not None:
            rows.checked_in.append((step.ends, entry.current.version_id))
            entry.check_out = None
            self._keep(
                entry,
                replace(entry.current, checked_out_by=None, checked_out_at=None, checked_in_at=self._at),
            )
            return
        lease = running(entry.check_out, self._now)
        if lease is not None and lease.version_id != entry.current.version_id:
            first, _ = rows.moved.get(lease.check_out_id, (lease, None))
            rows.moved[lease.check_out_id] = (first, entry.current.version_id)
            entry.check_out = replace(lease, version_id=entry.current.version_id)
            self._keep(
                entry,
                replace(
                    entry.current, checked_out_by=lease.checked_out_by, checked_out_at=lease.checked_out_at
                ),
            )

    def _keep(self, entry: Entry, version: VersionRow) -> VersionRow:
        """Put a changed version into the entry if it is the current one, and mark the entry as dirty."""
        if version.version_id == entry.current.version_id:
            entry.current = version
        entry.dirty = True
        return version
