"""The author of a commit, and the branches that have commits."""

from dataclasses import dataclass
from typing import Literal

Branch = Literal["main", "published"]


@dataclass(frozen=True)
class Identity:
    """The author of a change; git has no e-mail, so that a person can be erased without rewriting history."""

    user_id: str
    username: str
