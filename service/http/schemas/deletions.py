"""Queries and bodies about deletions and restores."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StrictBool

from service.domain.pagination import MAX_NUMBER
from service.domain.resource_kinds import Kind
from service.http.schemas.body import Body
from service.http.schemas.fields import Name, QueryInteger
from service.http.schemas.filters import Person, TimeQuery


class DeletionQuery(TimeQuery):
    """Filters of deletions; `restorable` means at present."""

    restorable: bool | None = None
    resource_type: Kind | None = None
    resource_id: UUID | None = None
    root_deletion_id: UUID | None = None
    parent_resource_id: UUID | None = None
    version_id: UUID | None = None
    cascade_level: Annotated[QueryInteger, Field(ge=0, le=MAX_NUMBER)] | None = None
    deleted_by: Person | None = None
    restored_by: Person | None = None


class ResolutionRequest(Body):
    rename: Name | None = None
    new_parent_id: UUID | None = None
    keep_restored: StrictBool = False


class RestoreRequest(Body):
    dry_run: StrictBool = False
    resolve: ResolutionRequest | None = None
