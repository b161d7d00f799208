"""What a repository alone tells of a subscription: the rows that its history made, read from git."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from gitstore.commit_messages import DeletionLine, VersionLine
from gitstore.errors import NotUnderstood
from gitstore.identity import Identity
from gitstore.read.walk import Tagged, Walk, Walked
from gitstore.store import snapshot_path
from service.domain.callers import SYSTEM, Role
from service.domain.ids import SubscriptionId, mint, minted_at
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind
from service.recovery import resource_rows
from service.recovery.deletion_rows import Moment, PastDeletions, Standing
from service.recovery.resource_rows import Key, PastResource, read_snapshot
from sql.queries.rebuild import PastActor, PastDeletion, PastPublication, PastTag, PastUser, PastVersion
from sql.queries.repositories import Tips

# What a key may do until an admin says otherwise: roles are nowhere but in the database that was lost.
LEAST_ROLE = Role.VIEWER


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The rows of a subscription; `resources` by kind in the order in which they can be added."""

    subscription_id: SubscriptionId
    created_at: datetime
    tips: Tips
    actors: list[PastActor]
    users: list[PastUser]
    resources: dict[Kind, list[dict[str, Any]]]
    versions: list[PastVersion]
    publications: list[PastPublication]
    tags: list[PastTag]
    deletions: list[PastDeletion]

    def counts(self) -> dict[str, int]:
        """How many rows each table gets."""
        found = {kind.collection: len(rows) for kind, rows in self.resources.items()}
        for name in ("versions", "publications", "tags", "deletions", "actors", "users"):
            found[name] = len(getattr(self, name))
        return found


@dataclass(slots=True)
class _Resource(PastResource):
    """A resource as the history has brought it so far, with its newest version and the published one."""

    current: PastVersion
    published: PastPublication | None = None


def recover(walk: Walk, subscription_id: SubscriptionId, *, git_url: str, at: datetime) -> Recovered:
    """Read a whole repository; `at` is the time of the rebuild, for what was nowhere before it.

    Raises NotUnderstood where anything in it is not as Annals makes it, and the other errors of
    `gitstore.errors`.
    """
    recovery = _Recovery(walk, git_url)
    for place, commit in enumerate(walk.main(), 1):
        recovery.add(commit, place)
    for commit in walk.published():
        recovery.publish(commit)
    tags = recovery.tags()
    first = next(iter(recovery.versions.values()), None)
    created_at = minted_at(subscription_id) or (at if first is None else first.created_at)
    return Recovered(
        subscription_id=subscription_id,
        created_at=created_at,
        tips=Tips(walk.tips.main, walk.tips.published, recovery.commits),
        actors=[PastActor(user_id=user_id, username=name) for user_id, name in recovery.actors.items()],
        users=list(_users(recovery.actors, created_at, at)),
        resources=recovery.resource_rows(),
        versions=list(recovery.version_rows(tags)),
        publications=recovery.publications(),
        tags=tags,
        deletions=list(recovery.deletions.rows.values()),
    )


@dataclass(slots=True)
class _Recovery:
    """What was read so far."""

    walk: Walk
    git_url: str
    commits: int = 0
    actors: dict[UUID, str] = field(default_factory=dict)
    versions: dict[UUID, PastVersion] = field(default_factory=dict)
    deletions: PastDeletions = field(default_factory=PastDeletions)
    _resources: dict[Key, _Resource] = field(default_factory=dict)
    _by_path: dict[str, Key] = field(default_factory=dict)
    _ended: list[PastPublication] = field(default_factory=list)

    def add(self, commit: Walked, place: int) -> None:
        """Take in a commit of `main`, the `place`th."""
        self.commits = place
        record = commit.record
        if record.description is not None and len(record.versions) > 1:
            raise NotUnderstood(f"commit {commit.commit_id}: many versions with one description")
        author = self._actor(record.actor)
        moment = Moment(commit.commit_id, place, author, record.time)
        if record.deletion is not None:
            self._delete(record.deletion, commit, moment)
        if record.restored is not None:
            self._restore(UUID(record.restored), commit, moment)
        for line, blob_id in zip(record.versions, commit.blob_ids, strict=True):
            kind, resource_id = key = self._key(line)
            snapshot = read_snapshot(key, blob_id, self.walk.read_blob(blob_id))
            resource = self._resources.get(key)
            number = 1 if resource is None else resource.current.version_number + 1
            version_id = UUID(line.version_id)
            if line.number != number or version_id in self.versions:
                raise NotUnderstood(f"commit {commit.commit_id}: {line} is not version {number}, or is twice")
            if resource is not None and resource.deleted_at is not None:
                raise NotUnderstood(f"commit {commit.commit_id}: {line} is of what is deleted")
            version = PastVersion(
                version_id=version_id,
                resource_type=kind,
                resource_id=resource_id,
                resource_name=snapshot.name,
                version_number=number,
                version_tag=None,
                version_description=record.description,
                is_current=False,
                is_published=False,
                git_commit_hash=commit.commit_id,
                git_blob_id=blob_id,
                commit_number=place,
                unversioned_changes=0 if resource is None else resource.current.unversioned_changes,
                git_branch="main",
                git_repo_url=self.git_url,
                created_by=author,
                created_at=record.time,
            )
            self.versions[version_id] = version
            if resource is None:
                self._resources[key] = _Resource(snapshot, author, record.time, record.time, version)
                self._by_path[_path(key)] = key
            else:
                resource.snapshot, resource.current, resource.updated_at = snapshot, version, record.time

    def _delete(self, line: DeletionLine, commit: Walked, moment: Moment) -> None:
        if line.until is None:
            collection, resource_id = commit.record.about or ("", "")
            kind = KIND_OF_COLLECTION.get(collection)
            if kind is None:
                raise NotUnderstood(f"commit {commit.commit_id}: there are no {collection}")
            fallen = self.deletions.purge(line, moment, (kind, UUID(resource_id)))
        else:
            fallen = [self._at(path, commit) for path in commit.removed]
            self.deletions.fall(line, moment, [self._standing(key) for key in fallen])
        for key in fallen:
            resource = self._resources[key]
            resource.deleted_at = resource.deleted_at or moment.at
            resource.is_gone = line.until is None
            self._count_change(resource)

    def _restore(self, deletion_id: UUID, commit: Walked, moment: Moment) -> None:
        changed = [self._key(line) for line in commit.record.versions]
        back = [self._at(path, commit) for path in commit.returned] + changed
        self.deletions.rise(deletion_id, moment, [resource_id for _, resource_id in back])
        if changed and self.deletions.rows[deletion_id].resource_id != changed[0][1]:
            raise NotUnderstood(f"commit {commit.commit_id}: it changes another one than it restores")
        for path, blob_id in commit.returned.items():
            if blob_id != self._resources[self._by_path[path]].current.git_blob_id:
                raise NotUnderstood(f"commit {commit.commit_id}: {path} is not as it was")
        for key in back:
            resource = self._resources[key]
            resource.deleted_at = None
            self._count_change(resource)

    def _at(self, path: str, commit: Walked) -> Key:
        if path not in self._by_path:
            raise NotUnderstood(f"commit {commit.commit_id}: nothing was ever at {path}")
        return self._by_path[path]

    def _standing(self, key: Key) -> Standing:
        resource = self._resources[key]
        parent = resource_rows.parent(key, resource.snapshot, self._resources)
        return Standing(key, resource.snapshot.name, parent, resource.current.version_id)

    def _count_change(self, resource: _Resource) -> None:
        """Count a change that makes no version."""
        version = resource.current
        resource.current = replace(version, unversioned_changes=version.unversioned_changes + 1)
        self.versions[version.version_id] = resource.current

    def publish(self, commit: Walked) -> None:
        """Take in a commit of `published`."""
        record, where = commit.record, f"commit {commit.commit_id}"
        by = self._actor(record.actor)
        for line in record.unpublished:
            version = self._version(line, where)
            resource = self._resources[Kind(version.resource_type), version.resource_id]
            if resource.published is None or resource.published.version_id != version.version_id:
                raise NotUnderstood(f"{where}: {line} was not published")
            self._end_publication(resource, by, record.time)
            if record.deletion is not None:
                self.deletions.withdraw(
                    UUID(record.deletion.deletion_id), version.resource_id, version.version_id
                )
        for line, blob_id in zip(record.published, commit.blob_ids, strict=True):
            version = self._version(line, where)
            if blob_id != version.git_blob_id:
                raise NotUnderstood(f"{where}: what it publishes is not the content of {line}")
            resource = self._resources[Kind(version.resource_type), version.resource_id]
            self._end_publication(resource, by, record.time)
            resource.published = PastPublication(
                publication_id=mint(),
                resource_type=version.resource_type,
                resource_id=version.resource_id,
                version_id=version.version_id,
                published_by=by,
                published_at=record.time,
                unpublished_by=None,
                unpublished_at=None,
            )
        if record.restored is not None:
            again = {UUID(line.version_id) for line in record.published}
            if again != self.deletions.published_again(UUID(record.restored)):
                raise NotUnderstood(f"{where}: it does not publish what was published when it fell")

    def _end_publication(self, resource: _Resource, by: UUID, at: datetime) -> None:
        former, resource.published = resource.published, None
        if former is not None:
            self._ended.append(replace(former, unpublished_by=by, unpublished_at=at))

    def publications(self) -> list[PastPublication]:
        """Those that ended and those that have not; raises NotUnderstood for one of what is deleted."""
        for (kind, resource_id), each in self._resources.items():
            if each.published is not None and each.deleted_at is not None:
                raise NotUnderstood(f"{kind} {resource_id} is deleted, and published has it")
        standing = [each.published for each in self._resources.values() if each.published is not None]
        return sorted(self._ended + standing, key=lambda each: each.publication_id)

    def tags(self) -> list[PastTag]:
        """The tags that git has; of two on one version, the older one as taken away by the newer."""
        by_version: dict[UUID, list[PastTag]] = {}
        for tagged in self.walk.tags():
            row = self._tag(tagged)
            by_version.setdefault(row.version_id, []).append(row)
        rows = []
        for found in by_version.values():
            found.sort(key=lambda row: row.tagged_at)
            # A crash kept git from removing the older ref: the row says that it still has to.
            rows += [
                replace(
                    old,
                    untagged_by=new.tagged_by,
                    untagged_at=new.tagged_at,
                    ref_is_settled=False,
                )
                for old, new in pairwise(found)
            ]
            rows.append(found[-1])
        return rows

    def resource_rows(self) -> dict[Kind, list[dict[str, Any]]]:
        """The rows of resources, a parent before what lies in it; raises NotUnderstood for an orphan."""
        rows: dict[Kind, list[tuple[int, dict[str, Any]]]] = {kind: [] for kind in Kind}
        there = {key: resource for key, resource in self._resources.items() if not resource.is_gone}
        for key, resource in there.items():
            parent = resource_rows.parent(key, resource.snapshot, there)
            if parent is not None and resource.deleted_at is None and there[parent].deleted_at is not None:
                raise NotUnderstood(f"{key[0]} {key[1]} lives, and lies in what is deleted")
            rows[key[0]].append(resource_rows.row(key, there))
        return {
            kind: [row for _, row in sorted(found, key=lambda pair: pair[0])] for kind, found in rows.items()
        }

    def version_rows(self, tags: list[PastTag]) -> Iterator[PastVersion]:
        """The versions, in the order of their commits."""
        tag_of = {row.version_id: row.tag for row in tags if row.untagged_at is None}
        current = {each.current.version_id for each in self._resources.values()}
        published = {each.published.version_id for each in self._resources.values() if each.published}
        for version_id, version in self.versions.items():
            yield replace(
                version,
                version_tag=tag_of.get(version_id),
                is_current=version_id in current,
                is_published=version_id in published,
            )

    def _actor(self, actor: Identity) -> UUID:
        user_id = UUID(actor.user_id)
        self.actors[user_id] = actor.username
        return user_id

    def _key(self, line: VersionLine) -> Key:
        kind = KIND_OF_COLLECTION.get(line.collection)
        if kind is None:
            raise NotUnderstood(f"{line}: there are no {line.collection}")
        return kind, UUID(line.resource_id)

    def _version(self, line: VersionLine, where: str) -> PastVersion:
        kind, resource_id = self._key(line)
        version = self.versions.get(UUID(line.version_id))
        if version is None or (version.resource_type, version.resource_id, version.version_number) != (
            kind,
            resource_id,
            line.number,
        ):
            raise NotUnderstood(f"{where}: main has no {line}")
        return version

    def _tag(self, tagged: Tagged) -> PastTag:
        where = f"the tag {tagged.collection}/{tagged.resource_id}/{tagged.tag}"
        if tagged.record is None:
            # Of before there were tag objects: nothing tells who gave it.
            found = [
                version
                for version in self.versions.values()
                if version.git_commit_hash == tagged.commit_id
                and KIND_OF_COLLECTION.get(tagged.collection) == version.resource_type
                and str(version.resource_id) == tagged.resource_id
            ]
            if not found:
                raise NotUnderstood(f"{where}: its commit made no version of its resource")
            [version] = found
            by, since = version.created_by, version.created_at
        else:
            version = self._version(tagged.record.versions[0], where)
            by, since = self._actor(tagged.record.actor), tagged.record.time
        if version.git_commit_hash != tagged.commit_id:
            raise NotUnderstood(f"{where}: it is not on the commit of version {version.version_number}")
        return PastTag(
            tag_id=mint(),
            resource_type=version.resource_type,
            resource_id=version.resource_id,
            version_id=version.version_id,
            tag=tagged.tag,
            tag_object=tagged.object_id,
            tagged_by=by,
            tagged_at=since,
            untagged_by=None,
            untagged_at=None,
            ref_is_settled=True,
        )


def _path(key: Key) -> str:
    return snapshot_path(key[0].collection, str(key[1]))


def _users(actors: dict[UUID, str], created_at: datetime, at: datetime) -> Iterator[PastUser]:
    """Who may be given a key again: of two actors of one name, the earlier was deleted before the later."""
    newest: dict[str, UUID] = {}
    for user_id, username in actors.items():
        if username.startswith(SYSTEM):
            continue
        newest[username] = max(user_id, newest.get(username, user_id))
    for username, user_id in newest.items():
        since = minted_at(user_id) or created_at
        yield PastUser(user_id=user_id, username=username, role=LEAST_ROLE, created_at=since, updated_at=at)
