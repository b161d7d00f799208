"""Checks of `annals doctor`: everything that Annals needs on this machine."""

import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

import pygit2

from service.cli.console import ignored_variables
from service.processes.startup import StartupError, git_version
from service.runtime.settings import Settings
from service.usecases import disks
from service.usecases.disks import Disk
from sql.database import PLATFORM, Database
from sql.embedded.server import EmbeddedError, EmbeddedPostgres, running_url
from sql.errors import DatabaseError
from sql.queries import schema
from sql.upgrade import current_revision, newest_revision, refusal

# Older versions have known vulnerabilities.
OLDEST_LIBGIT2 = (1, 9, 7)
# Locks of a page of a log whose query touches every chunk of ten years of permanent logs, and their indexes.
FEWEST_LOCKS = 64


@dataclass(frozen=True)
class Diagnosis:
    """Result of one check."""

    verdict: Literal["ok", "warn", "fail"]
    subject: str
    detail: str


def examine(settings: Settings) -> list[Diagnosis]:
    """Run every check; nothing is changed or started."""
    return [
        Diagnosis("ok", "python", f"{platform.python_version()} at {sys.executable}"),
        _git(),
        _libgit2(),
        *_environment(),
        *_data_dir(settings),
        *_disks(settings),
        *_database(settings),
    ]


def _git() -> Diagnosis:
    try:
        return Diagnosis("ok", "git", git_version())
    except StartupError as error:
        return Diagnosis("fail", "git", str(error))


def _libgit2() -> Diagnosis:
    version = pygit2.LIBGIT2_VERSION
    if tuple(int(part) for part in version.split(".")) < OLDEST_LIBGIT2:
        wanted = ".".join(map(str, OLDEST_LIBGIT2))
        return Diagnosis(
            "fail", "libgit2", f"{version} has known holes: install a pygit2 with {wanted} or newer"
        )
    return Diagnosis("ok", "libgit2", f"{version} (pygit2 {metadata.version('pygit2')})")


def _environment() -> list[Diagnosis]:
    return [Diagnosis("warn", "environment", warning) for warning in ignored_variables()]


def _data_dir(settings: Settings) -> list[Diagnosis]:
    path = settings.data_dir.absolute()
    if not path.exists():
        parent = next(folder for folder in path.parents if folder.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            return [Diagnosis("fail", "data directory", f"{path} can't be made: {parent} is not writable")]
        return [Diagnosis("ok", "data directory", f"{path} will be made by the first start")]
    if not path.is_dir():
        return [Diagnosis("fail", "data directory", f"{path} is no folder")]
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return [Diagnosis("fail", "data directory", f"{path} is not writable for this user")]
    found = [Diagnosis("ok", "data directory", str(path))]
    if path.stat().st_mode & 0o077:
        found.append(Diagnosis("warn", "data directory", f"{path} is open to other users: chmod 700 it"))
    return found


def _disks(settings: Settings) -> list[Diagnosis]:
    """Look at the disk of each folder that is there; a test write leaves nothing behind."""
    known = {"data": settings.data_dir.absolute(), **disks.folders(settings, None)}
    if settings.database_url is None:
        known["postgres"] = settings.data_dir.absolute() / "postgres"
    found = disks.examine({name: folder for name, folder in known.items() if folder.is_dir()})
    return [Diagnosis(_verdict(disk, settings), f"disk of {disk.name}", str(disk)) for disk in found]


def _verdict(disk: Disk, settings: Settings) -> Literal["ok", "warn", "fail"]:
    if disk.is_full or disk.fault is not None:
        return "fail"
    return "warn" if disk.is_short(settings) else "ok"


def _database(settings: Settings) -> list[Diagnosis]:
    if settings.database_url is not None:
        return _schema(settings, settings.database_url.get_secret_value())
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        return []
    embedded = EmbeddedPostgres(settings.data_dir.absolute(), lambda _: None)
    try:
        status = embedded.status()
    except EmbeddedError as error:
        return [Diagnosis("fail", "database", str(error))]
    if (url := running_url(settings.data_dir.absolute())) is not None:
        running = Diagnosis("ok", "database", f"the embedded PostgreSQL is running (pid {status.pid})")
        return [running, *_schema(settings, url)]
    return [
        Diagnosis(
            "ok",
            "database",
            "the embedded PostgreSQL is not running; `annals serve` starts it and its schema",
        ),
        Diagnosis("ok", "schema", "its revision can't be seen while the embedded PostgreSQL is stopped"),
        Diagnosis(
            "warn",
            "timescaledb",
            "the embedded PostgreSQL has none: logs are plain tables, and retention deletes in batches",
        ),
    ]


def _schema(settings: Settings, url: str) -> list[Diagnosis]:
    try:
        database = Database(url, pool_size=1)
    except ValueError as error:
        return [Diagnosis("fail", "database", f"DATABASE_URL: {error}")]
    try:
        if current_revision(url) is None:
            missing = "the schema is not made yet: `annals db upgrade` makes it, as does the first start"
            return [Diagnosis("warn", "schema", missing)]
        with database.transaction(PLATFORM) as tx:
            state = schema.state(tx)
    except DatabaseError as error:
        return [Diagnosis("fail", "database", f"does not answer as Annals needs it: {error}")]
    finally:
        database.close()
    return [
        Diagnosis("ok", "database", f"PostgreSQL {state.server_version}"),
        _revision(state),
        Diagnosis(
            "ok" if state.may_delete_rows else "warn",
            "roles",
            "this login may take the role of retention"
            if state.may_delete_rows
            else "jobs can't let rows of logs go: GRANT annals_retention to this login",
        ),
        _timescaledb(settings, state),
        Diagnosis(
            "ok" if state.durable else "fail",
            "durability",
            "fsync and synchronous_commit are on"
            if state.durable
            else "fsync or synchronous_commit is off: an acknowledged version could be lost",
        ),
        Diagnosis(
            "ok" if state.max_locks_per_transaction >= FEWEST_LOCKS else "warn",
            "locks",
            f"max_locks_per_transaction = {state.max_locks_per_transaction}",
        ),
    ]


def _revision(state: schema.DatabaseState) -> Diagnosis:
    if state.revision == newest_revision():
        return Diagnosis("ok", "schema", f"revision {state.revision}")
    if (reason := refusal(state.revision)) is not None:
        return Diagnosis("fail", "schema", reason)
    return Diagnosis("warn", "schema", f"revision {state.revision}: `annals db upgrade` brings it up to date")


def _timescaledb(settings: Settings, state: schema.DatabaseState) -> Diagnosis:
    if state.timescaledb is not None:
        return Diagnosis("ok", "timescaledb", state.timescaledb)
    return Diagnosis(
        "fail" if settings.timescaledb_is_required else "warn", "timescaledb", "not in this database"
    )
