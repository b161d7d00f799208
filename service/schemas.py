"""Request bodies: what each field may hold. Answers are the use cases' own dataclasses."""

import re
import unicodedata
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    WithJsonSchema,
)

from service.kinds import Place
from service.usecases.checkouts import MAX_LEASE
from service.usecases.versions import RESERVED

MAX_TEXT = 10_000


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("may not be blank")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text):
        raise ValueError("may not hold line breaks or control characters")
    return text


def _username(text: str) -> str:
    # It becomes a commit's author, where git would strip or misread other characters.
    if not re.fullmatch(r"\w(?:[\w.@+ -]*\w)?", text):
        raise ValueError(
            "begins and ends with a letter or digit, and holds letters, digits, and _.@+- and blanks"
        )
    return text


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("is no e-mail address")
    return text


def _tag(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        raise ValueError("begins with a letter or digit and holds up to 100 letters, digits, dots, _ and -")
    if text.isdigit() or re.fullmatch(r"[0-9a-fA-F]{7,40}", text) or text in RESERVED:
        raise ValueError("would be read as a version number, a commit or a reserved word")
    if ".." in text or text.endswith((".", ".lock")):
        raise ValueError("is no valid git tag")
    return text


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("may not hold NUL (U+0000)")
    return text


QueryText = Annotated[str, Field(max_length=500), AfterValidator(_storable)]


def _ref(value: object) -> int | str:
    # One validator instead of a union, whose errors would point at a branch of the union.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and 0 < len(value) <= MAX_REF:
        return value
    raise ValueError("is a version number, a tag, a commit, or current, published or previous")


MAX_REF = 100
Ref = Annotated[
    int | str,
    PlainValidator(_ref),
    WithJsonSchema({"type": ["integer", "string"], "minLength": 1, "maxLength": MAX_REF}),
]
Name = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
ShortName = Annotated[str, Field(max_length=255), AfterValidator(_one_line)]
Username = Annotated[str, Field(max_length=100), AfterValidator(_username)]
Email = Annotated[str, Field(max_length=255), AfterValidator(_email)]
Tag = Annotated[str, AfterValidator(_tag)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
# An empty field of a form says nothing: it is stored as nothing.
Remark = Annotated[Text | None, AfterValidator(lambda text: text if text and text.strip() else None)]
Definition = dict[str, Any]
RoleName = Literal["viewer", "editor", "auditor", "admin"]


class AuditQuery(BaseModel):
    """What narrows a page of the audit log; both ends of the time are inclusive."""

    resource_type: QueryText | None = None
    resource_id: QueryText | None = None
    user_id: UUID | None = None
    action: QueryText | None = None
    status: QueryText | None = None
    workspace_id: UUID | None = None
    request_id: QueryText | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class Body(BaseModel):
    """A JSON object in which unknown fields are an error: a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid")


class NewSubscription(Body):
    name: ShortName


class NewUser(Body):
    username: Username
    email: Email
    role: RoleName


class UserChange(Body):
    email: Email = Field(default="")
    role: RoleName = Field(default="viewer")


class NewApiKey(Body):
    user_id: UUID
    name: ShortName
    expires_in_days: Annotated[StrictInt, Field(ge=1, le=3650)] | None = None


class NewResource(Body):
    name: Name
    description: Text | None = None
    definition: Definition = Field(default_factory=dict)

    def place(self) -> Place:
        """Where it is to hang: the ids that its kind has."""
        ids = ("workspace_id", "parent_folder_id", "folder_id", "job_id")
        return Place(**{name: getattr(self, name, None) for name in ids})


class NewWorkspace(NewResource):
    pass


class NewFolder(NewResource):
    workspace_id: UUID
    parent_folder_id: UUID | None = None


class NewJob(NewResource):
    folder_id: UUID


class NewWorkflow(NewResource):
    job_id: UUID


class NewJobPackage(NewResource):
    folder_id: UUID


class NewConnector(NewResource):
    workspace_id: UUID


class NewVersion(Body):
    data: Definition
    description: Text | None = None
    tag: Tag | None = None


class CheckOutRequest(Body):
    reason: Remark = None
    ttl_seconds: Annotated[StrictInt, Field(ge=1, le=int(MAX_LEASE.total_seconds()))] | None = None


class CheckInRequest(Body):
    data: Definition | None = None
    comment: Remark = None
    tag: Tag | None = None


class RollbackRequest(Body):
    to: Ref
    comment: Remark = None
