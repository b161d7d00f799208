"""Filters of the data change history."""

from uuid import UUID

from service.audit.data_changes import TableName
from service.http.schemas.fields import QueryText
from service.http.schemas.filters import Person, TimeQuery
from service.http.schemas.log_fields import Expanded


class ChangeQuery(TimeQuery):
    """Filters of a page of the history of data changes."""

    change_id: UUID | None = None
    table_name: TableName | None = None
    record_id: QueryText | None = None
    changed_by: Person | None = None
    request_id: QueryText | None = None
    expand: Expanded | None = None
