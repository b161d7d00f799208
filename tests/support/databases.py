"""Databases for tests: made from one migrated template, dropped at the end or by the next run."""

import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from sql.upgrade import upgrade

VARIABLE = "ANNALS_TEST_DATABASE_URL"
Row = tuple[Any, ...]
ATTEMPTS = 5
DROPPED_AT_ONCE = 8
PREFIX = "annals_testrun"
# The advisory lock of the test run that drops the databases of interrupted runs.
_SWEEPING = 0x616E6E616C73


class Database:
    """One database, seen as a superuser or as the service."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def connection(self, role: str | None = None, scope: object = None) -> Iterator[psycopg.Connection[Row]]:
        """Open a connection that commits each statement, optionally with the rights of a role and scope."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            if role is not None:
                connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            if scope is not None:
                connection.execute("SELECT set_config('annals.scope', %s, false)", [str(scope)])
            yield connection

    def rows(self, query: LiteralString, *values: object) -> list[Row]:
        """Return the rows that a superuser sees."""
        with self.connection() as connection:
            return connection.execute(query, values).fetchall()

    def value(self, query: LiteralString, *values: object) -> Any:
        """Return the single value of a query."""
        [[value]] = self.rows(query, *values)
        return value


class Cluster:
    """A PostgreSQL server on which tests make databases of their own.

    The application_name of its connection is the prefix of these databases, from before the first is made
    until the last is dropped. So a prefix without such a connection belongs to an interrupted run.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._url = make_url(url)
        self._prefix = f"{PREFIX}_{prefix}_{uuid4().hex[:8]}"
        self._made: list[str] = []
        # Of a database that was dropped, no other gets the name.
        self._numbers = itertools.count()
        self._template: str | None = None
        self._migrating = threading.Lock()
        self._connection = psycopg.connect(url, autocommit=True, application_name=self._prefix)
        self._drop_those_of_dead_runs()

    def empty(self) -> Database:
        """Create a database without a schema."""
        return self._create("template0")

    def of_ascii(self) -> Database:
        """Create a database without a schema whose locale knows the letters of ASCII alone."""
        return self._create("template0", "LOCALE_PROVIDER libc LOCALE 'C' ENCODING 'UTF8'")

    def migrated(self) -> Database:
        """Create a database whose schema is up to date; the migrations run once, for the template."""
        # Only one thread may migrate: alembic keeps its state in module variables.
        with self._migrating:
            if self._template is None:
                template = self.empty()
                upgrade(template.url, lambda _: None)
                self._template = self._made[-1]
                self._execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", self._template)
            return self._create(self._template)

    def drop(self, database: Database) -> None:
        """Drop a database, even while it is used."""
        name = make_url(database.url).database or ""
        self._execute("DROP DATABASE {} WITH (FORCE)", name)
        self._made.remove(name)

    def close(self) -> None:
        """Drop every database that was made, many at once: they share the checkpoint that each waits for."""
        self._drop_all(self._made)
        self._connection.close()

    def _drop_those_of_dead_runs(self) -> None:
        """Drop the databases of interrupted runs, unless another run is doing so at the moment."""
        [[is_ours]] = self._connection.execute("SELECT pg_try_advisory_lock(%s)", [_SWEEPING]).fetchall()
        if is_ours:
            try:
                self._drop_all(self._of_dead_runs())
            finally:
                self._connection.execute("SELECT pg_advisory_unlock(%s)", [_SWEEPING])

    def _of_dead_runs(self) -> list[str]:
        names = self._connection.execute("SELECT datname FROM pg_database").fetchall()
        # The connections are read after the names: a run connects before it makes its first database.
        alive = self._connection.execute("SELECT application_name FROM pg_stat_activity").fetchall()
        return [
            name
            for (name,) in names
            if name.startswith(f"{PREFIX}_") and (name.rpartition("_")[0],) not in alive
        ]

    def _drop_all(self, names: Iterable[str]) -> None:
        with ThreadPoolExecutor(DROPPED_AT_ONCE) as threads:
            list(threads.map(self._drop, names))

    def _drop(self, name: str) -> None:
        with psycopg.connect(self._url.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def _create(self, template: str, options: LiteralString = "") -> Database:
        name = f"{self._prefix}_{next(self._numbers)}"
        for attempt in range(ATTEMPTS):
            # TimescaleDB's scheduler connects to every database, and a database in use can't be copied.
            self._connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [template]
            )
            try:
                self._execute("CREATE DATABASE {} TEMPLATE {} " + options, name, template)
            except psycopg.errors.ObjectInUse:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                break
        self._made.append(name)
        # No test kills this server, so a committed row stays even if it is not yet on the disk.
        self._execute("ALTER DATABASE {} SET synchronous_commit = off", name)
        return Database(self._url.set(database=name).render_as_string(hide_password=False))

    def _execute(self, statement: LiteralString, *names: str) -> None:
        self._connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def cluster_url() -> str:
    """Return the URL of the TimescaleDB that tests use; without one, RuntimeError names the remedy."""
    url = os.environ.get(VARIABLE)
    if not url:
        raise RuntimeError(
            f"{VARIABLE} is not set: `script/test` starts what the tests need, or run "
            f"`script/timescaledb start` and `export {VARIABLE}=$(script/timescaledb url)`"
        )
    return url
