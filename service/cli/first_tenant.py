"""The first subscription of a new server, so that there is something to call and to clone."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from service.cli.client import Client
from service.domain.ids import SubscriptionId

FILE = "first-key"


@dataclass(frozen=True, slots=True)
class FirstKey:
    """Key of the first user; `shown` is the way to write it in a shell command."""

    key: str
    shown: str
    subscription_id: str


def existing(data_dir: Path) -> FirstKey | None:
    """Key that an earlier start stored; `shown` reads it from its file."""
    path = data_dir.absolute() / FILE
    try:
        subscription_id, key = path.read_text().split()
    except (OSError, ValueError):
        # The file is absent, or was truncated by a loss of power.
        return None
    return FirstKey(key, f'$(cut -d" " -f2 {shlex.quote(str(path))})', subscription_id)


def create(data_dir: Path, url: str, operator_key: str) -> FirstKey | None:
    """Create a subscription, its admin and a workspace; None where a subscription exists."""
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
    # Written last and whole: an interrupted start leaves no file with a key that does not work.
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{subscription} {key}\n")
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    return FirstKey(key, key, subscription)


def offer_link(database_url: str, first: FirstKey) -> str | None:
    """Make a link that signs in once as the first user; its path on the server, None without the database.

    The link's token stands in the fragment, which a browser sends to nobody.
    """
    from service.runtime.clock import system_clock
    from service.usecases import web_sessions
    from sql.database import Database
    from sql.errors import DatabaseError

    database = Database(database_url, pool_size=1)
    try:
        token = web_sessions.offer_link(
            database, system_clock, SubscriptionId(UUID(first.subscription_id)), first.key
        )
    except DatabaseError:
        # The server runs; the reader signs in with the key.
        return None
    finally:
        database.close()
    return None if token is None else f"/sign-in/link#{token}"
