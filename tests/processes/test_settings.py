"""Settings: which source wins, what is refused, and that secrets stay hidden."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs
from typer.testing import CliRunner

from service.cli.main import app
from service.runtime import log_setup
from service.runtime.settings import (
    Settings,
    SettingsError,
    load,
    secret_variables,
    unknown_variables,
    variable,
)
from tests.support.project import ROOT

KEY = "a-key-of-an-operator-0123456789-abcdef"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.delenv("ANNALS_CONFIG", raising=False)
    return tmp_path


def test_each_source_wins_over_the_next(folder: Path) -> None:
    (folder / "annals.toml").write_text('port = 1\nhost = "file"\nthreads = 3\n')
    environ = {"ANNALS_PORT": "2", "ANNALS_HOST": "environment"}
    settings, origins = load({"port": 4, "host": None}, environ)
    assert (settings.port, settings.host, settings.threads, settings.workers) == (4, "environment", 3, 1)
    names = ("port", "host", "threads", "workers")
    assert [origins[name] for name in names] == ["flag", "environment", "file", "default"]


def test_the_defaults_serve_on_this_machine_alone(folder: Path) -> None:
    settings, origins = load({}, {})
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8000, Path("annals-data"))
    assert settings.git_dir == folder / "annals-data" / "git"
    assert settings.database_url is None
    assert not settings.timescaledb_is_required
    assert set(origins.values()) == {"default"}


def test_an_empty_variable_is_one_that_is_not_set(folder: Path) -> None:
    settings, origins = load({}, {"ANNALS_PORT": "", "DATABASE_URL": ""})
    assert (settings.port, origins["port"], settings.database_url) == (8000, "default", None)


@pytest.mark.parametrize(
    ("environ", "required"),
    [
        ({}, False),
        ({"DATABASE_URL": "postgresql://x/y"}, True),
        ({"DATABASE_URL": "postgresql://x/y", "ANNALS_REQUIRE_TIMESCALEDB": "false"}, False),
        ({"ANNALS_REQUIRE_TIMESCALEDB": "true"}, True),
    ],
)
def test_timescaledb_is_required_of_a_database_of_ones_own(
    folder: Path, environ: dict[str, str], required: bool
) -> None:
    assert load({}, environ)[0].timescaledb_is_required is required


def test_the_file_may_lie_elsewhere(folder: Path) -> None:
    elsewhere = folder / "elsewhere.toml"
    elsewhere.write_text("port = 5\n")
    (folder / "annals.toml").write_text("port = 1\n")
    assert load({}, {"ANNALS_CONFIG": str(elsewhere)})[0].port == 5


def test_a_file_that_is_named_has_to_be_there(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml can't be read"):
        load({}, {"ANNALS_CONFIG": "missing.toml"})


@pytest.mark.parametrize("content", [b"port = ", b"\xff", b"port = 1\nport = 2\n"])
def test_a_file_that_is_no_toml_is_refused(folder: Path, content: bytes) -> None:
    (folder / "annals.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"annals\.toml can't be read"):
        load({}, {})


def test_an_unknown_setting_in_the_file_is_refused_with_the_known_ones(folder: Path) -> None:
    (folder / "annals.toml").write_text("prot = 1\n")
    with pytest.raises(SettingsError, match=r"unknown settings: prot; known are .*\bport\b"):
        load({}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("port", "65536"), ("port", "-1"), ("port", "http"), ("workers", "0"), ("threads", "1")),
        *(
            ("public_url", "example.org"),
            ("public_url", "ftp://x"),
            ("log_format", "xml"),
            ("log_level", "loud"),
        ),
        *(("require_timescaledb", "perhaps"), ("git_timeout", "0"), ("operator_key", "x" * 31)),
    ],
)
def test_a_wrong_value_is_told_with_its_name_and_source(folder: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load({}, {variable(name): value})
    text = str(refusal.value)
    assert text.startswith(f"{name} (from the environment; {variable(name)}): ")


def test_a_secret_is_in_no_message(folder: Path) -> None:
    short = "short-secret"
    with pytest.raises(SettingsError) as refusal:
        load({}, {"ANNALS_OPERATOR_KEY": short})
    assert short not in str(refusal.value)
    settings, _ = load({}, {"ANNALS_OPERATOR_KEY": KEY, "DATABASE_URL": "postgresql://u:hidden@x/y"})
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert KEY not in text
        assert "hidden" not in text
    assert settings.operator_key is not None
    assert settings.operator_key.get_secret_value() == KEY


@pytest.mark.parametrize(("name", "least"), [("operator_key", 32), ("metrics_key", 16)])
def test_a_key_that_is_too_short_is_told_how_long_one_is(folder: Path, name: str, least: int) -> None:
    with pytest.raises(SettingsError) as refusal:
        load({}, {variable(name): "x" * (least - 1)})
    assert f": a key has at least {least} characters, and this one has {least - 1}" in str(refusal.value)


def test_a_message_has_no_words_of_the_library(folder: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        load({}, {"ANNALS_KEY_RATE": "often", "ANNALS_CORS_ORIGINS": "https://a.example.org/x"})
    assert "Value error" not in str(refusal.value)
    assert "'https://a.example.org/x' is no origin as browsers send it" in str(refusal.value)


def test_variables_that_are_no_settings_are_named_with_the_nearest_that_is() -> None:
    environ = dict.fromkeys(
        (
            *("ANNALS_PORTT", "annals_host", "ANNALS_OPERATORKEY", "ANNALS_ZZZZZZ", "ANNALS_PORT"),
            *("DATABASE_URL", "ANNALS_TEST_STEPS", "ANNALS_CONFIG", "ANNALS_KEY", "PATH", "ANNALSX"),
        ),
        "1",
    )
    assert unknown_variables(environ) == {
        "ANNALS_PORTT": "ANNALS_PORT",
        "annals_host": "ANNALS_HOST",
        "ANNALS_OPERATORKEY": "ANNALS_OPERATOR_KEY",
        "ANNALS_ZZZZZZ": None,
    }


def test_every_variable_that_the_project_names_is_known() -> None:
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "script").rglob("*")]
    for room in ("service", "gitstore", "sql", "jobs"):
        texts += (ROOT / room).rglob("*.py")
    named = {
        name
        for text in texts
        if text.is_file() and text.suffix != ".pyc"
        for name in re.findall(r"\bANNALS_[A-Z_]+[A-Z]\b", text.read_text())
    }
    assert {"ANNALS_PORT", "ANNALS_FAILPOINT"} <= named
    assert unknown_variables(dict.fromkeys(named, "1")) == {}


def test_the_variables_of_secrets_are_those_of_keys_and_passwords() -> None:
    assert set(secret_variables()) == {"DATABASE_URL", "ANNALS_OPERATOR_KEY", "ANNALS_METRICS_KEY"}


def test_a_key_of_32_characters_is_long_enough(folder: Path) -> None:
    assert load({}, {"ANNALS_OPERATOR_KEY": "x" * 32})[0].operator_key is not None


def test_several_faults_are_told_at_once(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"port .*; .*workers "):
        load({}, {"ANNALS_PORT": "x", "ANNALS_WORKERS": "x"})


def test_the_command_shows_each_setting_with_its_source_and_no_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNALS_OPERATOR_KEY", KEY)
    monkeypatch.setenv("ANNALS_PORT", "4711")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hidden@db.example.org/y")
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, ["config", "show"])
    assert shown.exit_code == 0, shown.output
    assert "4711" in shown.output
    for name in Settings.model_fields:
        assert name in shown.output
    assert KEY not in shown.output
    assert "hidden" not in shown.output


def test_the_command_tells_a_wrong_setting_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNALS_PORT", "x")
    shown = CliRunner().invoke(app, ["config", "show"])
    assert shown.exit_code != 0
    assert "ANNALS_PORT" in shown.output
    assert "Traceback" not in shown.output


LOGGING = """
import structlog
from service.runtime import log_setup

def authenticate(key):
    raise ValueError("it failed")

log_setup.configure({form!r}, "info")
try:
    authenticate("annals_" + "SECRET")
except ValueError:
    structlog.get_logger("x").exception("request failed", request_id="r-1")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_failure_is_logged_without_the_values_of_variables(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGGING.format(form=form)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "it failed" in done.stderr
    assert "r-1" in done.stderr
    assert "annals_SECRET" not in done.stderr


def test_a_logger_goes_on_to_follow_what_is_configured_after_its_first_line() -> None:
    log = structlog.get_logger("used")
    log_setup.configure("json", "error")
    log.error("the first line")
    log_setup.configure("json", "error")
    with capture_logs() as logged:
        log.error("the second line")
    assert [line["event"] for line in logged] == ["the second line"]


SECRETS_LOGGED = """
import logging
import structlog
from service.runtime import log_setup

class Connection:
    def __repr__(self):
        return "Connection(password='hunter2', host='h')"

log_setup.configure({form!r}, "info")
try:
    raise ValueError("could not connect to postgres://u:hunter2@h/d")
except ValueError:
    structlog.get_logger("x").exception(
        "request failed with token=hunter2",
        password="hunter2",
        headers={{"Cookie": "hunter2", "Host": "h"}},
        scope=[(b"authorization", b"hunter2")],
        connection=Connection(),
        seconds=1.5,
    )
    logging.getLogger("y").exception("sent %s", "Authorization: Bearer hunter2", stack_info=True)
structlog.get_logger("x").bind(api_key="hunter2").info("bound")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_shows_a_secret(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SECRETS_LOGGED.format(form=form)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "hunter2" not in done.stderr
    assert done.stderr.count("[masked]") >= 9
    for kept in ("request failed", "could not connect", "Traceback", "1.5", "sent", "bound", "Host"):
        assert kept in done.stderr
