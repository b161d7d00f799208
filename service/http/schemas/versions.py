"""Queries and bodies about versions, tags, comments and rollbacks."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from service.domain.ids import ResourceId
from service.domain.resource_kinds import Kind
from service.http.schemas.body import Body
from service.http.schemas.fields import (
    Definition,
    Point,
    QueryText,
    Ref,
    Remark,
    Tag,
    Text,
    Words,
)
from service.http.schemas.filters import TimeQuery


class VersionQuery(TimeQuery):
    """Filters of a history; `author` is a user's id or name."""

    tag: QueryText | None = None
    published: bool | None = None
    author: QueryText | None = None


class DiffQuery(BaseModel):
    """The two versions to compare."""

    model_config = ConfigDict(populate_by_name=True)

    from_ref: QueryText = Field(default="previous", alias="from")
    to_ref: QueryText = Field(default="current", alias="to")


class NewVersion(Body):
    data: Definition
    description: Text | None = None
    tag: Tag | None = None
    publish: StrictBool = False


class RollbackRequest(Body):
    to: Ref
    comment: Remark = None
    dry_run: StrictBool = False


class RollbackManyRequest(Body):
    to: Point
    workspace_id: UUID | None = None
    folder_id: UUID | None = None
    comment: Remark = None
    dry_run: StrictBool = False

    @model_validator(mode="after")
    def _one_root(self) -> "RollbackManyRequest":
        if self.workspace_id is not None and self.folder_id is not None:
            raise ValueError("name a workspace or a folder, not both")
        return self

    def root(self) -> tuple[Kind, ResourceId] | None:
        """Root of the rollback: a workspace or folder with all below it; None for the whole subscription."""
        if self.workspace_id is not None:
            return Kind.WORKSPACE, ResourceId(self.workspace_id)
        return None if self.folder_id is None else (Kind.FOLDER, ResourceId(self.folder_id))


class TagRequest(Body):
    tag: Tag


class CommentRequest(Body):
    text: Words
