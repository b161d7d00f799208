"""The page on the command line is true: codes and options; `tests.project.test_pages` runs its examples."""

import re

from service.cli.calls import EXIT_OF_STATUS, Exit
from tests.support.commands import annals
from tests.support.project import ROOT

PAGE = ROOT / "docs" / "guide" / "command-line.md"
COMMANDS = {
    PAGE: (
        *("version log", "version show", "version diff"),
        *("check-out", "check-in", "rollback", "tag", "publish", "logs tail", "export"),
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
