"""JSON schema of problem documents, as `service.http.problems` makes them."""

from datetime import datetime
from typing import Any, NotRequired
from uuid import UUID

from pydantic import ConfigDict
from typing_extensions import TypedDict

from service.committer.changes import RestoreObstacle


class ProblemFault(TypedDict):
    """Fault of the input: the name of a parameter or header, or a pointer into the body or a line of it."""

    detail: str
    line: NotRequired[int]
    pointer: NotRequired[str]
    parameter: NotRequired[str]


class OthersCheckOut(TypedDict):
    """Check-out of another user that refuses a change of many resources."""

    resource_type: str
    resource_id: UUID
    resource_name: str
    checked_out_by: UUID
    checked_out_by_username: str
    checked_out_at: datetime
    expires_at: datetime


class StaleItem(TypedDict):
    """Resource of a bulk check-in that was changed since, with its current version."""

    resource_type: str
    resource_id: UUID
    resource_name: str
    current_version: int
    git_commit_hash: str


class Problem(TypedDict):
    """Problem document (RFC 9457); `code` is stable, and `type` resolves to its page.

    The other members are facts of some codes: `checked_out` and `not_holder` name the holder, `stale_version`
    the current version, `quota_exceeded` the quota, `held` the legal hold, `restore_conflict` the conflicts,
    `plan_outdated` the new plan.
    """

    # More facts may be added.
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: NotRequired[list[ProblemFault]]
    checked_out_by: NotRequired[UUID]
    checked_out_by_username: NotRequired[str]
    checked_out_at: NotRequired[datetime]
    expires_at: NotRequired[datetime]
    check_outs: NotRequired[list[OthersCheckOut]]
    current_version: NotRequired[int]
    git_commit_hash: NotRequired[str | None]
    current: NotRequired[list[StaleItem]]
    conflicts: NotRequired[list[RestoreObstacle]]
    plan: NotRequired[dict[str, Any]]
    quota: NotRequired[str]
    limit: NotRequired[int]
    used: NotRequired[int]
    hold_id: NotRequired[UUID]
    reason: NotRequired[str]
    until: NotRequired[datetime | None]
