"""Repositories made without a server, for histories that no server would make."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gitstore import commit_messages, snapshots
from gitstore.commit_messages import DeletionLine, VersionLine
from gitstore.identity import Branch, Identity
from gitstore.store import Store, snapshot_path
from gitstore.write.commit_builder import CommitBuilder
from service.domain.ids import mint
from tests.support.api import git

NOON = datetime(2026, 1, 2, 12, 0, 0, 654321, tzinfo=UTC)


@dataclass
class Workspace:
    """A workspace, and its versions so far."""

    resource_id: str
    lines: list[VersionLine] = field(default_factory=list)
    blobs: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return snapshot_path("workspaces", self.resource_id)


class Story:
    """A repository that a test writes to directly; refs move only with `settle`."""

    def __init__(self, store: Store, subscription_id: str | None = None) -> None:
        self.subscription_id = subscription_id or str(mint())
        self.path: Path = store.ensure(self.subscription_id)
        self._builder = CommitBuilder(self.path)
        self.heads: dict[Branch, str | None] = {"main": None, "published": None}
        self.at = NOON
        self.actor = Identity(str(mint()), "ann")
        self._builder.begin(None)

    def workspace(self) -> Workspace:
        """Make a workspace with version 1."""
        made = Workspace(str(mint()))
        self.save(made)
        return made

    def save(
        self,
        workspace: Workspace,
        *,
        number: int | None = None,
        content: bytes | None = None,
        name: str | None = None,
        writes: dict[str, bytes] | None = None,
        trailers: str = "",
        deletion: DeletionLine | None = None,
    ) -> str:
        """Commit the next version of a workspace; with arguments, as the committer never writes it."""
        number = number or len(workspace.lines) + 1
        line = VersionLine("workspaces", workspace.resource_id, number, str(mint()))
        if content is None:
            content = snapshots.assemble(
                definition=snapshots.canonical_definition({"n": number}),
                description=None,
                name=name or f"workspace {workspace.resource_id}",
                parent_id=None,
                resource_id=workspace.resource_id,
                resource_type="workspace",
            )
        workspace.lines.append(line)
        workspace.blobs.append(snapshots.blob_id(content))
        return self.commit(
            "main",
            {workspace.path: content} | (writes or {}),
            versions=[line],
            deletion=deletion,
            trailers=trailers,
        )

    def publish(self, workspace: Workspace, number: int) -> str:
        """Commit the publication of a version."""
        places = {workspace.path: workspace.blobs[number - 1]}
        return self.commit("published", places=places, published=[workspace.lines[number - 1]])

    def delete(self, *workspaces: Workspace, **how: Any) -> str:
        """Commit the soft deletion of workspaces; returns the id of the deletion."""
        deletion_id = str(mint())
        line = DeletionLine(deletion_id, self.at + timedelta(days=30), "because")
        self.commit("main", removes=[each.path for each in workspaces], deletion=line, **how)
        return deletion_id

    def purge(self, workspace: Workspace, **how: Any) -> str:
        """Make an empty commit that deletes a workspace for good; returns the id of the deletion."""
        deletion_id = str(mint())
        line = DeletionLine(deletion_id, None, None)
        subject = f"workspaces/{workspace.resource_id}: deleted for good"
        self.commit("main", deletion=line, **{"subject": subject, **how})
        return deletion_id

    def restore(self, deletion_id: str, *workspaces: Workspace, **how: Any) -> str:
        """Commit the restore of workspaces, with their last versions."""
        places = {each.path: each.blobs[-1] for each in workspaces}
        return self.commit("main", places=places, restored=deletion_id, **how)

    def commit(
        self,
        branch: Branch,
        writes: dict[str, bytes] | None = None,
        *,
        subject: str = "a change",
        places: dict[str, str] | None = None,
        removes: Sequence[str] = (),
        versions: Sequence[VersionLine] = (),
        published: Sequence[VersionLine] = (),
        unpublished: Sequence[VersionLine] = (),
        deletion: DeletionLine | None = None,
        restored: str | None = None,
        trailers: str = "",
    ) -> str:
        """Make a commit on top of a branch."""
        self.at += timedelta(seconds=1)
        message = commit_messages.compose(
            subject=subject,
            body=None,
            versions=versions,
            published=published,
            unpublished=unpublished,
            deletion=deletion,
            restored=restored,
            actor=self.actor,
            request_id="r",
            time=self.at,
        )
        made = self._builder.commit(
            branch=branch,
            writes=writes or {},
            places=places,
            removes=removes,
            message=message + trailers,
            actor=self.actor,
            time=self.at,
        )
        self.heads[branch] = made.commit_id
        return made.commit_id

    def tag(self, workspace: Workspace, number: int, tag: str, commit: str, *, ref: str | None = None) -> str:
        """Make a tag object of a version on a commit, and its ref."""
        self.at += timedelta(seconds=1)
        name = commit_messages.tag_ref("workspaces", workspace.resource_id, tag)
        message = commit_messages.compose(
            subject="a tag",
            body=None,
            versions=[workspace.lines[number - 1]],
            actor=self.actor,
            request_id="r",
            time=self.at,
        )
        made = self._builder.tag(name=name, target=commit, message=message, actor=self.actor, time=self.at)
        self.write()
        git(self.path, "update-ref", f"refs/tags/{ref or name}", made)
        return made

    def write(self) -> None:
        """Make the commits durable, as a batch does before its rows."""
        self._builder.write()
        self._builder.begin(self.heads["main"], published=self.heads["published"])

    def settle(self) -> "Story":
        """Write the commits, and move the branches to them."""
        self.write()
        for branch, head in self.heads.items():
            if head is not None:
                git(self.path, "update-ref", f"refs/heads/{branch}", head)
        return self
