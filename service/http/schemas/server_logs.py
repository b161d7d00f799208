"""Filters of the server log."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from service.http.schemas.fields import QueryText
from service.http.schemas.filters import Address, Person, TimeQuery

ResponseStatus = Annotated[str, StringConstraints(pattern=r"^[1-5](xx|[0-9]{2})$")]


class ServerLogQuery(TimeQuery):
    """Filters of a page of the server log."""

    log_id: UUID | None = None
    status: ResponseStatus | None = Field(
        default=None, description="a status, such as 404, or a class of them, such as 4xx"
    )
    endpoint: QueryText | None = None
    user_id: Person | None = None
    ip_address: Address | None = None
    request_id: QueryText | None = None


class PlatformServerLogQuery(ServerLogQuery):
    """Filters of a page of the server log of all subscriptions."""

    subscription_id: UUID | None = None
