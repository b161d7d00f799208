"""Bodies about users."""

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from service.domain import names
from service.domain.callers import UserKind
from service.http.schemas.body import Body, MergePatch
from service.http.schemas.filters import FilterQuery


def _username(text: str) -> str:
    # The name becomes a commit's author, where git would strip or misread other characters.
    composed = unicodedata.normalize("NFC", text)
    # A mark, such as a vowel of Hindi or a tone of Thai, belongs to the letter before it.
    if not re.fullmatch(r"\w(?:[\w.@+ -]*\w)?", _without_marks(composed)):
        raise ValueError(
            "begins and ends with a letter, digit or _, and holds letters, digits, and _.@+- and blanks"
        )
    names.check(composed)
    if names.is_reserved(composed):
        raise ValueError("is reserved: Annals itself has such a name in answers")
    return composed


def _without_marks(text: str) -> str:
    """Remove the marks that follow a letter, a digit or another mark."""
    kept: list[str] = []
    is_marked = False
    for character in text:
        if is_marked and unicodedata.category(character) in ("Mn", "Mc"):
            continue
        is_marked = character.isalnum()
        kept.append(character)
    return "".join(kept)


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("is no e-mail address")
    return text


Username = Annotated[
    str, Field(max_length=100, json_schema_extra={"minLength": 1}), AfterValidator(_username)
]
Email = Annotated[
    str,
    Field(max_length=255, json_schema_extra={"pattern": r"^[^@\s]+@[^@\s]+$"}),
    AfterValidator(_email),
]


RoleName = Literal["viewer", "editor", "auditor", "admin"]


class UserQuery(FilterQuery):
    """Filter of the list of users."""

    kind: UserKind | None = None


class NewUser(Body):
    """A person with an e-mail address, or a service account without one."""

    username: Username
    # Declared before the address, whose rule depends on it.
    kind: UserKind = UserKind.HUMAN
    email: Annotated[Email | None, Field(validate_default=True)] = None
    role: RoleName

    @field_validator("email")
    @classmethod
    def _fits_kind(cls, email: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if kind is UserKind.HUMAN and email is None:
            raise ValueError("a person has an e-mail address; a service account has the kind `service`")
        if kind is UserKind.SERVICE and email is not None:
            raise ValueError("a service account has no e-mail address")
        return email


class UserUpdate(MergePatch):
    """Merge patch (RFC 7386) of a user: missing fields stay the same, null erases the address."""

    email: Email | None = None
    role: RoleName = Field(default="viewer")
