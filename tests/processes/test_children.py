"""The processes of `annals serve`: one that dies at any moment is started again, and takes nobody with it."""

import signal
from pathlib import Path

from tests.support.forks import forks


def test_the_supervisor_learns_how_a_process_ended(tmp_path: Path) -> None:
    codes, errors = forks("codes", tmp_path)
    assert codes == {
        "returns": 0,
        "fails": 1,
        "fails in a thread": 1,
        "exits": 1,
        "is killed": -signal.SIGKILL,
        "stops": 3,
    }
    assert errors.count("Traceback") == 2
    assert "ValueError: it fails" in errors
    assert "it says why" in errors


def test_a_process_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    assert forks("ignores_the_pipe", tmp_path)[0] == -signal.SIGKILL


def test_one_that_dies_is_started_again_and_none_has_what_is_the_supervisors(tmp_path: Path) -> None:
    found, _ = forks("restarts", tmp_path)
    assert found == {
        # Standard input is the lifeline; the socket is the listener.
        "inside": [["pipe", "pipe", "pipe", "socket"]] * 2,
        "names": ["annals: test"] * 2,
        "sessions": [True, True],
        "left": [],
        "leaked": 0,
    }


def test_no_process_mints_the_ids_of_another(tmp_path: Path) -> None:
    minted, _ = forks("ids", tmp_path)
    assert len(minted) == 203
    # The random part, whatever the time.
    assert len({each[19:] for each in minted}) == 203


def test_processes_may_open_as_many_files_as_the_system_allows(tmp_path: Path) -> None:
    assert forks("files", tmp_path)[0] == [False, True, True]


def test_one_that_hangs_is_killed_and_its_successor_learns_so(tmp_path: Path) -> None:
    found, _ = forks("hangs", tmp_path)
    assert found == {"lives": [False, True, True], "told": "it did not beat for 1.5 s and was killed"}


def test_a_supervisor_that_was_stopped_itself_kills_nobody_for_that_time(tmp_path: Path) -> None:
    assert forks("supervisor_sleeps", tmp_path)[0] == 0
