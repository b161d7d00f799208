"""What the README and the pages that it leads to show: commands run as pasted, settings as they are."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from service.runtime.settings import Settings, variable
from tests.support.project import ROOT
from tests.support.running_server import ANNALS, OPERATOR_KEY, running

README = ROOT / "README.md"
VERSIONING = README.parent / "docs" / "guide" / "versioning.md"
DELETIONS = README.parent / "docs" / "guide" / "deletions.md"
RETENTION = README.parent / "docs" / "operations" / "retention.md"
PUBLISHED_URL = "http://127.0.0.1:8000"
SEPARATOR = "----- next block -----"

# What differs from run to run, and a name for it.
VARYING = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "<time>"),
    (r"Date:   .*", "Date: <time>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
    (r"127\.0\.0\.1:\d+", "<host>"),
    (r"\b[0-9a-f]{40}\b", "<commit>"),
    (r"index [0-9a-f]+\.\.[0-9a-f]+", "index <blobs>"),
    (r"(?<=workflows/)[0-9a-f]{2}(?=/)", "<xx>"),
    (r"^[0-9a-f]{7,12}(?= )", "<commit>"),
    (r"\([0-9a-f]{12}\)", "(<commit>)"),
    (r"(?<= )[0-9a-f]{10}(?=  )", "<commit>"),
)


def masked(text: str) -> str:
    """The text with all that varies between runs replaced by what it is."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def shown_blocks(page: Path) -> list[tuple[str, str]]:
    """The blocks of commands of a page, each with the output that it shows."""
    return re.findall(r"```sh\n(.*?)```\n```text\n(.*?)```", page.read_text(), flags=re.DOTALL)


def outputs(blocks: list[str], url: str, folder: Path) -> list[str]:
    """What each block prints when all are pasted into one shell, one after the other."""
    path = f"{ANNALS.parent}:{os.environ['PATH']}"
    script = f"\necho '{SEPARATOR}'\n".join(blocks).replace(PUBLISHED_URL, url)
    script = script.replace(PUBLISHED_URL.removeprefix("http://"), url.removeprefix("http://"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ
        | {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_PAGER": "cat",
            "PATH": path,
            "ANNALS_OPERATOR_KEY": OPERATOR_KEY,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.split(SEPARATOR + "\n")


@pytest.mark.embedded
@pytest.mark.parametrize(("page", "count"), [(README, 9), (VERSIONING, 11), (DELETIONS, 7), (RETENTION, 4)])
def test_the_blocks_of_a_page_print_what_it_shows(tmp_path: Path, page: Path, count: int) -> None:
    blocks = shown_blocks(page)
    assert len(blocks) == count
    with running(tmp_path / "annals-data", ANNALS_OPERATOR_KEY=OPERATOR_KEY) as server:
        printed = outputs([commands for commands, _ in blocks], server.url, tmp_path)
    for (commands, shown), seen in zip(blocks, printed, strict=True):
        assert masked(seen) == masked(shown), commands


def test_the_configuration_table_is_that_of_the_settings() -> None:
    text = README.read_text()
    rows = [
        f"| `{variable(name)}` | {shown_default(name)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    missing = [row for row in rows if row not in text]
    assert missing == []
    assert len(re.findall(r"^\| `(?:ANNALS_|DATABASE_URL)", text, flags=re.MULTILINE)) == len(rows)


def shown_default(name: str) -> str:
    """A default as the table shows it."""
    default = Settings.model_fields[name].default
    return "" if default is None else f"`{default}`"


@pytest.mark.parametrize("folder", ["service", "gitstore", "sql", "jobs", "docs/decisions", "script"])
def test_what_the_readme_names_is_there(folder: str) -> None:
    assert folder in README.read_text()
    assert (README.parent / folder).is_dir()
