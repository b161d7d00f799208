"""Bodies about users."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from service.http.schemas.body import Body


def _username(text: str) -> str:
    # The name becomes a commit's author, where git would strip or misread other characters.
    if not re.fullmatch(r"\w(?:[\w.@+ -]*\w)?", text):
        raise ValueError(
            "begins and ends with a letter or digit, and holds letters, digits, and _.@+- and blanks"
        )
    return text


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("is no e-mail address")
    return text


Username = Annotated[str, Field(max_length=100), AfterValidator(_username)]
Email = Annotated[str, Field(max_length=255), AfterValidator(_email)]


RoleName = Literal["viewer", "editor", "auditor", "admin"]


class NewUser(Body):
    username: Username
    email: Email
    role: RoleName


class UserUpdate(Body):
    email: Email = Field(default="")
    role: RoleName = Field(default="viewer")
