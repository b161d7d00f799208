"""Changes of one resource: its content, tags and published version."""

from gitstore import snapshots
from service.audit.events import Subject
from service.committer.changes import (
    CheckIn,
    Create,
    Foreseen,
    RollBack,
    Save,
    SetPublished,
    SetTag,
    Written,
)
from service.committer.plan.planning import Planning
from service.committer.refusals import check_match, check_published, check_tag, holder_facts, tag_taken
from service.committer.step import Step, folder_of, running, version_state
from service.domain.actions import Action
from service.domain.errors import NotCheckedOut, NotHolder
from sql.queries.resources import ResourceRow


def create(planning: Planning, change: Create) -> Written:
    """Make a resource. Raises ParentNotFound, ResourceDeleted, NameTaken, QuotaExceeded."""
    ledger, tree = planning.ledger, planning.tree
    parent = tree.parent(change.kind, change.place)
    tree.check_lives(parent, change.kind)
    parent_id = None if parent is None else parent.resource_id
    tree.check_name(change.kind, parent_id, change.name)
    row = ResourceRow(
        resource_type=change.kind,
        resource_id=change.resource_id,
        name=change.name,
        description=change.description,
        parent_id=parent_id,
        workspace_id=change.resource_id if parent is None else parent.workspace_id,
        folder_id=folder_of(parent, change.resource_id, change.kind),
        created_by=change.author.user_id,
        created_at=ledger.at,
        updated_at=ledger.at,
        deleted_at=None,
    )
    written = planning.applier.create(row, change.author, change.definition)
    tree.add(row)
    return written


def save(planning: Planning, change: Save) -> Written:
    """Store a definition as the next version.

    Raises ResourceNotFound, ResourceDeleted, CheckedOut, TagTaken, StaleVersion.
    """
    ledger = planning.ledger
    entry = ledger.writable(change.kind, change.resource_id, change.author)
    step = Step(
        action=Action.UPDATE,
        author=change.author,
        entry=entry,
        row=entry.row.touched(ledger.at, entry.row.description),
        definition=change.definition,
        if_match=change.if_match,
        description=change.description,
        tag=change.tag,
        publish=change.publish,
    )
    return planning.applier.apply([step])[0]


def check_in(planning: Planning, change: CheckIn) -> Written:
    """End the author's check-out, with a new version if the definition differs.

    Raises ResourceNotFound, ResourceDeleted, NotCheckedOut, NotHolder, TagTaken, StaleVersion.
    """
    ledger = planning.ledger
    entry = ledger.live(change.kind, change.resource_id)
    lease = running(entry.check_out, ledger.now)
    if lease is None:
        raise NotCheckedOut("There is no check-out to end: check out first, or save a version.")
    if lease.checked_out_by != change.author.user_id:
        raise NotHolder(f"{lease.username} holds the check-out.", facts=holder_facts(lease))
    step = Step(
        action=Action.CHECK_IN,
        author=change.author,
        entry=entry,
        row=entry.row.touched(ledger.at, entry.row.description),
        definition=change.definition,
        if_match=change.if_match,
        comment=change.comment,
        tag=change.tag,
        publish=change.publish,
        ends=lease,
    )
    return planning.applier.apply([step])[0]


def roll_back(planning: Planning, change: RollBack) -> Written | Foreseen:
    """Make a version with the definition and description of an older one; a dry run writes nothing.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef, ResourceDeleted, CheckedOut, StaleVersion.
    """
    ledger = planning.ledger
    # A missing version is refused before a conflict: 404 before 409 and 423.
    target = ledger.find(ledger.present(change.kind, change.resource_id), change.to)
    entry = ledger.writable(change.kind, change.resource_id, change.author)
    past = snapshots.split(planning.builder.read_blob(target.git_blob_id))
    row = entry.row.touched(ledger.at, past.description)
    if change.dry_run:
        check_match(change.kind, entry.current, change.if_match)
        return Foreseen(resource=row, current=entry.current, target=target)
    step = Step(
        action=Action.ROLLBACK,
        author=change.author,
        entry=entry,
        row=row,
        definition=past.definition,
        if_match=change.if_match,
        comment=change.comment,
        body=f"Rolled back to version {target.version_number} ({target.git_commit_hash[:12]}).",
        about={"rolled_back_to": target.version_number},
    )
    return planning.applier.apply([step])[0]


def set_tag(planning: Planning, change: SetTag) -> Written:
    """Replace or remove the tag of a version.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef, ResourceDeleted, TagTaken, StaleVersion.
    """
    ledger = planning.ledger
    version = ledger.find(ledger.present(change.kind, change.resource_id), change.ref)
    entry = ledger.live(change.kind, change.resource_id)
    if change.tag is not None:
        owner = ledger.tag_owner(entry, change.tag)
        if owner is not None and owner != version.version_id:
            raise tag_taken(change.kind, change.tag)
    check_match(change.kind, entry.current, change.if_match)
    if change.instead_of is not None:
        check_tag(version, {change.instead_of, change.tag or ""})
    after = planning.applier.set_tag(entry, version, change.tag, change.author)
    planning.applier.record(
        change.author,
        Subject.of(entry.row),
        Action.UNTAG if change.tag is None else Action.TAG,
        old=version_state(version),
        new=version_state(after) | ({"unchanged": True} if after is version else {}),
    )
    return Written(resource=entry.row, version=after, unchanged=after is version)


def set_published(planning: Planning, change: SetPublished) -> Written:
    """Publish or unpublish a version.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef, ResourceDeleted, StaleVersion.
    """
    ledger = planning.ledger
    version = ledger.find(ledger.present(change.kind, change.resource_id), change.ref)
    entry = ledger.live(change.kind, change.resource_id)
    check_match(change.kind, entry.current, change.if_match)
    if change.instead_of is not None:
        wanted = version.version_number if change.published else 0
        check_published(change.kind, ledger.published(entry), {change.instead_of, wanted})
    after = planning.applier.set_published(entry, version, change.author, published=change.published)
    planning.applier.record(
        change.author,
        Subject.of(entry.row),
        Action.PUBLISH if change.published else Action.UNPUBLISH,
        old=version_state(version) | {"is_published": version.is_published},
        new=version_state(after)
        | {"is_published": after.is_published}
        | ({"unchanged": True} if after is version else {}),
    )
    return Written(resource=entry.row, version=after, unchanged=after is version)
