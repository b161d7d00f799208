"""Bodies about check-outs and check-ins."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StrictBool, StrictInt

from service.domain.resource_kinds import Kind
from service.http.schemas.body import Body
from service.http.schemas.fields import MAX_REF, Definition, Ref, Remark, Tag
from service.usecases.check_outs import MAX_LEASE

# From API.md: one bulk check-in is one commit of at most so many versions.
MAX_ITEMS = 500


class CheckOutRequest(Body):
    from_ref: Ref | None = Field(default=None, alias="from")
    reason: Remark = None
    ttl_seconds: Annotated[StrictInt, Field(ge=1, le=int(MAX_LEASE.total_seconds()))] | None = None


class CheckInRequest(Body):
    data: Definition | None = None
    comment: Remark = None
    tag: Tag | None = None
    publish: StrictBool = False


class CheckInItem(Body):
    resource_type: Kind
    resource_id: UUID
    data: Definition
    if_match: Annotated[str, Field(min_length=1, max_length=MAX_REF)] | None = None


class CheckInsRequest(Body):
    items: Annotated[list[CheckInItem], Field(min_length=1, max_length=MAX_ITEMS)]
    comment: Remark = None
