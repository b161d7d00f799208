"""Filters of the data change history, and the changes that a platform records."""

from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from service.audit.data_changes import TableName
from service.domain.actions import EventOrigin
from service.http.schemas.fields import Line, QueryText, ShortLine
from service.http.schemas.filters import Person, ReportedId, TimeQuery, other_number
from service.http.schemas.log_fields import DatedEvent, Expanded, JsonObject, LogTime, Source, TypeName
from service.usecases.data_changes import ReportedChange

# The tables of Annals, by each form in which they are taken.
_OWN: dict[str, str] = {form: table for table in get_args(TableName) for form in (table, other_number(table))}


def _any_table(name: str) -> str:
    return _OWN.get(name.casefold(), name)


def _not_own(name: str) -> str:
    if name.casefold() in _OWN:
        raise ValueError("is a table of Annals, which records its changes itself")
    return name


class ChangeQuery(TimeQuery):
    """Filters of a page of the history of data changes."""

    change_id: UUID | None = None
    table_name: Annotated[QueryText, AfterValidator(_any_table)] | None = None
    record_id: ReportedId | None = None
    changed_by: ReportedId | None = None
    recorded_by: Person | None = None
    request_id: QueryText | None = None
    origin: EventOrigin | None = None
    source: QueryText | None = None
    time: LogTime | None = None
    expand: Expanded | None = None


class NewDataChangeEvent(DatedEvent):
    table_name: Annotated[TypeName, AfterValidator(_not_own)]
    record_id: ShortLine
    record_name: Line | None = None
    old_data: JsonObject | None = None
    new_data: JsonObject | None = None
    # After the states, by which it is checked, or found where it is not given.
    change_type: Literal["INSERT", "UPDATE", "DELETE"] | None = Field(default=None, validate_default=True)
    changed_by: ShortLine | None = None
    change_reason: str | None = None
    source: Source | None = None

    @field_validator("change_type")
    @classmethod
    def _fits_states(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not {"old_data", "new_data"} <= info.data.keys():
            # The states have faults of their own.
            return value
        old, new = info.data["old_data"], info.data["new_data"]
        if value == "INSERT" and old is not None:
            raise ValueError("does not fit: before an INSERT there is no old_data")
        if value == "DELETE" and new is not None:
            raise ValueError("does not fit: after a DELETE there is no new_data")
        if value is None and old is None and new is None:
            raise ValueError("is needed where neither old_data nor new_data is given")
        return value or ("INSERT" if old is None else "DELETE" if new is None else "UPDATE")

    def reported(self) -> ReportedChange:
        """Return the change as the use case takes it."""
        return ReportedChange(**dict(self))
