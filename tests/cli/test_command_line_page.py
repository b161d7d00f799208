"""The page on the command line is true: its exit codes, its options, its examples."""

import os
import re
import subprocess
from pathlib import Path

from service.cli.calls import EXIT_OF_STATUS, Exit
from tests.support.api import Tenant
from tests.support.commands import annals, environment
from tests.support.project import ROOT
from tests.support.running_server import ANNALS

PAGE = ROOT / "docs" / "guide" / "command-line.md"
COMMANDS = {
    PAGE: (
        *("version log", "version show", "version diff"),
        *("check-out", "check-in", "rollback", "tag", "publish"),
    ),
    ROOT / "docs" / "operations" / "archive.md": (
        "archive list",
        "archive verify",
        "archive restore",
        "archive query",
    ),
}


def test_the_page_has_the_exit_codes_of_the_program() -> None:
    shown = re.findall(r"^\| (\d) \| .* \| ([\d, ]*)", PAGE.read_text(), re.MULTILINE)
    statuses = {int(code): sorted(map(int, re.findall(r"\d{3}", which))) for code, which in shown}
    of_code: dict[int, list[int]] = {code: [] for code in (0, *Exit)}
    for status, code in EXIT_OF_STATUS.items():
        of_code[code].append(status)
    assert statuses == {code: sorted(which) for code, which in of_code.items()}


def test_the_pages_describe_every_command_and_option() -> None:
    for page, commands in COMMANDS.items():
        text = page.read_text()
        for command in commands:
            assert f"annals {command} " in text
            told = annals(None, *command.split(), "--help").stdout.decode()
            options = set(re.findall(r"--[a-z-]+", told)) - {"--help", "--url", "--key"}
            assert [option for option in sorted(options) if option not in text] == []


def test_the_examples_print_what_the_page_shows(tenant: Tenant, home: Path) -> None:
    workflow = tenant.workflow(name="Order ETL", definition={"batch_size": 500, "steps": ["extract", "load"]})
    tenant.save(
        workflow, {"batch_size": 2000, "steps": ["extract", "load"]}, tag="v1.0", description="larger batches"
    )
    blocks = re.findall(r"```sh\n([^`]*)```\n```text\n([^`]*)```", PAGE.read_text())
    assert len(blocks) >= 8
    path = f"{ANNALS.parent}:{os.environ['PATH']}"
    for commands, shown in blocks:
        done = subprocess.run(
            ["bash", "-eu", "-c", commands],
            cwd=home,
            env=environment(tenant.ana, PATH=path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert masked(done.stdout) == masked(shown), commands


def masked(text: str) -> str:
    """The text without what differs from run to run, and with one blank for many."""
    for pattern, name in (
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
        (r"(?<=workflows/)[0-9a-f]{2}(?=/)", "<xx>"),
        (r"127\.0\.0\.1:\d+", "<host>"),
        (r"\b([0-9a-f]{40}|[0-9a-f]{10})\b", "<commit>"),
        (r"[^\S\n]+", " "),
    ):
        text = re.sub(pattern, name, text)
    return text.strip()
