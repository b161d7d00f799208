"""Model of deletions and restores for the deletion machine, in plain Python: the due effects and answers."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from service.domain.ids import derived
from tests.machines import versioning_model
from tests.machines.deletion_records import Reach, Record, Resolve, Resource, counted
from tests.machines.versioning_model import Json, Refused, Text, User, Version, canonical, instant

# Updates the model with the ids and times of an answer, which only Annals can know; returns the due answer.
Apply = Callable[[Json], Json]
# A conflict of a restore: its kind, the resource, and the other resource if the answer names one.
Conflict = tuple[str, str, Text]


class Model:
    """A model of a subscription; each call returns the due effect of a request, or raises Refused."""

    def __init__(self, parents: dict[str, Sequence[str]]) -> None:
        self.resources: list[Resource] = []
        self.records: list[Record] = []
        self.commits = 0
        self.publications = 0
        # The number of deletions and restores, as the audit log has them.
        self.deletions = 0
        self.restorations = 0
        self.at = datetime.now(UTC)
        # For each kind, the kinds of its possible parents.
        self._parents = parents

    @property
    def living(self) -> list[Resource]:
        """The resources that are not deleted."""
        return [each for each in self.resources if each.lives]

    @property
    def present(self) -> list[Resource]:
        """The resources that are not deleted for good."""
        return [each for each in self.resources if not each.is_gone]

    def holder(self, resource: Resource) -> User | None:
        """Return the user who has a resource checked out."""
        return None if resource.held is None or resource.held[1] <= self.at else resource.held[0]

    def ends(self) -> list[datetime]:
        """Return the times at which leases, and the times for restores, end."""
        untils = [instant(r.until) for r in self.records if r.can_be_restored(self.at) and r.until]
        return untils + [each.held[1] for each in self.resources if each.held and self.holder(each)]

    # -- calls ----------------------------------------------------------------------------------------

    def create(self, by: User, kind: str, name: str, parent: Resource | None, data: Json) -> Apply:
        self._refuse_parent(parent)
        self._refuse_name(kind, parent, name)

        def apply(answer: Json) -> Json:
            self.commits += 1
            commit = answer["git_commit_hash"]
            version = Version(1, data, None, by, "", commit, self.commits, "", name, parent)
            made = Resource(kind, answer["resource_id"], [version])
            self.resources.append(made)
            return made.row()

        return apply

    def amend(self, by: User, resource: Resource, name: str, parent: Resource | None) -> Apply:
        """Change the name, and the parent if one is given."""
        self._refuse_gone(resource)
        self._refuse_gone_parent(parent)
        self._refuse_fallen(resource)
        self._refuse_anothers(by, resource)
        self._refuse_parent(parent)
        if parent is not None and resource in parent.line():
            raise Refused(409, "folder_cycle")
        place = (resource.kind, parent or resource.parent, name)
        if place != resource.place:
            self._refuse_name(resource.kind, place[1], name)

        def apply(answer: Json) -> Json:
            unchanged = place == resource.place
            if not unchanged:
                self.commits += 1
                self._grow(resource, by, answer["git_commit_hash"], name=name, parent=place[1])
            return resource.row() | {"unchanged": unchanged}

        return apply

    def save(self, by: User, resource: Resource, data: Json, tag: Text, *, publish: bool) -> Apply:
        self._refuse_fallen(resource)
        self._refuse_anothers(by, resource)
        unchanged = canonical(data) == canonical(resource.current.definition)
        owners = [version for version in resource.versions if version.tag == tag is not None]
        if owners and not (unchanged and owners == [resource.current]):
            raise Refused(409, "tag_taken")

        def apply(answer: Json) -> Json:
            if not unchanged:
                self.commits += 1
                self._grow(resource, by, answer["git_commit_hash"], data=data)
            if tag is not None:
                resource.current.tag = tag
            if publish and resource.published is not resource.current:
                self.publications += 1
                resource.published = resource.current
            return {"unchanged": unchanged, "version_number": resource.current.number}

        return apply

    def set_published(self, resource: Resource, version: Version, *, published: bool) -> Apply:
        self._refuse_fallen(resource)

        def apply(_: Json) -> Json:
            unchanged = (resource.published is version) == published
            if not unchanged:
                self.publications += 1
                resource.published = version if published else None
            return {"unchanged": unchanged, "is_published": published}

        return apply

    def check_out(self, by: User, resource: Resource) -> Apply:
        self._refuse_fallen(resource)
        self._refuse_anothers(by, resource)

        def apply(answer: Json) -> Json:
            resource.held = by, instant(answer["check_out"]["expires_at"])
            return {"data": resource.current.definition}

        return apply

    def delete(self, by: User, resource: Resource, reason: Text, *, force: bool) -> Apply:
        if force and not by.is_admin:
            raise Refused(403, "forbidden")
        self._refuse_fallen(resource)
        falling = [each for each in self.living if resource in each.line()]
        held = [each for each in falling if self.holder(each) not in (None, by)]
        if held and not force:
            alone = {"checked_out_by": self.holder(resource).user_id} if held == [resource] else {}  # type: ignore[union-attr]
            ids = {} if alone else {"check_outs": sorted(each.resource_id for each in held)}
            raise Refused(423, "checked_out", **alone, **ids)

        def apply(answer: Json) -> Json:
            root = self._record(by, resource, falling, reason, answer)
            self.publications += any(each.published is not None for each in falling)
            for each in falling:
                each.held = each.published = None
            return root.shown(self.at)

        return apply

    def purge(self, by: User, resource: Resource, reason: Text) -> Apply:
        if not by.is_admin:
            raise Refused(403, "forbidden")
        self._refuse_gone(resource)
        if resource.lives:
            raise Refused(409, "not_deleted")
        going = [each for each in self.present if resource in each.line()]
        assert not any(each.lives for each in going)

        def apply(answer: Json) -> Json:
            for each in going:
                assert each.deletion is not None
                each.deletion.purged = answer["deleted_at"]
                each.is_gone = True
            return self._record(by, resource, going, reason, answer).shown(self.at)

        return apply

    def restore(self, by: User, record: Record, resolve: Resolve, *, dry: bool) -> Apply:
        resource, reached = record.resource, Reach()
        if record.until is None or record.purged or instant(record.until) <= self.at:
            raise Refused(410, "not_restorable")
        conflicts: list[Conflict] = [("already_restored", resource.resource_id, None)]
        name, parent = resolve.rename or resource.name, resolve.new_parent or resource.parent
        if record.restored is None:
            reached = self._reached(record)
            conflicts = self._conflicts(resource, name, parent, reached, resolve)
        found = {"restored": counted(each.resource for each in reached.parts)} | reached.lists()
        if conflicts and not dry:
            raise Refused(409, "restore_conflict", conflicts=conflicts)

        def foresee(_: Json) -> Json:
            return found | {"dry_run": True, "commit": None, "blobs": None, "conflicts": conflicts}

        def apply(answer: Json) -> Json:
            is_put = (name, parent) != (resource.name, resource.parent)
            self.commits += 1
            self.restorations += 1
            for each in reached.parts:
                each.restored = answer["commit"]
                each.resource.deletion, each.resource.published = None, each.published
                each.resource.changes += 1
            self.publications += any(each.published is not None for each in reached.parts)
            if is_put:
                self._grow(resource, by, answer["commit"], name=name, parent=parent)
            compared = len(reached.parts) - is_put
            blobs = {"compared": compared, "equal": compared}
            return found | {"dry_run": False, "commit": answer["commit"], "blobs": blobs, "conflicts": []}

        return foresee if dry else apply

    # -- rules ------------------------------------------------------------------------------------------

    def _grow(self, resource: Resource, by: User, commit: str, **what: Any) -> None:
        """Make a version that differs from the current one in its `data`, `name` or `parent`."""
        now = resource.current
        data, name = what.get("data", now.definition), what.get("name", now.name)
        parent = what.get("parent", now.parent)
        version = Version(now.number + 1, data, None, by, "", commit, self.commits, "", name, parent)
        resource.versions.append(version)
        resource.changes += 1

    def _record(
        self, by: User, root: Resource, taken: Sequence[Resource], reason: Text, answer: Json
    ) -> Record:
        """Record the deletion of resources, soft or for good; returns the record of the root."""
        self.commits += 1
        self.deletions += 1
        made: Record | None = None
        for each in sorted(taken, key=lambda each: len(each.line())):
            of_root = UUID(answer["deletion_id"])
            deletion_id = of_root if each is root else derived(of_root, UUID(each.resource_id))
            record = Record(
                deletion_id=str(deletion_id),
                root=made,
                resource=each,
                name=each.name,
                parent=each.parent,
                level=each.line().index(root),
                counts=counted(inner for inner in taken if each in inner.line()),
                by=by,
                reason=reason,
                at=answer["deleted_at"],
                until=answer["restore_expiry_at"],
                commit=answer["git_commit_hash"],
                published=each.published,
            )
            made = made or record
            self.records.append(record)
            if each.lives:
                each.deletion = record
            each.changes += 1
        assert made is not None
        return made

    def _reached(self, record: Record) -> Reach:
        """Find the records that a restore reaches, a parent before its children."""
        found, root = Reach([record]), record.root or record
        together = [each for each in self.records if each.root is root]
        for outer in found.parts:
            for each in together:
                if each.parent is not outer.resource:
                    continue
                if each.resource.is_gone:
                    found.missing.append(each)
                else:
                    (found.kept if each.restored else found.parts).append(each)
        return found

    def _conflicts(
        self,
        resource: Resource,
        name: str,
        parent: versioning_model.Resource | None,
        reached: Reach,
        resolve: Resolve,
    ) -> list[Conflict]:
        if resolve.new_parent is not None:
            if not self._parents[resource.kind]:
                raise Refused(422, "invalid")
            if resolve.new_parent.is_gone or resolve.new_parent.kind not in self._parents[resource.kind]:
                raise Refused(404, "parent_not_found")
        conflicts: list[Conflict] = []
        if isinstance(parent, Resource) and not parent.lives:
            conflicts.append(("parent_deleted", resource.resource_id, parent.resource_id))
        conflicts += [
            ("name_taken", resource.resource_id, each.resource_id)
            for each in self.living
            if each.place == (resource.kind, parent, name)
        ]
        if not resolve.keep_restored:
            conflicts += [("already_restored", each.resource.resource_id, None) for each in reached.kept]
        return conflicts

    def _refuse_gone(self, resource: Resource) -> None:
        if resource.is_gone:
            raise Refused(404, "resource_not_found")

    def _refuse_fallen(self, resource: Resource) -> None:
        self._refuse_gone(resource)
        if not resource.lives:
            raise Refused(409, "resource_deleted")

    def _refuse_anothers(self, by: User, resource: Resource) -> None:
        holder = self.holder(resource)
        if holder not in (None, by):
            raise Refused(423, "checked_out", checked_out_by=holder.user_id if holder else None)

    def _refuse_gone_parent(self, parent: Resource | None) -> None:
        if parent is not None and parent.is_gone:
            raise Refused(404, "parent_not_found")

    def _refuse_parent(self, parent: Resource | None) -> None:
        self._refuse_gone_parent(parent)
        if parent is not None and not parent.lives:
            raise Refused(409, "resource_deleted")

    def _refuse_name(self, kind: str, parent: versioning_model.Resource | None, name: str) -> None:
        if any(each.place == (kind, parent, name) for each in self.living):
            raise Refused(409, "name_taken")
