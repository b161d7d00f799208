"""Buckets and groups of the statistics of a log."""

from dataclasses import fields
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from service.http.schemas.fields import QueryInteger
from service.http.schemas.filters import FilterQuery
from service.usecases.log_reading import AskedFigures

# A width of buckets: minutes, hours, days or weeks; or one bucket for the whole time.
Bucket = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,4}[mhdw]|all)$")]


class StatisticsQuery(FilterQuery):
    """Buckets of statistics, and how many groups; a log adds by what rows are grouped, and groups ordered."""

    bucket: Bucket = "1h"
    limit: Annotated[QueryInteger, Field(ge=1, le=1_000)] | None = None

    @field_validator("group_by", check_fields=False)
    @classmethod
    def _different(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("has the same column twice")
        return names

    def split(self) -> tuple[dict[str, Any], AskedFigures]:
        """Return the filters of the log, and what figures are asked for."""
        values = self.model_dump()
        names = {field.name for field in fields(AskedFigures)} & values.keys()
        asked = AskedFigures(**{name: values.pop(name) for name in names})
        return values, asked
