"""The processes of `annals serve`: one that dies at any moment is started again, and takes nobody with it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.processes.children import Child, Children

# More than a pipe holds: who writes it waits for the process, which ends without having read it.
HANDED = "x" * 2**20
SECONDS = 30


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Processes that die before they took what they are handed."""
    children = Children("a process", lambda: Child("no.such.module", HANDED, None, tmp_path), 2)
    yield children
    children.end()


def test_those_that_die_before_they_took_what_they_are_handed_are_started_again(children: Children) -> None:
    children.start()
    started, deadline = 0, time.monotonic() + SECONDS
    while started < 4 and time.monotonic() < deadline:
        started += children.replace_dead()
        time.sleep(0.01)
    assert started >= 4
    children.end()
    assert children.replace_dead() == 0
