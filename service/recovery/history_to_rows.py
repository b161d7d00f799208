"""Make the rows of a subscription from its history in git alone; a history with a fault is refused."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from gitstore.errors import NotUnderstood
from gitstore.read.branch_log import BranchCommit, read_branch
from gitstore.read.repository import RepositoryReader, Tagged
from service.domain.callers import SYSTEM, Role
from service.domain.ids import SubscriptionId, mint, minted_at
from service.domain.names import name_key
from service.domain.resource_kinds import Kind
from service.recovery import faults, resource_rows
from service.recovery.history import BranchReading, History, HistoryEntry, NamedVersion, read_resources
from service.recovery.resource_rows import Key, read_snapshot
from service.recovery.trailers import CommitAuthor, Line, Trailers, line_of
from sql.queries.rebuild import PastActor, PastDeletion, PastPublication, PastTag, PastUser, PastVersion
from sql.queries.repositories import Tips

# The role of each user until an admin changes it: only the lost database had the roles.
LEAST_ROLE = Role.VIEWER


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The rows of a subscription; `resources` are by kind, in an order in which they can be inserted."""

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
        """Count the rows of each table."""
        found = {kind.collection: len(rows) for kind, rows in self.resources.items()}
        for name in ("versions", "publications", "tags", "deletions", "actors", "users"):
            found[name] = len(getattr(self, name))
        return found


def recover(
    repository: RepositoryReader, subscription_id: SubscriptionId, *, git_url: str, at: datetime
) -> Recovered:
    """Read a whole repository; `at` is the time of the rebuild, for rows whose own time was lost.

    Raises NotUnderstood if anything in it is not as Annals writes it, and the other errors of
    `gitstore.errors`.
    """
    recovery = _Recovery(repository)
    recovery.read_main()
    recovery.read_published()
    tags = recovery.tags()
    first = next(iter(recovery.history.named.values()), None)
    created_at = minted_at(subscription_id) or (at if first is None else first.trailers.signed[1])
    tips = repository.tips
    return Recovered(
        subscription_id=subscription_id,
        created_at=created_at,
        tips=Tips(tips.main, tips.published, recovery.history.branch.commits),
        actors=[PastActor(user_id=user_id, username=name) for user_id, name in recovery.actors.items()],
        users=list(_users(recovery.actors, created_at, at)),
        resources=recovery.resource_rows(),
        versions=list(recovery.version_rows(tags, git_url)),
        publications=recovery.publications(),
        tags=tags,
        deletions=list(recovery.history.deletions.rows.values()),
    )


class _Recovery:
    """The rows of one repository, as far as it was read."""

    def __init__(self, repository: RepositoryReader) -> None:
        self.history = History(repository.read_blob)
        self.actors: dict[UUID, str] = {}
        self._repository = repository
        # By version: the name of its resource, from the snapshot.
        self._names: dict[UUID, str] = {}
        self._published: dict[Key, PastPublication] = {}
        self._ended: list[PastPublication] = []

    def read_main(self) -> None:
        """Read the commits of `main`."""
        with closing(self._commits(self._repository.tips.main)) as commits:
            for entry in map(self.history.add, commits):
                faults.check(faults.of_main(entry, self.history))
                self._note(entry.trailers)
                for line in entry.trailers.versions:
                    blob_id = self.history.named[line.version_id].blob
                    content = self._repository.read_blob(blob_id)
                    self._names[line.version_id] = read_snapshot(line.key, blob_id, content).name

    def read_published(self) -> None:
        """Read the commits of `published`, after those of `main`."""
        branch = BranchReading()
        with closing(self._commits(self._repository.tips.published)) as commits:
            for entry in map(branch.read, commits):
                faults.check(faults.of_published(entry, branch))
                self._publish(entry, branch)

    def _commits(self, head: str | None) -> Generator[BranchCommit, None, None]:
        if head is not None:
            yield from read_branch(self._repository.path, head)

    def _note(self, trailers: Trailers) -> tuple[UUID, datetime]:
        author, time = trailers.signed
        self._note_author(author)
        return author.user_id, time

    def _note_author(self, author: CommitAuthor) -> None:
        self.actors[author.user_id] = author.username

    def _publish(self, entry: HistoryEntry, branch: BranchReading) -> None:
        trailers, where = entry.trailers, f"commit {entry.commit_id}"
        by, time = self._note(trailers)
        for line in trailers.unpublished:
            self._version(line, where)
            published = self._published.get(line.key)
            if published is None or published.version_id != line.version_id:
                raise NotUnderstood(f"{where}: {line} was not published")
            self._end_publication(line.key, by, time)
            if trailers.deletion is not None:
                deletion_id = UUID(trailers.deletion.deletion_id)
                self.history.deletions.withdraw(deletion_id, line.resource_id, line.version_id)
        for line in trailers.published:
            if branch.tree[line.path] != self._version(line, where).blob_id:
                raise NotUnderstood(f"{where}: what it publishes is not the content of {line}")
            self._end_publication(line.key, by, time)
            self._published[line.key] = PastPublication(
                publication_id=mint(),
                resource_type=line.kind,
                resource_id=line.resource_id,
                version_id=line.version_id,
                published_by=by,
                published_at=time,
                unpublished_by=None,
                unpublished_at=None,
            )
        if trailers.restored is not None:
            again = {line.version_id for line in trailers.published}
            if again != self.history.deletions.published_before(trailers.restored):
                raise NotUnderstood(f"{where}: it does not publish what was published when it fell")

    def _end_publication(self, key: Key, by: UUID, at: datetime) -> None:
        former = self._published.pop(key, None)
        if former is not None:
            self._ended.append(replace(former, unpublished_by=by, unpublished_at=at))

    def publications(self) -> list[PastPublication]:
        """Return publications, ended or not; raises NotUnderstood if a deleted resource is published."""
        for key in self.history.newest:
            if key in self._published and key in self.history.deleted_at:
                raise NotUnderstood(f"{key[0]} {key[1]} is deleted, and published has it")
        return sorted([*self._ended, *self._published.values()], key=lambda each: each.publication_id)

    def tags(self) -> list[PastTag]:
        """Return the tags that git has; of two tags on one version, the newer replaced the older."""
        by_version: dict[UUID, list[PastTag]] = {}
        for tagged in self._repository.tags():
            row = self._tag(tagged)
            by_version.setdefault(row.version_id, []).append(row)
        rows = []
        for found in by_version.values():
            found.sort(key=lambda row: row.tagged_at)
            # A crash kept git from removing the older ref: the row says that it still has to be removed.
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
        """Return the rows of resources, a parent before its children; raises NotUnderstood for an orphan."""
        rows: dict[Kind, list[tuple[int, dict[str, Any]]]] = {kind: [] for kind in Kind}
        read = read_resources(self.history, self._repository.read_blob)
        there = {key: each.resource for key, each in read.items()}
        for key, resource in there.items():
            parent = resource_rows.parent(key, resource.snapshot, there)
            if parent is not None and resource.deleted_at is None and there[parent].deleted_at is not None:
                raise NotUnderstood(f"{key[0]} {key[1]} lives, and lies in what is deleted")
            rows[key[0]].append(resource_rows.row(key, there))
        return {
            kind: [row for _, row in sorted(found, key=lambda pair: pair[0])] for kind, found in rows.items()
        }

    def version_rows(self, tags: list[PastTag], git_url: str) -> Iterator[PastVersion]:
        """Yield the versions, in the order of their commits."""
        history = self.history
        tag_of = {row.version_id: row.tag for row in tags if row.untagged_at is None}
        current = {each.line.version_id for each in history.newest.values()}
        published = {each.version_id for each in self._published.values()}
        for version_id, version in history.named.items():
            author, time = version.trailers.signed
            yield PastVersion(
                version_id=version_id,
                resource_type=version.line.kind,
                resource_id=version.line.resource_id,
                resource_name=self._names[version_id],
                version_number=version.line.number,
                version_tag=tag_of.get(version_id),
                version_description=version.trailers.description,
                is_current=version_id in current,
                is_published=version_id in published,
                git_commit_hash=version.commit_id,
                git_blob_id=version.blob,
                commit_number=version.place,
                unversioned_changes=history.changes[version_id],
                git_branch="main",
                git_repo_url=git_url,
                created_by=author.user_id,
                created_at=time,
            )

    def _version(self, line: Line, where: str) -> NamedVersion:
        version = self.history.named.get(line.version_id)
        if version is None or version.line != line:
            raise NotUnderstood(f"{where}: main has no {line}")
        return version

    def _tag(self, tagged: Tagged) -> PastTag:
        where = f"the tag {tagged.collection}/{tagged.resource_id}/{tagged.tag}"
        if tagged.record is None:
            # A tag from before Annals wrote tag objects names no author: take that of its version.
            found = [
                version
                for version in self.history.named.values()
                if version.commit_id == tagged.commit_id
                and version.line.kind.collection == tagged.collection
                and str(version.line.resource_id) == tagged.resource_id
            ]
            if not found:
                raise NotUnderstood(f"{where}: its commit made no version of its resource")
            [version] = found
            author, since = version.trailers.signed
        else:
            named = tagged.record.versions[0]
            line = line_of(named)
            if line is None:
                raise NotUnderstood(f"{named}: there are no {named.collection}")
            version, since = self._version(line, where), tagged.record.time
            actor = tagged.record.actor
            author = CommitAuthor(UUID(actor.user_id), actor.username)
            self._note_author(author)
        if version.commit_id != tagged.commit_id:
            raise NotUnderstood(f"{where}: it is not on the commit of version {version.line.number}")
        return PastTag(
            tag_id=mint(),
            resource_type=version.line.kind,
            resource_id=version.line.resource_id,
            version_id=version.line.version_id,
            tag=tagged.tag,
            tag_object=tagged.object_id,
            tagged_by=author.user_id,
            tagged_at=since,
            untagged_by=None,
            untagged_at=None,
            ref_is_settled=True,
        )


def _users(actors: dict[UUID, str], created_at: datetime, at: datetime) -> Iterator[PastUser]:
    """Yield the users. Of several actors with one name, only the newest is left: the others were deleted."""
    newest: dict[str, UUID] = {}
    of_key: dict[str, UUID] = {}
    for user_id, username in actors.items():
        if username.startswith(SYSTEM):
            continue
        newest[username] = max(user_id, newest.get(username, user_id))
    for username, user_id in newest.items():
        key = name_key(username)
        of_key[key] = max(user_id, of_key.get(key, user_id))
    for username, user_id in newest.items():
        key = name_key(username)
        yield PastUser(
            user_id=user_id,
            username=username,
            # Names from before they were unique without regard to case may share a key: one user has it.
            name_key=key if of_key[key] == user_id else None,
            role=LEAST_ROLE,
            created_at=minted_at(user_id) or created_at,
            updated_at=at,
        )
