"""The pages of the documentation, and the README, run as pasted: all on one server, and all a second time."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.project import ROOT
from tests.support.running_server import ANNALS, OPERATOR_KEY, running
from tests.support.warm_path import warm_path

# How blocks of a language run, and what prints a line between two of them.
LANGUAGES = {
    "sh": (["bash", "-euo", "pipefail", "-c"], "echo '{}'"),
    "python": ([sys.executable, "-c"], "print('{}', flush=True)"),
}
BLOCK = re.compile(rf"```({'|'.join(LANGUAGES)})\n(.*?)```\n(?:```text\n(.*?)```)?", flags=re.DOTALL)
PAGES = [
    page for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/*/*.md"))] if BLOCK.search(page.read_text())
]
SEPARATOR = "----- next block -----"
LIMIT_SECONDS = 600

# Text that differs from run to run, and its stand-in.
VARYING = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "<time>"),
    (r"Date:   .*", "Date: <time>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
    (r"127\.0\.0\.1:\d+", "<host>"),
    (r"\b[0-9a-f]{40}\b", "<commit>"),
    (r"index [0-9a-f]+\.\.[0-9a-f]+", "index <blobs>"),
    (r"(?<=workflows/)[0-9a-f]{2}(?=/)", "<xx>"),
    (r"^[0-9a-f]{7,12}(?= )", "<commit>"),
    (r"(?<= )[0-9a-f]{10}(?=  )", "<commit>"),
    (r"\b\d{10}\b", "<seconds>"),
    (r"[^\S\n]+", " "),
)


@dataclass(frozen=True)
class Block:
    """Commands to paste, and the output that the page shows for them, None where it shows none."""

    language: str
    commands: str
    shown: str | None


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page that run, in order."""
    found = BLOCK.findall(page.read_text())
    return [Block(language, commands, shown or None) for language, commands, shown in found]


def printed(blocks: list[Block], url: str, folder: Path, programs: Path) -> list[str]:
    """The output of each block, where all are pasted into one shell, or one Python, one after the other.

    `programs` is a folder that is first on the PATH.
    """
    [language] = {block.language for block in blocks}
    program, separate = LANGUAGES[language]
    script = f"\n{separate.format(SEPARATOR)}\n".join(block.commands for block in blocks)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNALS_") and k != "DATABASE_URL"}
    done = subprocess.run(
        [*program, script],
        cwd=folder,
        env=clean
        | {
            "ANNALS": url,
            "ANNALS_OPERATOR_KEY": OPERATOR_KEY,
            "COLUMNS": "300",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_PAGER": "cat",
            "PATH": f"{programs}:{ANNALS.parent}:{os.environ['PATH']}",
            "TMPDIR": str(folder),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.split(SEPARATOR + "\n")


def masked(text: str) -> str:
    """The text with stand-ins for all that varies between runs."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.mark.embedded
@pytest.mark.long
def test_the_blocks_of_all_pages_print_what_they_show_one_page_after_the_other_and_twice(
    tmp_path: Path,
) -> None:
    with (
        # Followers of logs need the scheduler.
        running(tmp_path / "annals-data", ANNALS_OPERATOR_KEY=OPERATOR_KEY, ANNALS_JOBS="true") as server,
        warm_path(tmp_path) as programs,
    ):
        for page in PAGES * 2:
            blocks = blocks_of(page)
            for block, seen in zip(blocks, printed(blocks, server.url, tmp_path, programs), strict=True):
                if block.shown is not None:
                    assert masked(seen) == masked(block.shown), (page.name, block.commands)
