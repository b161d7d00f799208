"""The short form of the fault matrix: each place once, and each target that can be killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitstore.failpoints import NAMES
from tests.faults.fault_cells import ANY_INSTANT, OF_THE_COMMITTER, OF_WORKERS, Cell, Scene, plan
from tests.faults.fault_stage import staged
from tests.support.databases import Cluster

SEED = 4


class Theatre:
    """A server and subscriptions under load, for the tests of this file."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def survives(self, cell: Cell) -> None:
        """Carry out a cell, which must end without violations."""
        result = self.scene.run(cell, SEED)
        assert result.found.wrong == []
        assert result.found.operations > 0
        assert (result.kills > 0) == cell.kills


@pytest.fixture(scope="module")
def theatre(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    folder = tmp_path_factory.mktemp("faults")
    with staged(folder, cluster) as stage:
        scene = Scene(stage, "tests")
        yield Theatre(scene)
        assert scene.end(folder) == []
        assert stage.end() == []


@pytest.mark.sampled(8)
@pytest.mark.parametrize("point", OF_THE_COMMITTER)
def test_a_committer_killed_at_any_place_loses_and_doubles_nothing(theatre: Theatre, point: str) -> None:
    theatre.survives(Cell("committer", point, 1))


def test_a_committer_killed_at_any_instant_loses_and_doubles_nothing(theatre: Theatre) -> None:
    theatre.survives(Cell("committer", ANY_INSTANT, 1))


@pytest.mark.parametrize("point", OF_WORKERS)
def test_a_worker_killed_at_any_place_loses_and_doubles_nothing(theatre: Theatre, point: str) -> None:
    theatre.survives(Cell("worker", point, 1))


def test_a_server_killed_whole_after_its_commit_loses_and_doubles_nothing(theatre: Theatre) -> None:
    theatre.survives(Cell("everything", "committed", 1))


@pytest.mark.parametrize("point", ["pack-named", "rows-written", "refs-locked"])
def test_an_error_at_a_place_loses_and_doubles_nothing(theatre: Theatre, point: str) -> None:
    theatre.survives(Cell("error", point, 1))


def test_a_delay_loses_and_doubles_nothing(theatre: Theatre) -> None:
    theatre.survives(Cell("delay", "repository-locked", 1))


def test_a_postgresql_killed_before_and_after_the_commit_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with staged(tmp_path / "stage", None) as stage:
        scene = Scene(stage, "postgres")
        for number, point in enumerate(("rows-written", "committed", ANY_INSTANT)):
            result = scene.run(Cell("postgres", point, number), SEED)
            assert (result.kills, result.found.wrong) == (1, [])
        assert scene.end(tmp_path) == []
        assert stage.end() == []


def test_the_whole_matrix_has_the_kills_that_it_says_most_of_them_of_the_committer_alone() -> None:
    cells = plan(1200)
    assert len(set(cells)) == len(cells)
    kills = [cell for cell in cells if cell.kills]
    assert len(kills) == 1200
    assert sum(cell.target == "committer" for cell in kills) > 800
    assert {cell.point for cell in kills} == {*NAMES, ANY_INSTANT}
    assert {cell.target for cell in cells if not cell.kills} == {"error", "delay"}


PASS = "from gitstore.failpoints import passing; [passing('pack-named') for _ in range(3)]; print('passed')"


def passed(failpoint: str) -> subprocess.CompletedProcess[str]:
    """Run a process that passes a place three times."""
    return subprocess.run(
        [sys.executable, "-c", PASS],
        env=os.environ | {"ANNALS_FAILPOINT": failpoint},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("failpoint", "code"),
    [
        ("", 0),
        ("pack-named:kill", -9),
        ("pack-named:kill:3", -9),
        ("pack-named:kill:4", 0),
        ("pack-named:error:2", 1),
        ("pack-named:delay:1", 0),
        ("pack-durable:kill,pack-named:kill:2", -9),
    ],
)
def test_a_failpoint_acts_at_the_passing_that_it_names(failpoint: str, code: int) -> None:
    assert passed(failpoint).returncode == code


@pytest.mark.parametrize("failpoint", ["nowhere:kill", "committed", "committed:explode", "committed:kill:x"])
def test_a_failpoint_that_is_none_is_refused_at_the_start(failpoint: str) -> None:
    refused = passed(failpoint)
    assert refused.returncode == 1
    assert "ANNALS_FAILPOINT" in refused.stderr


def test_failpoints_of_a_file_happen_once_among_all_processes(tmp_path: Path) -> None:
    file = tmp_path / "failpoint"
    assert passed(f"@{file}").returncode == 0
    file.write_text("pack-named:kill:2")
    assert [passed(f"@{file}").returncode for _ in range(2)] == [-9, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["failpoint.fired"]
