"""Queries and bodies about deletions and restores, and the deletions that a platform records."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StrictBool, StrictInt

from service.domain.actions import EventOrigin
from service.domain.pagination import MAX_NUMBER
from service.http.schemas.body import Body
from service.http.schemas.fields import Line, Name, QueryInteger, QueryText, ShortLine
from service.http.schemas.filters import Person, ReportedId, TimeQuery
from service.http.schemas.log_fields import DatedEvent, JsonObject, LogTime, Source
from service.usecases.posted_deletions import MAX_TYPE, ReportedDeletion

_Count = Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]
_TypeName = Annotated[ShortLine, Field(max_length=MAX_TYPE)]
# In days: a hundred years, as policies of retention have.
_MAX_TERM = 36_500


class DeletionQuery(TimeQuery):
    """Filters of deletions; `restorable` means at present."""

    restorable: bool | None = None
    resource_type: QueryText | None = None
    resource_id: ReportedId | None = None
    root_deletion_id: UUID | None = None
    parent_resource_id: ReportedId | None = None
    version_id: UUID | None = None
    cascade_level: Annotated[QueryInteger, Field(ge=0, le=MAX_NUMBER)] | None = None
    deleted_by: ReportedId | None = None
    restored_by: Person | None = None
    recorded_by: Person | None = None
    origin: EventOrigin | None = None
    source: QueryText | None = None
    time: LogTime | None = None


class ResolutionRequest(Body):
    rename: Name | None = None
    new_parent_id: UUID | None = None
    keep_restored: StrictBool = False


class RestoreRequest(Body):
    dry_run: StrictBool = False
    resolve: ResolutionRequest | None = None


class CascadedCounts(Body):
    workspaces: _Count = 0
    folders: _Count = 0
    jobs: _Count = 0
    workflows: _Count = 0
    jobpackages: _Count = 0
    connectors: _Count = 0


class NewDeletionEvent(DatedEvent):
    resource_type: _TypeName
    resource_id: ShortLine
    resource_name: Line | None = None
    resource_data: JsonObject | None = None
    deleted_by: ShortLine | None = None
    parent_resource_type: _TypeName | None = None
    parent_resource_id: ShortLine | None = None
    cascade_level: _Count = 0
    cascaded_counts: CascadedCounts | None = None
    deletion_reason: str | None = None
    is_soft_delete: StrictBool = False
    restore_expiry_days: Annotated[StrictInt, Field(ge=0, le=_MAX_TERM)] = 30
    source: Source | None = None

    def reported(self) -> ReportedDeletion:
        """Return the deletion as the use case takes it."""
        counts = self.cascaded_counts or CascadedCounts()
        return ReportedDeletion(**dict(self) | {"cascaded_counts": dict(counts)})
