"""Fixtures of the tests: databases on a real TimescaleDB, a real server on one of them, a tenant of it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import sampling
from tests.support.api import Server, Tenant
from tests.support.databases import Cluster, Database, cluster_url
from tests.support.serving import serving

SHARED_MEMORY = Path("/dev/shm")
# Some ten times what a run has there at once, and more than a container's usual 64 MiB.
ROOM_BYTES = 4 * 1024**3


def pytest_configure() -> None:
    """Put the folders of tests into memory, where fsync is free, if it has room and allows programs."""
    if (
        SHARED_MEMORY.is_dir()
        and not os.statvfs(SHARED_MEMORY).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(SHARED_MEMORY).free > ROOM_BYTES
    ):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(SHARED_MEMORY))
    sampling.choose_third()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a run in between leaves out, and begin with the tests that take longest."""
    if not os.environ.get("ANNALS_TEST_ALL"):
        without = sampling.left_out(items, config.args)
        config.hook.pytest_deselected(items=[item for item in items if item in without])
        items[:] = [item for item in items if item not in without]
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
