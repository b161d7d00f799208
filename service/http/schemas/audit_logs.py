"""Filters of the audit log, and the events that a platform records."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from service.domain.actions import EventOrigin
from service.http.schemas.body import Body
from service.http.schemas.fields import Line, QueryText, ShortLine
from service.http.schemas.filters import ActionName, Address, Person, Several, TimeQuery, UserName
from service.http.schemas.log_fields import (
    DatedEvent,
    Expanded,
    JsonObject,
    LogTime,
    Operation,
    Source,
    TypeName,
)
from service.http.schemas.statistics import StatisticsQuery
from service.http.schemas.users import Email
from service.usecases.posted_events import (
    MAX_ACTION,
    MAX_METHOD,
    MAX_REQUEST_ID,
    ReportedEvent,
)

AuditStatus = Literal["success", "failed", "unauthorized"]
Action = Annotated[str, StringConstraints(max_length=MAX_ACTION, pattern=r"^[A-Za-z0-9._:/-]+$")]
ActorKind = Literal["human", "service", "agent"]
AuditGroup = Literal[
    "action", "resource_type", "status", "user_id", "workspace_id", "origin", "source", "actor_id"
]


class AuditQuery(TimeQuery):
    """Filters of a page of the audit log."""

    audit_id: UUID | None = None
    resource_type: Several[QueryText] = Field(default_factory=list)
    resource_id: QueryText | None = None
    user_id: Several[Person] = Field(default_factory=list)
    username: Several[UserName] = Field(default_factory=list)
    action: Several[ActionName] = Field(default_factory=list)
    without: Several[ActionName] = Field(
        default_factory=list, description="actions whose events are left out"
    )
    status: Several[AuditStatus] = Field(default_factory=list)
    workspace_id: UUID | None = None
    folder_id: UUID | None = None
    ip_address: Address | None = None
    request_id: QueryText | None = None
    origin: Several[EventOrigin] = Field(default_factory=list)


class PostedAuditQuery(AuditQuery):
    """Filters of a subscription's audit log: also those of the events that a platform posted."""

    actor_id: UserName | None = None
    actor_name: UserName | None = None
    source: Several[QueryText] = Field(default_factory=list)
    event_id: QueryText | None = None
    received_request_id: QueryText | None = None
    time: LogTime | None = None


class ExpandableAuditQuery(PostedAuditQuery):
    """Filters of a page of a subscription's audit log, and what goes with each event."""

    expand: Expanded | None = None


class AuditStatisticsQuery(PostedAuditQuery, StatisticsQuery):
    """Filters, buckets and groups of the audit log's statistics."""

    group_by: Annotated[list[AuditGroup], Field(max_length=2)] = Field(default_factory=list)
    order: Literal["count"] | None = None


class PlatformAuditStatisticsQuery(AuditQuery, StatisticsQuery):
    """Filters, buckets and groups of the statistics of the platform's own events."""

    group_by: Annotated[list[Literal["action", "resource_type", "status"]], Field(max_length=2)] = Field(
        default_factory=list
    )
    order: Literal["count"] | None = None


class NewActor(Body):
    """The person, program or agent that acted; an address without an id takes the name as the id."""

    id: ShortLine | None = None
    name: ShortLine | None = None
    email: Email | None = None
    kind: ActorKind | None = None

    @model_validator(mode="after")
    def _is_named(self) -> "NewActor":
        if self.id is None and self.name is None:
            raise ValueError("has an id or a name")
        return self


class NewAuditEvent(DatedEvent):
    action: Action
    resource_type: TypeName
    resource_id: ShortLine | None = None
    resource_name: Line | None = None
    old_values: JsonObject | None = None
    new_values: JsonObject | None = None
    changes: list[Operation] | None = None
    workspace_id: UUID | None = None
    folder_id: UUID | None = None
    status: AuditStatus = "success"
    error_message: str | None = None
    actor: NewActor | None = None
    on_behalf_of: ShortLine | None = None
    ip_address: Address | None = None
    user_agent: str | None = None
    api_endpoint: str | None = None
    http_method: Annotated[ShortLine, Field(max_length=MAX_METHOD)] | None = None
    request_id: Annotated[ShortLine, Field(max_length=MAX_REQUEST_ID)] | None = None
    source: Source | None = None
    event_id: ShortLine | None = None

    @field_validator("on_behalf_of")
    @classmethod
    def _one_actor(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("actor") is not None:
            raise ValueError("stands for the name of `actor`: send one of them")
        return value

    def reported(self) -> ReportedEvent:
        """Return the event as the use case takes it."""
        given = dict(self)
        actor, name = given.pop("actor"), given.pop("on_behalf_of")
        if actor is None:
            return ReportedEvent(**given, actor_name=name)
        return ReportedEvent(**given, **{f"actor_{part}": value for part, value in actor})
