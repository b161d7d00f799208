"""Bodies about scheduled jobs and their runs."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StrictBool, StrictStr, WithJsonSchema, model_validator

from service.domain.schedules import MAX_LENGTH
from service.http.schemas.body import Body, MergePatch
from service.http.schemas.filters import TimeQuery
from service.usecases.maintenance.table import SCHEDULED_JOBS


def _job(text: str) -> str:
    if text.casefold() not in SCHEDULED_JOBS:
        raise ValueError(f"is one of {', '.join(SCHEDULED_JOBS)}")
    return text.casefold()


JobName = Annotated[str, AfterValidator(_job), WithJsonSchema({"enum": list(SCHEDULED_JOBS)})]


class ScheduleUpdate(MergePatch):
    cron: Annotated[StrictStr, Field(min_length=1, max_length=MAX_LENGTH)] | None = None
    time_zone: Annotated[StrictStr, Field(min_length=1, max_length=MAX_LENGTH)] | None = None
    is_paused: StrictBool = False


class RunRequest(Body):
    dry_run: StrictBool = False
    plan_id: UUID | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "RunRequest":
        if self.dry_run and self.plan_id is not None:
            raise ValueError("a plan is applied or made anew, not both: leave dry_run or plan_id out")
        return self


class RunQuery(TimeQuery):
    """Filters of a page of job runs."""

    job: JobName | None = None
    state: Literal["waiting", "running", "succeeded", "failed", "interrupted", "missed"] | None = None
