"""Whether the parts that requests need are there."""

import os
from dataclasses import dataclass
from importlib import metadata

from service.context import Context
from sql.database import PLATFORM
from sql.errors import DatabaseError
from sql.queries import schema


@dataclass(frozen=True, slots=True)
class Check:
    """One part: whether it is as it has to be, and what was seen."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """All parts; `warnings` are worth knowing but stop nothing."""

    ready: bool
    checks: dict[str, Check]
    warnings: list[str]


def version() -> str:
    """The installed version."""
    return metadata.version("annals")


def readiness(context: Context) -> Readiness:
    """Ask each part."""
    checks, warnings = _database(context)
    checks["repositories"] = _repositories(context)
    checks["committer"] = _committer(context)
    return Readiness(all(check.ok for check in checks.values()), checks, warnings)


def _database(context: Context) -> tuple[dict[str, Check], list[str]]:
    try:
        with context.database.transaction(PLATFORM) as tx:
            state = schema.state(tx)
    except DatabaseError as error:
        return {"database": Check(ok=False, detail=f"does not answer: {error}")}, []
    checks = {
        "database": Check(ok=True, detail=f"PostgreSQL {state.server_version} as {state.role}"),
        "schema": Check(ok=state.revision is not None, detail=f"revision {state.revision}"),
    }
    if state.timescaledb is not None:
        checks["timescaledb"] = Check(ok=True, detail=f"TimescaleDB {state.timescaledb}")
        return checks, []
    required = context.settings.timescaledb_is_required
    checks["timescaledb"] = Check(ok=not required, detail="not present")
    return checks, ["no TimescaleDB: logs are plain tables, and retention deletes in batches"]


def _repositories(context: Context) -> Check:
    root = context.settings.git_dir
    writable = root.is_dir() and os.access(root, os.W_OK | os.X_OK)
    return Check(ok=writable, detail=f"{root} is {'writable' if writable else 'not writable'}")


def _committer(context: Context) -> Check:
    alive = context.committer.is_alive()
    return Check(ok=alive, detail="taking changes" if alive else "not running")
