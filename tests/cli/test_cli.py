"""The `annals` command, as it is typed."""

import json
import os
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from sql.upgrade import newest_revision
from tests.support.running_server import ANNALS, OPERATOR_KEY, running

pytestmark = pytest.mark.embedded


def annals(
    *arguments: str | Path, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment without settings of its own; returns its output."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNALS_") and k != "DATABASE_URL"}
    return subprocess.run(
        [ANNALS, *arguments],
        cwd=folder,
        env=clean | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_version_is_that_of_the_package() -> None:
    for asked in ("version", "--version"):
        assert annals(asked).stdout == f"annals {metadata.version('annals')}\n"


def test_config_show_names_the_origin_of_each_value_and_masks_secrets(tmp_path: Path) -> None:
    (tmp_path / "annals.toml").write_text("workers = 3\nport = 9000\n")
    shown = annals(
        "config",
        "show",
        "--json",
        "--data-dir",
        tmp_path / "elsewhere",
        folder=tmp_path,
        ANNALS_PORT="9001",
        ANNALS_OPERATOR_KEY=OPERATOR_KEY,
        DATABASE_URL="postgresql://ana:hunter2@127.0.0.1/annals",
    )
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert (found["workers"]["value"], found["workers"]["origin"]) == (3, "file")
    assert (found["port"]["value"], found["port"]["origin"]) == (9001, "environment")
    assert found["data_dir"]["origin"] == "flag"
    assert found["host"]["origin"] == "default"
    assert found["operator_key"]["origin"] == "environment"
    assert OPERATOR_KEY not in shown.stdout
    assert "hunter2" not in shown.stdout


def test_a_variable_that_is_no_setting_is_told_with_the_one_that_may_be_meant(tmp_path: Path) -> None:
    told = "annals: ANNALS_PORTT is no setting and is ignored: is ANNALS_PORT meant?\n"
    shown = annals("config", "show", "--json", folder=tmp_path, ANNALS_PORTT="1")
    assert (shown.returncode, shown.stderr) == (0, told)
    assert json.loads(shown.stdout)["port"]["value"] == 8000
    looked = annals("doctor", "--json", folder=tmp_path, ANNALS_PORTT="1")
    [finding] = [each for each in json.loads(looked.stdout) if each["subject"] == "environment"]
    assert finding["verdict"] == "warn"
    assert "is ANNALS_PORT meant?" in finding["detail"]


def test_config_show_prints_a_table(tmp_path: Path) -> None:
    shown = annals("config", "show", folder=tmp_path)
    assert re.search(r"port\s+8000\s+default\s+ANNALS_PORT", shown.stdout)


def test_doctor_finds_nothing_wrong_on_a_machine_that_serves(tmp_path: Path) -> None:
    looked = annals("doctor", "--json", "--data-dir", tmp_path / "data")
    assert looked.returncode == 0, looked.stdout
    findings = {finding["subject"]: finding for finding in json.loads(looked.stdout)}
    assert findings["git"]["verdict"] == "ok"
    assert findings["libgit2"]["verdict"] == "ok"
    assert findings["timescaledb"]["verdict"] == "warn"
    assert "can't be seen while the embedded PostgreSQL is stopped" in findings["schema"]["detail"]
    assert findings["disk of temporary"]["verdict"] in ("ok", "warn")


def test_doctor_fails_where_the_database_does_not_answer(tmp_path: Path) -> None:
    url = "postgresql://127.0.0.1:1/annals"
    looked = annals("doctor", "--data-dir", tmp_path / "data", DATABASE_URL=url)
    assert looked.returncode == 1
    assert re.search(r"fail\s+database", looked.stdout)


def test_db_upgrade_makes_the_schema_and_leaves_no_server(tmp_path: Path) -> None:
    done = annals("db", "upgrade", "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert f"The schema is at revision {newest_revision()}." in done.stdout
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()
    again = annals("db", "upgrade", "--data-dir", tmp_path / "data")
    assert "Creating the schema" not in again.stderr


def test_the_demo_tells_a_story_whose_commands_work(tmp_path: Path) -> None:
    with running(tmp_path / "data", ANNALS_OPERATOR_KEY=OPERATOR_KEY) as server:
        told = annals("demo", "--url", server.url, ANNALS_OPERATOR_KEY=OPERATOR_KEY)
        assert told.returncode == 0, told.stderr
        assert "rolls back to v1.0: that is version 5" in told.stdout
        assert "publishes version 3" in told.stdout
        assert '+        "id": "deduplicate-audit-copy",' in told.stdout
        assert "rollback of the workspace would do: 3 resources change" in told.stdout
        assert "She does it: 3 new versions in one commit" in told.stdout
        assert "ana restores Survey" in told.stdout
        assert "worse since version 2, roll back to version 1." in told.stdout
        for role in ("admin", "editor", "viewer", "auditor"):
            assert re.search(rf"^  \w+ +{role} +annals_\w+", told.stdout, flags=re.MULTILINE), role
        commands = [
            line.strip()
            for line in told.stdout.splitlines()
            if re.match(r"  (git|curl|ANNALS_URL=\S+) ", line)
        ]
        assert len(commands) == 7
        seen = [
            subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
            for command in commands
        ]
        assert seen[2].stdout.count("\ncommit ") + 1 == 8
        assert "1 file changed" not in seen[3].stdout
        assert "files changed" in seen[3].stdout
        assert [line.split()[0] for line in seen[4].stdout.splitlines()] == ["version", *"87654321"]
        version = json.loads(seen[5].stdout)
        assert (version["version_number"], version["created_by_username"]) == (5, "ana")
        assert "validate" in {node["id"] for node in version["data"]["nodes"]}
        assert json.loads(seen[6].stdout)["items"][0]["action"] in ("CLONE", "ROLLBACK")


def test_the_demo_says_what_it_lacks(tmp_path: Path) -> None:
    without_key = annals("demo", folder=tmp_path)
    assert without_key.returncode == 1
    assert "ANNALS_OPERATOR_KEY" in without_key.stderr
    nobody_there = annals("demo", "--url", "http://127.0.0.1:1", ANNALS_OPERATOR_KEY=OPERATOR_KEY)
    assert nobody_there.returncode == 1
    assert "does not answer" in nobody_there.stderr
