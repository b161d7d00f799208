"""What tests share: databases on a real TimescaleDB, a real server on one of them, a tenant of it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.http.app import create_app
from service.processes.startup import make_folders
from service.runtime import log_setup
from service.runtime.settings import load
from service.usecases.tenancy import ensure_operator_key
from sql.database import Database as ServiceDatabase
from sql.embedded.server import EmbeddedPostgres
from sql.upgrade import upgrade
from tests.support.api import OPERATOR_KEY, Clock, Server, Tenant, served
from tests.support.databases import Cluster, Database, cluster_url

SHARED_MEMORY = Path("/dev/shm")
# Some ten times what a run has there at once, and more than a container's usual 64 MiB.
ROOM_BYTES = 4 * 1024**3


def pytest_configure() -> None:
    """Let tests have their folders in memory, where fsync is free, if it has room and lets programs run."""
    if (
        SHARED_MEMORY.is_dir()
        and not os.statvfs(SHARED_MEMORY).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(SHARED_MEMORY).free > ROOM_BYTES
    ):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(SHARED_MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long ones begin first: at the end, one process would be alone with them."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The TimescaleDB server of the tests."""
    cluster = Cluster(cluster_url(), os.environ.get("PYTEST_XDIST_WORKER", "main"))
    yield cluster
    cluster.close()


@pytest.fixture
def database(server: Server) -> Database:
    """The server's database."""
    return server.database


@contextmanager
def serving(cluster: Cluster, folder: Path) -> Iterator[Server]:
    """Annals itself, over HTTP, on a database of its own."""
    database, clock = cluster.migrated(), Clock()
    settings, _ = load({"data_dir": folder}, {})
    make_folders(settings)
    set_operator_key(database, clock, OPERATOR_KEY)
    log_setup.configure("json", "error")
    with served(create_app(settings, database_url=database.url, clock=clock), database, clock) as server:
        yield server


@pytest.fixture(scope="session")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Annals for all tests; what they do in it is kept apart by their tenants."""
    with serving(cluster, tmp_path_factory.mktemp("annals")) as server:
        yield server


@pytest.fixture(scope="module")
def lone_server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Annals for the tests of one file, which may move its time by years."""
    with serving(cluster, tmp_path_factory.mktemp("annals")) as server:
        yield server


@pytest.fixture
def lone(lone_server: Server) -> Tenant:
    """A subscription of a server whose time may be moved."""
    return Tenant(lone_server)


@contextmanager
def serving_embedded(folder: Path) -> Iterator[tuple[Server, EmbeddedPostgres]]:
    """Annals on an embedded PostgreSQL of its own, which has no TimescaleDB."""
    postgres = EmbeddedPostgres(folder, lambda _: None)
    postgres.start()
    try:
        upgrade(postgres.url, lambda _: None)
        database, clock = Database(postgres.url), Clock()
        set_operator_key(database, clock, OPERATOR_KEY)
        settings, _ = load({"data_dir": folder, "require_timescaledb": False}, {})
        make_folders(settings)
        app = create_app(settings, database_url=postgres.url, clock=clock)
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


@pytest.fixture
def tenant(server: Server) -> Tenant:
    """A new subscription."""
    return Tenant(server)


@pytest.fixture(scope="module")
def shared(server: Server) -> Tenant:
    """A subscription for the tests of one file that don't mind each other."""
    return Tenant(server, "shared")


@pytest.fixture
def stranger(server: Server) -> Tenant:
    """Another subscription."""
    return Tenant(server, "stranger")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for clones."""
    return tmp_path
