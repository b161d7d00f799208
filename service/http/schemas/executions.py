"""Filters of executions."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from service.http.schemas.fields import QueryInteger
from service.http.schemas.filters import TimeQuery


class ExecutionsQuery(TimeQuery):
    """Filters of a page of executions; the time is that of their begin, of the last seven days by default."""

    workflow_id: UUID | None = None
    job_id: UUID | None = None
    jobpackage_id: UUID | None = None
    execution_type: Literal["workflow", "job", "jobpackage"] | None = None
    # The last status; `running` is that of executions that have not ended.
    status: Literal["running", "success", "failed", "cancelled", "skipped", "timed_out"] | None = None
    version_number: Annotated[QueryInteger, Field(ge=1, le=2**31 - 1)] | None = None
