"""Commits and tags of git, with the rows of the versions that they hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gitstore import commit_messages
from gitstore.commit_messages import DeletionLine, VersionLine
from gitstore.identity import Branch, Identity
from gitstore.write.commit_builder import Commit, CommitBuilder
from service.audit import data_changes
from service.committer.plan.ledger import Ledger
from service.committer.refusals import counted
from service.committer.step import path_of, version_state
from service.documents.workers import DocumentWorkers
from service.domain.callers import Member
from service.domain.ids import mint
from service.domain.resource_kinds import Kind
from sql.queries.data_changes import NewDataChange
from sql.queries.resources import ResourceRow
from sql.queries.tags import NewTag
from sql.queries.versions import NewVersionRow, VersionRow

MAIN: Branch = "main"
PUBLISHED: Branch = "published"


@dataclass(frozen=True, slots=True)
class Draft:
    """A new version of a resource; `before` is the version that it supersedes."""

    row: ResourceRow
    number: int
    snapshot: bytes
    author: Member
    description: str | None = None
    before: VersionRow | None = None
    reason: str | None = None


class Commits:
    """Adds commits and tags to the builder, and their versions and tips to the writes."""

    def __init__(
        self, ledger: Ledger, *, builder: CommitBuilder, documents: DocumentWorkers, git_url: str
    ) -> None:
        self._subscription_id = ledger.subscription_id
        self._writes = ledger.writes
        self._at = ledger.at
        self._builder = builder
        self._documents = documents
        self._git_url = git_url

    def add_versions(
        self, drafts: Sequence[Draft], title: str | None = None, body: str | None = None
    ) -> list[VersionRow]:
        """Commit versions on `main`, if there are any. The default title names the first version."""
        if not drafts:
            return []
        [first, *_] = drafts
        if title is None:
            kind, row = Kind(first.row.resource_type), first.row
            title = commit_messages.version_subject(
                kind.collection, str(row.resource_id), first.number, row.name
            )
        _, made = self.add_versions_and_blobs(drafts, title=title, body=body, author=first.author)
        return made

    def add_versions_and_blobs(
        self,
        drafts: Sequence[Draft],
        *,
        title: str,
        body: str | None,
        author: Member,
        places: Mapping[str, str] | None = None,
        restored: str | None = None,
    ) -> tuple[str, list[VersionRow]]:
        """Commit versions, and stored blobs at `places`, on `main`; returns the commit's id and versions."""
        ids = [mint() for _ in drafts]
        paths = [path_of(draft.row) for draft in drafts]
        commit = self.add(
            MAIN,
            writes={path: draft.snapshot for path, draft in zip(paths, drafts, strict=True)},
            places=places,
            subject=title,
            body=body,
            versions=[
                VersionLine(
                    Kind(draft.row.resource_type).collection,
                    str(draft.row.resource_id),
                    draft.number,
                    str(version_id),
                )
                for draft, version_id in zip(drafts, ids, strict=True)
            ],
            restored=restored,
            description=drafts[0].description if drafts else None,
            author=author,
        )
        made = []
        for draft, version_id, path in zip(drafts, ids, paths, strict=True):
            version = VersionRow(
                version_id=version_id,
                resource_type=draft.row.resource_type,
                resource_id=draft.row.resource_id,
                resource_name=draft.row.name,
                version_number=draft.number,
                version_tag=None,
                version_description=draft.description,
                is_current=True,
                is_published=False,
                git_commit_hash=commit.commit_id,
                git_blob_id=commit.blob_ids[path],
                git_branch=MAIN,
                git_repo_url=self._git_url,
                created_by=draft.author.user_id,
                created_by_username=draft.author.username,
                created_at=self._at,
                checked_out_by=None,
                checked_out_at=None,
                checked_in_at=None,
                unversioned_changes=0 if draft.before is None else draft.before.unversioned_changes,
            )
            self._writes.rows.versions.append(
                NewVersionRow(version, draft.snapshot, self._writes.tips.commits)
            )
            made.append(version)
            self._writes.rows.changes.append(partial(self._data_change, draft, version))
        return commit.commit_id, made

    def add(
        self,
        branch: Branch,
        *,
        author: Member,
        subject: str,
        writes: Mapping[str, bytes] | None = None,
        places: Mapping[str, str] | None = None,
        removes: Sequence[str] = (),
        body: str | None = None,
        description: str | None = None,
        versions: Sequence[VersionLine] = (),
        published: Sequence[VersionLine] = (),
        unpublished: Sequence[VersionLine] = (),
        deletion: DeletionLine | None = None,
        restored: str | None = None,
    ) -> Commit:
        """Commit on a branch and advance its tip."""
        actor = _identity(author)
        commit = self._builder.commit(
            branch=branch,
            writes=writes or {},
            places=places,
            removes=removes,
            message=commit_messages.compose(
                subject=subject,
                body=body,
                versions=versions,
                published=published,
                unpublished=unpublished,
                deletion=deletion,
                restored=restored,
                actor=actor,
                request_id=author.origin.request_id,
                time=self._at,
                description=description,
            ),
            actor=actor,
            time=self._at,
        )
        tips = self._writes.tips
        if branch == MAIN:
            self._writes.tips = replace(tips, head=commit.commit_id, commits=tips.commits + 1)
        else:
            self._writes.tips = replace(tips, published=commit.commit_id)
        return commit

    def new_tag(self, version: VersionRow, tag: str, author: Member) -> NewTag:
        """Make the tag object of a version; returns the row of the tag."""
        collection, resource_id = Kind(version.resource_type).collection, str(version.resource_id)
        actor = _identity(author)
        tag_object = self._builder.tag(
            name=commit_messages.tag_ref(collection, resource_id, tag),
            target=version.git_commit_hash,
            message=commit_messages.compose(
                subject=f"{collection}/{resource_id}: {tag} is v{version.version_number}"
                f" — {version.resource_name}",
                body=None,
                versions=[line_of(version)],
                actor=actor,
                request_id=author.origin.request_id,
                time=self._at,
            ),
            actor=actor,
            time=self._at,
        )
        return NewTag(
            tag_id=mint(),
            resource_type=version.resource_type,
            resource_id=version.resource_id,
            version_id=version.version_id,
            tag=tag,
            tag_object=tag_object,
            tagged_by=author.user_id,
        )

    def _data_change(self, draft: Draft, version: VersionRow) -> list[NewDataChange]:
        """The row of the data change of a new version; the document itself is stored once, in git."""
        before = draft.before
        diff = None
        if before is not None:
            old, new = self._builder.find_blob(before.git_blob_id), draft.snapshot
            diff = self._documents.run(max(len(old), len(new)), data_changes.document_diff, old, new)
        made = data_changes.row_of(
            draft.author,
            self._subscription_id,
            data_changes.RecordRef(
                Kind(version.resource_type).collection, version.resource_id, version.resource_name
            ),
            self._at,
            old=None if before is None else version_state(before),
            new=version_state(version),
            number=version.changes,
            diff=diff,
            reason=draft.reason,
        )
        return [made]


def subject_of(root: ResourceRow, word: str) -> str:
    """The subject of a commit that deletes or restores a resource with all below it."""
    return f"{Kind(root.resource_type).collection}/{root.resource_id}: {word} — {root.name}"


def body_of(others: int) -> str | None:
    """The body of a commit that deletes or restores a resource and so many `others` below it."""
    return f"And {counted(others)} below it." if others else None


def line_of(version: VersionRow) -> VersionLine:
    """The line of a commit message that names a version."""
    collection = Kind(version.resource_type).collection
    return VersionLine(collection, str(version.resource_id), version.version_number, str(version.version_id))


def _identity(author: Member) -> Identity:
    return Identity(str(author.user_id), author.username)
