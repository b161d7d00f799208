"""The first tenant of a server that somebody tries out: so that there is something to call and to clone."""

import os
from dataclasses import dataclass
from pathlib import Path

from service.client import Client

FILE = "first-key"


@dataclass(frozen=True, slots=True)
class FirstKey:
    """A user's key, how to write it in a command, and where its repository is."""

    key: str
    shown: str
    subscription_id: str


def existing(data_dir: Path) -> FirstKey | None:
    """The key that an earlier start kept, shown by the file that it lies in."""
    path = data_dir.absolute() / FILE
    if not path.exists():
        return None
    subscription_id, key = path.read_text().split()
    return FirstKey(key, f'$(cut -d" " -f2 {path})', subscription_id)


def create(data_dir: Path, url: str, operator_key: str) -> FirstKey | None:
    """Make a subscription, its admin and a workspace where there is none; None where there is one already."""
    operator = Client(url, operator_key)
    try:
        if operator.get("/v1/subscriptions?limit=1")["items"]:
            return None
        subscription = operator.post("/v1/subscriptions", {"name": "First steps"})["subscription_id"]
        base = f"/v1/subscriptions/{subscription}"
        user = operator.post(
            f"{base}/users", {"username": "admin", "email": "admin@localhost", "role": "admin"}
        )
        key = operator.post(f"{base}/api-keys", {"user_id": user["user_id"], "name": "first steps"})[
            "api_key"
        ]
    finally:
        operator.close()
    admin = Client(url, key)
    try:
        admin.post(f"{base}/workspaces", {"name": "First steps", "description": "Made by the first start."})
    finally:
        admin.close()
    path = data_dir.absolute() / FILE
    # Written last and whole: a start that was cut short leaves no file that promises too much.
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{subscription} {key}\n")
    partial.rename(path)
    return FirstKey(key, key, subscription)
