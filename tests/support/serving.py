"""Annals under uvicorn in the process of the tests, on a database of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.http.app import create_app
from service.http.connections.guard import Guard
from service.processes.startup import make_folders
from service.runtime import log_setup
from service.runtime.settings import load
from service.usecases.api_keys import ensure_operator_key
from service.web.app import add_pages
from sql.database import Database as ServiceDatabase
from sql.embedded.server import EmbeddedPostgres
from sql.upgrade import upgrade
from tests.support.api import OPERATOR_KEY, Clock, Server, served
from tests.support.databases import Cluster, Database


@contextmanager
def serving(
    cluster: Cluster, folder: Path, protocol: type[Guard] | None = None, /, **flags: object
) -> Iterator[Server]:
    """Run Annals over HTTP, on a database of its own, with settings as flags."""
    database, clock = cluster.migrated(), Clock()
    # Most tests log in wrongly from one address.
    settings, _ = load({"data_dir": folder, "failed_logins": "off", **flags}, {})
    make_folders(settings)
    set_operator_key(database, clock, OPERATOR_KEY)
    log_setup.configure("json", "error")
    app = create_app(settings, database_url=database.url, clock=clock)
    add_pages(app)
    with served(app, database, clock, protocol) as server:
        yield server


@contextmanager
def serving_embedded(folder: Path) -> Iterator[tuple[Server, EmbeddedPostgres]]:
    """Run Annals on an embedded PostgreSQL of its own, which has no TimescaleDB."""
    postgres = EmbeddedPostgres(folder, lambda _: None)
    postgres.start()
    try:
        upgrade(postgres.url, lambda _: None)
        database, clock = Database(postgres.url), Clock()
        set_operator_key(database, clock, OPERATOR_KEY)
        settings, _ = load({"data_dir": folder, "require_timescaledb": False}, {})
        make_folders(settings)
        app = create_app(settings, database_url=postgres.url, clock=clock)
        add_pages(app)
        with served(app, database, clock) as server:
            yield server, postgres
    finally:
        postgres.stop()


def set_operator_key(database: Database, clock: Clock, key: str) -> None:
    pool = ServiceDatabase(database.url, pool_size=1)
    try:
        ensure_operator_key(pool, clock, key)
    finally:
        pool.close()
