"""Deciding what each change of a batch does, against the database and the changes accepted before it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from gitstore import messages, snapshots
from gitstore.history import CommitBuilder, Identity
from gitstore.layout import snapshot_path
from service import audit
from service.audit import Action, Subject
from service.callers import Member
from service.committer.change import Change, CheckIn, Create, RollBack, Save, Written
from service.committer.refusals import (
    checked_out,
    holder_facts,
    name_taken,
    resource_deleted,
    resource_not_found,
    tag_taken,
)
from service.committer.step import Entry, Step, folder_of, running, snapshot_of, version_state
from service.committer.writes import Writes
from service.errors import (
    Fault,
    NotCheckedOut,
    NotHolder,
    ParentNotFound,
    ResourceDeleted,
)
from service.ids import SubscriptionId, mint
from service.kinds import PARENT_FIELDS, Kind
from sql.database import Transaction
from sql.queries import check_outs, resources, versions
from sql.queries.audit_logs import Values
from sql.queries.resources import ResourceRow
from sql.queries.versions import NewComment, NewVersion, VersionRow

BRANCH = "main"


class Planner:
    """Plans the changes of one batch in order; a refused change leaves no trace."""

    def __init__(
        self,
        tx: Transaction,
        subscription_id: SubscriptionId,
        changes: Iterable[Change],
        *,
        builder: CommitBuilder,
        at: datetime,
        git_url: str,
    ) -> None:
        self._tx = tx
        self._subscription_id = subscription_id
        self._builder = builder
        self._at = at
        self._git_url = git_url
        self._entries: dict[tuple[Kind, UUID], Entry] = {}
        self._names: set[tuple[Kind, UUID | None, str]] = set()
        # Who has a tag by the changes accepted so far; None where it became free.
        self._tags: dict[tuple[UUID, str], UUID | None] = {}
        self.writes = Writes()
        self._load(changes)

    def _load(self, changes: Iterable[Change]) -> None:
        wanted: dict[Kind, set[UUID]] = defaultdict(set)
        for change in changes:
            if not isinstance(change, Create):
                wanted[change.kind].add(change.resource_id)
        for kind in sorted(wanted):
            rows = resources.lock(self._tx, self._subscription_id, kind, wanted[kind])
            current = versions.current(self._tx, self._subscription_id, kind, wanted[kind], at=self._at)
            held = check_outs.unreleased(self._tx, self._subscription_id, kind, wanted[kind])
            for resource_id, row in rows.items():
                entry = Entry(row, current[resource_id], held.get(resource_id))
                self._entries[kind, resource_id] = entry

    def plan(self, change: Change) -> Written:
        """What the change does, its rows added to `writes`; raises the AnnalsError that refuses it."""
        match change:
            case Create():
                return self._create(change)
            case Save():
                return self._save(change)
            case CheckIn():
                return self._check_in(change)
            case RollBack():
                return self._roll_back(change)
            case _:
                assert_never(change)

    # -- the four changes ---------------------------------------------------------------------------

    def _create(self, change: Create) -> Written:
        parent = self._parent(change)
        parent_id = None if parent is None else parent.resource_id
        name = (change.kind, parent_id, change.name)
        if name in self._names or resources.name_is_taken(
            self._tx, self._subscription_id, change.kind, parent_id, change.name
        ):
            raise name_taken(change.kind, change.name)
        row = ResourceRow(
            resource_type=change.kind,
            resource_id=change.resource_id,
            name=change.name,
            description=change.description,
            parent_id=parent_id,
            workspace_id=change.resource_id if parent is None else parent.workspace_id,
            folder_id=folder_of(parent, change.resource_id, change.kind),
            created_by=change.author.user_id,
            created_at=self._at,
            updated_at=self._at,
            deleted_at=None,
        )
        step = Step(action=Action.CREATE, author=change.author, row=row, definition=change.definition)
        version = self._commit(step, 1, snapshot_of(row, change.definition))
        self._names.add(name)
        self.writes.resources.append((row, change.place.ids()))
        self._record(step, None, version_state(version))
        return Written(resource=row, version=version, unchanged=False)

    def _save(self, change: Save) -> Written:
        entry = self._writable(change.kind, change.resource_id, change.author)
        return self._apply(
            entry,
            Step(
                action=Action.UPDATE,
                author=change.author,
                row=self._touched(entry),
                definition=change.definition,
                description=change.description,
                tag=change.tag,
            ),
        )

    def _check_in(self, change: CheckIn) -> Written:
        entry = self._live(change.kind, change.resource_id)
        held = running(entry.check_out, self._at)
        if held is None:
            raise NotCheckedOut("There is no check-out to end: check out first, or save a version.")
        if held.checked_out_by != change.author.user_id:
            raise NotHolder(f"{held.username} holds the check-out.", facts=holder_facts(held))
        return self._apply(
            entry,
            Step(
                action=Action.CHECK_IN,
                author=change.author,
                row=self._touched(entry),
                definition=change.definition,
                comment=change.comment,
                tag=change.tag,
                ends=held,
            ),
        )

    def _roll_back(self, change: RollBack) -> Written:
        entry = self._writable(change.kind, change.resource_id, change.author)
        target = snapshots.split(self._builder.read_blob(change.to_blob))
        return self._apply(
            entry,
            Step(
                action=Action.ROLLBACK,
                author=change.author,
                row=entry.row.touched(self._at, target.description),
                definition=target.definition,
                comment=change.comment,
                body=f"Rolled back to version {change.to_number} ({change.to_commit[:12]}).",
                about={"rolled_back_to": change.to_number},
            ),
        )

    # -- what they share ----------------------------------------------------------------------------

    def _live(self, kind: Kind, resource_id: UUID) -> Entry:
        entry = self._entries.get((kind, resource_id))
        if entry is None:
            raise resource_not_found(kind, resource_id)
        if entry.row.deleted_at is not None:
            raise resource_deleted(kind)
        return entry

    def _touched(self, entry: Entry) -> ResourceRow:
        return entry.row.touched(self._at, entry.row.description)

    def _writable(self, kind: Kind, resource_id: UUID, author: Member) -> Entry:
        entry = self._live(kind, resource_id)
        held = running(entry.check_out, self._at)
        if held is not None and held.checked_out_by != author.user_id:
            raise checked_out(kind, held)
        return entry

    def _parent(self, change: Create) -> ResourceRow | None:
        for field_name, kind in PARENT_FIELDS[change.kind]:
            parent_id = getattr(change.place, field_name)
            if parent_id is None:
                continue
            parent = resources.hold_parent(self._tx, self._subscription_id, kind, parent_id)
            pointer = f"/{field_name}"
            if parent is None:
                detail = f"there is no {kind} {parent_id} in this subscription"
                raise ParentNotFound(f"{pointer}: {detail}.", faults=[Fault(detail, pointer=pointer)])
            if parent.deleted_at is not None:
                detail = f"the {kind} {parent_id} is deleted"
                raise ResourceDeleted(f"{pointer}: {detail}.", faults=[Fault(detail, pointer=pointer)])
            if change.place.workspace_id not in (None, parent.workspace_id):
                detail = f"the {kind} {parent_id} lies in another workspace"
                raise ParentNotFound(f"{pointer}: {detail}.", faults=[Fault(detail, pointer=pointer)])
            return parent
        return None

    def _apply(self, entry: Entry, step: Step) -> Written:
        before = version_state(entry.current)
        snapshot = None if step.definition is None else snapshot_of(step.row, step.definition)
        if snapshot is not None and snapshots.blob_id(snapshot) == entry.current.git_blob_id:
            snapshot = None
        if step.tag is not None:
            self._check_tag(entry, step.tag, for_new_version=snapshot is not None)
        if snapshot is None:
            self._keep(entry, step)
        else:
            version = self._commit(step, entry.current.version_number + 1, snapshot)
            self.writes.superseded.append(entry.current.version_id)
            self.writes.touched[step.row.resource_id] = step.row
            entry.row, entry.current = step.row, version
        self._carry_check_out(entry, step)
        if step.comment is not None:
            self.writes.comments.append(
                NewComment(
                    comment_id=mint(),
                    version_id=entry.current.version_id,
                    comment_text=step.comment,
                    commented_by=step.author.user_id,
                    commented_at=self._at,
                )
            )
        after = version_state(entry.current) | ({"unchanged": True} if snapshot is None else {}) | step.about
        self._record(step, before, after)
        return Written(resource=entry.row, version=entry.current, unchanged=snapshot is None)

    def _check_tag(self, entry: Entry, tag: str, *, for_new_version: bool) -> None:
        row, key = entry.row, (entry.row.resource_id, tag)
        if key in self._tags:
            owner = self._tags[key]
        else:
            owner = versions.tagged(self._tx, self._subscription_id, row.resource_type, row.resource_id, tag)
        if owner is not None and (for_new_version or owner != entry.current.version_id):
            raise tag_taken(row.resource_type, tag)

    def _keep(self, entry: Entry, step: Step) -> None:
        if step.tag is None or step.tag == entry.current.version_tag:
            return
        resource_id, version_id = entry.row.resource_id, entry.current.version_id
        if entry.current.version_tag is not None:
            self._tags[resource_id, entry.current.version_tag] = None
        self._tags[resource_id, step.tag] = version_id
        self.writes.tag(version_id, step.tag)
        entry.current = replace(entry.current, version_tag=step.tag)

    def _carry_check_out(self, entry: Entry, step: Step) -> None:
        """End the check-out, or let it stand on what is now the current version."""
        if step.ends is not None:
            self.writes.checked_in.append((step.ends, entry.current.version_id))
            entry.check_out = None
            entry.current = replace(
                entry.current, checked_out_by=None, checked_out_at=None, checked_in_at=self._at
            )
            return
        held = running(entry.check_out, self._at)
        if held is not None:
            first, _ = self.writes.moved.get(held.check_out_id, (held, None))
            self.writes.moved[held.check_out_id] = (first, entry.current.version_id)
            entry.check_out = replace(held, version_id=entry.current.version_id)
            entry.current = replace(
                entry.current, checked_out_by=held.checked_out_by, checked_out_at=held.checked_out_at
            )

    def _commit(self, step: Step, number: int, snapshot: bytes) -> VersionRow:
        row, author = step.row, step.author
        kind, version_id = Kind(row.resource_type), mint()
        collection, resource_id = kind.collection, str(row.resource_id)
        path = snapshot_path(collection, resource_id)
        actor = Identity(str(author.user_id), author.username)
        commit = self._builder.commit(
            writes={path: snapshot},
            message=messages.compose(
                subject=messages.version_subject(collection, resource_id, number, row.name),
                body=step.comment or step.body,
                versions=[messages.VersionLine(collection, resource_id, number, str(version_id))],
                actor=actor,
                request_id=author.origin.request_id,
                time=self._at,
                description=step.description,
            ),
            actor=actor,
            time=self._at,
        )
        new = NewVersion(
            version_id=version_id,
            resource_type=kind,
            resource_id=row.resource_id,
            resource_name=row.name,
            version_number=number,
            version_tag=step.tag,
            version_description=step.description,
            snapshot=snapshot.decode(),
            git_commit_hash=commit.commit_id,
            git_blob_id=commit.blob_ids[path],
            git_branch=BRANCH,
            git_repo_url=self._git_url,
            created_by=author.user_id,
            created_at=self._at,
        )
        self.writes.versions.append(new)
        self.writes.head = commit.commit_id
        if step.tag is not None:
            self._tags[row.resource_id, step.tag] = version_id
        return VersionRow.of(new, username=author.username)

    def _record(self, step: Step, before: Values | None, after: Values | None) -> None:
        subject = Subject.of(step.row)
        self.writes.audit.append(
            audit.event(
                step.author, self._subscription_id, subject, step.action, self._at, old=before, new=after
            )
        )
