"""Who signs a commit, and the branches that commits go to."""

from dataclasses import dataclass
from typing import Literal

Branch = Literal["main", "published"]


@dataclass(frozen=True)
class Identity:
    """Who made a change; the e-mail stays out of git, so that a person can be erased without rewriting it."""

    user_id: str
    username: str
