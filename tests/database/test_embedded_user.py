"""The user of the embedded PostgreSQL: for root by a namespace or a system user, else the caller."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sql.embedded.server import EmbeddedError, EmbeddedPostgres
from tests.support.project import ROOT

pytestmark = pytest.mark.embedded

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
START_AND_STOP = """
import sys
from pathlib import Path
import psycopg
from sql.embedded.server import EmbeddedError, EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), print)
try:
    server.start()
    with psycopg.connect(server.url) as connection:
        print(connection.execute("SHOW data_directory").fetchone()[0], Path(server.url.split("%2F")[1]).name)
except EmbeddedError as error:
    sys.exit(f"refused: {error}")
finally:
    server.stop()
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can pass, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="annals-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def server_in(data_dir: Path, *, user_namespaces: bool = True) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, print, user_namespaces=user_namespaces)


def owner_of_process(server: EmbeddedPostgres) -> int:
    return Path(f"/proc/{server.status().pid}").stat().st_uid


def socket_folder(server: EmbeddedPostgres) -> Path:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SHOW unix_socket_directories").fetchone()
    assert row is not None
    return Path(row[0])


def start_as_nobody(data_dir: Path) -> subprocess.CompletedProcess[str]:
    nobody = pwd.getpwnam("nobody")
    packages = f"{ROOT}:{sysconfig.get_path('purelib')}"
    for python in (sys.executable, "/usr/bin/python3"):
        command = [python, "-c", "import sql.embedded.server"]
        environment = {"PATH": os.defpath, "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            subprocess.run(
                command, user=nobody.pw_uid, env=environment, cwd="/", capture_output=True, check=True
            )
        except (subprocess.CalledProcessError, OSError):
            continue
        return subprocess.run(
            [python, "-c", START_AND_STOP, str(data_dir)],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    pytest.skip("the user nobody can run no Python that has the packages")


@as_root
def test_root_needs_no_open_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = server_in(closed / "data")
    before = [folder.stat().st_mode for folder in closed.parents]
    server.start()
    assert owner_of_process(server) == 0
    server.stop()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert (closed / "data").stat().st_mode & 0o777 == 0o700
    assert [folder.stat().st_mode for folder in closed.parents] == before


@as_root
def test_root_without_user_namespaces_uses_a_system_user(open_folder: Path) -> None:
    server = server_in(open_folder / "data", user_namespaces=False)
    server.start()
    owner = owner_of_process(server)
    assert pwd.getpwuid(owner).pw_name in ("postgres", "nobody")
    assert (open_folder / "data" / "postgres").stat().st_uid == owner
    assert socket_folder(server).stat().st_uid == owner
    assert socket_folder(server).stat().st_mode & 0o777 == 0o700
    server.stop()
    assert (open_folder / "data").stat().st_uid == 0


@as_root
def test_a_system_user_may_pass_the_data_directory_and_nothing_else(open_folder: Path) -> None:
    data_dir = open_folder / "data"
    data_dir.mkdir(mode=0o700)
    server = server_in(data_dir, user_namespaces=False)
    server.start()
    found = data_dir.stat()
    assert (found.st_uid, found.st_gid) == (0, (data_dir / "postgres").stat().st_gid)
    assert found.st_mode & 0o777 == 0o710
    assert (data_dir / "postgres").stat().st_mode & 0o777 == 0o700
    assert (data_dir / "postgres.log").stat().st_mode & 0o777 == 0o600
    server.stop()


@as_root
def test_root_without_the_program_unshare_uses_a_system_user(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(open_folder))
    server = server_in(open_folder / "data")
    server.start()
    assert owner_of_process(server) != 0
    server.stop()


@as_root
def test_a_cluster_keeps_its_owner_where_it_can(open_folder: Path) -> None:
    for user_namespaces in (True, False, True):
        server = server_in(open_folder / "data", user_namespaces=user_namespaces)
        (open_folder / "data").mkdir(exist_ok=True)
        server.start()
        assert (owner_of_process(server) == 0) == (user_namespaces and owner_is_root(open_folder))
        server.stop()


def owner_is_root(folder: Path) -> bool:
    return (folder / "data" / "postgres").stat().st_uid == 0


@as_root
def test_the_folder_in_the_way_of_a_system_user_is_named_and_left_closed(tmp_path: Path) -> None:
    closed = tmp_path.parent
    server = server_in(tmp_path / "data", user_namespaces=False)
    with pytest.raises(
        EmbeddedError, match=r"may not pass the folder .*chmod o\+x .*--data-dir.*DATABASE_URL"
    ) as it:
        server.start()
    way = [folder for folder in reversed(tmp_path.parents) if not folder.stat().st_mode & 0o001]
    assert f"folder {way[0]}. " in str(it.value)
    assert closed.stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "data" / "postgres").exists()


@as_root
def test_anybody_else_runs_it_as_themselves(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    shutil.chown(home, "nobody")
    for _ in ("made", "found"):
        child = start_as_nobody(home / "data")
        assert child.returncode == 0, child.stderr
        assert f"{home}/data/postgres" in child.stdout
    assert (home / "data" / "postgres").stat().st_uid == pwd.getpwnam("nobody").pw_uid


@as_root
def test_a_cluster_of_another_user_is_refused(open_folder: Path) -> None:
    server = server_in(open_folder)
    server.start()
    server.stop()
    child = start_as_nobody(open_folder)
    assert "refused: " in child.stderr
    assert f"{open_folder}/postgres belongs to another user (uid 0)" in child.stderr


@as_root
def test_a_data_directory_that_may_not_be_written_is_named(open_folder: Path) -> None:
    child = start_as_nobody(open_folder / "data")
    assert "refused: " in child.stderr
    assert f"Permission denied: '{open_folder}/data'" in child.stderr


def test_the_socket_lies_in_the_folder_of_the_login_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Path(tempfile.mkdtemp(prefix="annals-test-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    server = server_in(tmp_path)
    server.start()
    assert socket_folder(server).parent == runtime
    server.stop()
    runtime.rmdir()


def test_the_path_of_the_socket_is_short_whatever_the_folders_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    server = server_in(deep / "data")
    server.start()
    assert len(str(socket_folder(server) / ".s.PGSQL.5432")) < 107
    server.stop()


@pytest.mark.parametrize("trap", ["open folder", "link", "file"])
def test_a_socket_folder_that_was_laid_out_for_us_is_refused(trap: str, tmp_path: Path) -> None:
    server = server_in(tmp_path)
    server.start()
    folder = socket_folder(server)
    server.stop()
    try:
        if trap == "open folder":
            folder.mkdir(mode=0o755)
        elif trap == "link":
            (tmp_path / "private").mkdir(mode=0o700)
            folder.symlink_to(tmp_path / "private")
        else:
            folder.touch(mode=0o700)
        with pytest.raises(EmbeddedError, match=rf"{folder} should be a folder with mode 0700"):
            server.start()
    finally:
        if trap == "open folder":
            folder.rmdir()
        else:
            folder.unlink()
