"""The scripts where they can be tried cheaply; script/test itself tries the rest whenever it runs."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.project import ROOT


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / command[0]), *command[1:]],
        env=os.environ | environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_server_there_is_no_url(tmp_path: Path) -> None:
    asked = run("script/timescaledb", "url", XDG_CACHE_HOME=str(tmp_path))
    assert asked.returncode == 1
    assert asked.stdout == ""
    assert asked.stderr == "timescaledb: not running: script/timescaledb start\n"


def test_the_status_of_no_server_is_an_answer_and_changes_nothing(tmp_path: Path) -> None:
    asked = run("script/timescaledb", "status", XDG_CACHE_HOME=str(tmp_path))
    assert asked.returncode == 3
    assert asked.stdout == "running: no\n"
    assert list(tmp_path.iterdir()) == []


def test_to_stop_no_server_is_no_failure(tmp_path: Path) -> None:
    asked = run("script/timescaledb", "stop", XDG_CACHE_HOME=str(tmp_path))
    assert asked.returncode == 0
    assert asked.stderr == "timescaledb: not running\n"


def test_the_url_of_a_running_server_is_printed_alone() -> None:
    if run("script/timescaledb", "status").returncode != 0:
        pytest.skip("no TimescaleDB of script/timescaledb runs")
    asked = run("script/timescaledb", "url")
    assert asked.returncode == 0
    assert re.fullmatch(r"postgresql://postgres:[0-9a-f]{48}@127\.0\.0\.1:[0-9]+/annals\n", asked.stdout)


def test_starting_a_running_server_again_does_nothing() -> None:
    before = run("script/timescaledb", "status")
    if before.returncode != 0:
        pytest.skip("no TimescaleDB of script/timescaledb runs")
    again = run("script/timescaledb", "start")
    assert again.returncode == 0
    assert "already running" in again.stderr
    assert run("script/timescaledb", "status").stdout == before.stdout


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("installed", "no PostgreSQL with the timescaledb extension is installed"),
        ("docker", "docker is not installed"),
        ("debian-tree", "needs root|apt-get|may not mount"),
        ("magic", "unknown method 'magic': it is one of installed docker debian-tree"),
    ],
)
def test_a_method_that_cannot_work_here_says_why(method: str, reason: str, tmp_path: Path) -> None:
    # A PATH with bash's own needs alone: no docker, no pg_config, no apt-get, no unshare.
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "install", "flock", "sort", "cat"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    asked = run(
        "script/timescaledb",
        "start",
        PATH=str(programs),
        XDG_CACHE_HOME=str(tmp_path),
        ANNALS_TIMESCALEDB_METHOD=method,
    )
    if method == "installed" and asked.returncode == 0:
        run("script/timescaledb", "stop", XDG_CACHE_HOME=str(tmp_path))
        pytest.skip("this machine has one")
    assert asked.returncode == 1
    assert re.search(reason, asked.stderr)
    assert len(asked.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["restart"]])
def test_a_command_that_is_unknown_shows_the_usage(arguments: list[str]) -> None:
    asked = run("script/timescaledb", *arguments)
    assert asked.returncode == 2
    assert "ANNALS_TIMESCALEDB_METHOD=installed|docker|debian-tree" in asked.stderr


def test_bootstrap_is_quick_and_quiet_when_there_is_nothing_to_do() -> None:
    if run("script/bootstrap", "--check", "dev").returncode != 0:
        pytest.skip(
            "it would install: the environment is not script/bootstrap's, or pyproject.toml has changed"
        )
    began = time.monotonic()
    for wanted in ([], ["dev"]):
        again = run("script/bootstrap", *wanted)
        assert again.returncode == 0
        assert again.stdout + again.stderr == ""
    # An installation takes a minute or so.
    assert time.monotonic() - began < 20


def test_bootstrap_sees_a_changed_project_and_a_moved_folder(tmp_path: Path) -> None:
    if run("script/bootstrap", "--check").returncode != 0:
        pytest.skip("the environment is not script/bootstrap's, or pyproject.toml has changed")
    for name in ("script", "pyproject.toml", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    moved = subprocess.run([str(tmp_path / "script" / "bootstrap"), "--check"], cwd="/", check=False)
    assert moved.returncode == 1


@pytest.mark.parametrize("script", sorted((ROOT / "script").glob("[a-z]*[!.]")), ids=lambda path: path.name)
def test_every_script_may_be_run(script: Path) -> None:
    assert script.is_dir() or os.access(script, os.X_OK)
