"""Prepare the folders, the database and its schema, before anything is served."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.runtime.settings import Settings
from sql.database import PLATFORM, Database
from sql.embedded.server import EmbeddedPostgres, running_url
from sql.errors import DatabaseUnavailable
from sql.queries import schema
from sql.upgrade import upgrade

# The first version with protocol 2 by default, --filter and geometric repack.
OLDEST_GIT = (2, 34)


class StartupError(Exception):
    """Annals can't start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class PreparedDatabase:
    """A database whose schema is up to date: the one of DATABASE_URL, or the one that Annals runs itself."""

    first_url: str
    embedded: EmbeddedPostgres | None

    @property
    def url(self) -> str:
        """Present URL of the database; it changes when the embedded server has to move its socket."""
        return self.first_url if self.embedded is None else self.embedded.url


@contextmanager
def prepared_database(settings: Settings, progress: Callable[[str], None]) -> Iterator[PreparedDatabase]:
    """Make the folders, start or find the database, migrate it; an embedded server is stopped at the end.

    Raises StartupError, SettingsError, and the errors of `sql.embedded.server` and `sql.errors`.
    """
    git_version()
    make_folders(settings)
    if settings.archive_url is not None:
        from service.archive import store

        store.opened(settings)
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        _migrate(settings, url, progress)
        yield PreparedDatabase(url, None)
        return
    embedded = EmbeddedPostgres(settings.data_dir.absolute(), progress)
    try:
        embedded.start()
        _migrate(settings, embedded.url, progress)
        yield PreparedDatabase(embedded.url, embedded)
    finally:
        embedded.stop()


@contextmanager
def operated_database(settings: Settings, progress: Callable[[str], None]) -> Iterator[PreparedDatabase]:
    """Prepare the database as `prepared_database` does, or migrate and use that of a running `annals serve`.

    Raises the errors of `prepared_database`.
    """
    running = None if settings.database_url is not None else running_url(settings.data_dir.absolute())
    if running is None:
        with prepared_database(settings, progress) as database:
            yield database
        return
    git_version()
    _migrate(settings, running, progress)
    yield PreparedDatabase(running, None)


def make_folders(settings: Settings) -> None:
    """Make the data directory, which only its owner can open, and the folder of the repositories."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.git_dir.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartupError(
            f"the data directory {settings.data_dir.absolute()} can't be made: {error.strerror}. "
            "Choose another with --data-dir or ANNALS_DATA_DIR."
        ) from None


def git_version() -> str:
    """Version of the git on PATH; raises StartupError if git is missing or too old."""
    if shutil.which("git") is None:
        raise StartupError("git is not installed; on Debian: apt-get install git")
    text = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.split()[2]
    if tuple(int(part) for part in text.split(".")[:2]) < OLDEST_GIT:
        raise StartupError(f"git {text} is too old: {'.'.join(map(str, OLDEST_GIT))} or newer is needed")
    return text


def _migrate(settings: Settings, url: str, progress: Callable[[str], None]) -> None:
    try:
        upgrade(url, progress)
    except DatabaseUnavailable as error:
        raise StartupError(
            f"the database can't be reached: {error}. Is DATABASE_URL right, and the server running? "
            "Without DATABASE_URL, Annals starts a PostgreSQL of its own."
        ) from None
    except ValueError as error:
        raise StartupError(f"DATABASE_URL: {error}") from None
    if settings.timescaledb_is_required:
        _check_timescaledb(url)


def _check_timescaledb(url: str) -> None:
    database = Database(url, pool_size=1)
    try:
        with database.transaction(PLATFORM) as tx:
            present = schema.state(tx).timescaledb is not None
    finally:
        database.close()
    if not present:
        raise StartupError(
            "the database of DATABASE_URL has no TimescaleDB. Install it there, or accept plain tables with "
            "ANNALS_REQUIRE_TIMESCALEDB=false. `script/timescaledb start` gives a real one on this machine."
        )
