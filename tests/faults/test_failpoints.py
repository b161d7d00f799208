"""Failpoints: their actions, their places in the code, and their cost when unset."""

import re
import signal
import subprocess
import sys
import time

import pytest

from gitstore import failpoints
from gitstore.failpoints import ALL, NAMES, VARIABLE, FailpointError, passing
from tests.support.project import ROOT


def run(asked: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a process that passes places, with failpoints set."""
    return subprocess.run(
        [sys.executable, "-c", f"from gitstore.failpoints import passing\n{program}"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), VARIABLE: asked},
        capture_output=True,
        text=True,
        check=False,
    )


def told(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setattr(failpoints, "_actions", failpoints.parse(asked))


def test_every_name_is_a_place_in_the_code_and_there_are_enough() -> None:
    texts = [
        path.read_text()
        for folder in ("gitstore", "service")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "failpoints.py"
    ]
    named = {name for text in texts for name in re.findall(r'passing\("([a-z-]+)"\)', text)}
    # The places of the two files of a pack are looked up by their suffix.
    named |= {"pack-written", "index-written", "pack-named", "index-named"}
    assert named == set(ALL)
    assert len(NAMES) >= 12


def test_unset_nothing_happens_at_any_place() -> None:
    done = run("", f"for name in {NAMES!r}: passing(name)\nprint('here')")
    assert (done.returncode, done.stdout) == (0, "here\n")


def test_unset_a_place_costs_less_than_a_microsecond(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, "")
    began = time.process_time()
    for _ in range(100_000):
        passing("committed")
    assert time.process_time() - began < 0.1


def test_a_place_kills_its_process_without_a_word() -> None:
    done = run("committed:kill", "print('before', flush=True)\npassing('committed')\nprint('after')")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "before\n", "")


def test_the_passing_that_was_asked_for_dies_and_no_other() -> None:
    done = run("committed:kill:3", "for n in 1, 2, 3, 4: print(n, flush=True); passing('committed')")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "1\n2\n3\n")


def test_a_place_fails_once_as_the_file_system_would(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, "pack-written:error:2")
    passing("pack-written")
    with pytest.raises(FailpointError, match="pack-written") as raised:
        passing("pack-written")
    assert isinstance(raised.value, OSError)
    passing("pack-written")


def test_a_place_waits_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, "committed:delay:30")
    for _ in range(2):
        began = time.monotonic()
        passing("committed")
        assert 0.03 <= time.monotonic() - began < 5


def test_without_a_number_the_first_passing_fails_and_a_wait_is_a_second() -> None:
    actions = failpoints.parse("committed:kill,batch-taken:error,ref-moved:delay")
    assert {name: action.argument for name, action in actions.items()} == {
        "committed": 1,
        "batch-taken": 1,
        "ref-moved": 1000,
    }


def test_several_places_act_each_in_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, "committed:error,batch-taken:error:2")
    with pytest.raises(FailpointError, match="committed"):
        passing("committed")
    passing("batch-taken")
    with pytest.raises(FailpointError, match="batch-taken"):
        passing("batch-taken")


@pytest.mark.parametrize(
    "asked",
    [
        *("nowhere:kill", "committed", "committed:", "committed:explode", ":kill", "committed:kill:x"),
        *("committed:kill:-1", "committed:kill:1:2", "committed:kill:²", "committed:kill;ref-moved:kill"),
    ],
)
def test_what_is_no_failpoint_is_refused_at_start(asked: str) -> None:
    done = run(asked, "print('here')")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"ValueError: {VARIABLE}" in done.stderr
