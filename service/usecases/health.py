"""Whether the parts that requests need are there."""

import os
from dataclasses import dataclass
from importlib import metadata

import structlog

from service.context import Context
from sql.database import PLATFORM
from sql.errors import DatabaseError
from sql.queries import repositories, schema

log = structlog.get_logger(__name__)


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
        # To whom the reason matters it is in the log: it names hosts and users.
        log.warning("the database does not answer", error=str(error))
        return {"database": Check(ok=False, detail="does not answer")}, []
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
    if not (root.is_dir() and os.access(root, os.W_OK | os.X_OK)):
        return Check(ok=False, detail="the folder is not writable")
    try:
        with context.database.transaction(PLATFORM) as tx:
            newest = repositories.newest(tx)
    except DatabaseError:
        return Check(ok=True, detail="writable; what has to be in it is not known just now")
    if newest is not None and not context.store.exists(str(newest)):
        return Check(
            ok=False, detail="this database's repositories are missing: is it the right data directory?"
        )
    return Check(ok=True, detail="writable")


def _committer(context: Context) -> Check:
    alive = context.committer.is_alive()
    return Check(ok=alive, detail="taking changes" if alive else "not running")
