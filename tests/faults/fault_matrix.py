"""The fault matrix: `script/test faults` kills a real server repeatedly under load, and checks every state.

Each finished cell is a line of the state's file. The next run continues with the cells that are left.
"""

import argparse
import json
import shutil
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gitstore.failpoints import NAMES
from tests.faults.fault_cells import ANY_INSTANT, Cell, Result, Scene, plan
from tests.faults.fault_stage import TARGETS, staged
from tests.support.databases import Cluster, cluster_url

KILLS = 1200
STATE = Path("~/.cache/annals/faults").expanduser()
# After so many cells new subscriptions begin: checks read whole histories, and longer ones would only take
# longer.
CELLS_OF_A_SCENE = 12
ENOUGH_VIOLATIONS = 5
_COLUMNS = (*TARGETS, "error", "delay")


class Matrix:
    """The cells that are left, and the results of the finished ones."""

    def __init__(self, state: Path, cells: Sequence[Cell], *, seed: int, until: float) -> None:
        self._file = state / "results.jsonl"
        self._state = state
        self._seed = seed
        self._until = until
        self._lock = threading.Lock()
        self.results = self._kept()
        finished = {result["name"] for result in self.results if not result["wrong"]}
        self.left = [cell for cell in cells if cell.name not in finished]
        # Cells that kill PostgreSQL need one of their own; the others share TimescaleDB.
        self._embedded = deque(cell for cell in self.left if cell.target == "postgres")
        self._others = deque(_mixed([cell for cell in self.left if cell.target != "postgres"]))
        self.wrong = [(r["name"], wrong) for r in self.results for wrong in r["wrong"]]
        self._since = time.monotonic()

    def lane(self, number: int, cluster: Cluster) -> None:
        """Work through cells, on one stage after another, until none are left or the time is up."""
        while True:
            with self._lock:
                queue = self._embedded if self._embedded and number == 0 else self._others
            if not self._goes_on(queue):
                if queue is self._others:
                    return
                continue
            folder = self._state / f"stage-{number}-{time.time_ns()}"
            try:
                is_whole = self._stage(folder, None if queue is self._embedded else cluster, queue)
            except Exception as error:  # noqa: BLE001 - a lane that can't go on is a violation too
                is_whole = False
                self._say("the stage", [f"{error!r}"])
            if is_whole:
                shutil.rmtree(folder)
            else:
                print(f"kept for a look: {folder}", flush=True)

    def _stage(self, folder: Path, cluster: Cluster | None, queue: "deque[Cell]") -> bool:
        with staged(folder, cluster) as stage:
            scenes = 0
            while self._goes_on(queue):
                scenes += 1
                scene = Scene(stage, f"{folder.name}:{scenes}")
                done: list[str] = []
                whole = True
                while whole and len(done) < CELLS_OF_A_SCENE and (cell := self._take(queue)) is not None:
                    result = scene.run(cell, self._seed)
                    done.append(cell.name)
                    self._keep(result)
                    whole = not result.found.wrong
                if not whole:
                    return False
                if wrong := scene.end(folder):
                    self._say(f"after {', '.join(done)}", wrong)
                    return False
            if wrong := stage.end():
                self._say("the end of the server", wrong)
                return False
        return True

    def _goes_on(self, queue: "deque[Cell]") -> bool:
        with self._lock:
            if time.monotonic() > self._until or len(self.wrong) >= ENOUGH_VIOLATIONS:
                self._embedded.clear()
                self._others.clear()
            return bool(queue)

    def _take(self, queue: "deque[Cell]") -> Cell | None:
        if not self._goes_on(queue):
            return None
        with self._lock:
            return queue.popleft() if queue else None

    def _keep(self, result: Result) -> None:
        found = result.found
        kept = {"name": result.cell.name, **result.as_json()["cell"], "kills": result.kills}
        kept |= {"seconds": result.seconds, "operations": found.operations, "versions": found.versions}
        kept |= {"became": dict(found.became), "answers": dict(found.answers), "wrong": found.wrong}
        with self._lock, self._file.open("a") as file:
            file.write(json.dumps(kept) + "\n")
            self.results.append(kept)
        if found.wrong:
            self._say(result.cell.name, found.wrong)
        elif len(self.results) % 25 == 0:
            kills = sum(each["kills"] for each in self.results)
            passed = time.monotonic() - self._since
            print(f"{len(self.results)} cells, {kills} kills, {passed / 60:.1f} minutes", flush=True)

    def _say(self, name: str, wrong: Sequence[str]) -> None:
        with self._lock:
            self.wrong += [(name, each) for each in wrong]
        for each in wrong:
            print(f"VIOLATION in {name}: {each}", flush=True)
        print(f"again: script/test faults --seed {self._seed} --only '{name}'", flush=True)

    def _kept(self) -> list[dict[str, Any]]:
        if not self._file.exists():
            return []
        lines = self._file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


def _mixed(cells: list[Cell]) -> list[Cell]:
    """Order cells so that all kinds take turns: a run that is cut short has then seen each kind."""
    by_kind: dict[tuple[str, str], deque[Cell]] = {}
    for cell in cells:
        by_kind.setdefault((cell.target, cell.point), deque()).append(cell)
    mixed = []
    while by_kind:
        for kind in list(by_kind):
            mixed.append(by_kind[kind].popleft())
            if not by_kind[kind]:
                del by_kind[kind]
    return mixed


def table(results: Sequence[dict[str, Any]], wrong: int) -> str:
    """Format the number of cells by place and target, and the outcomes of the changes."""
    counted = Counter((each["point"], each["target"]) for each in results)
    lines = [f"{'cells':<20}" + "".join(f"{column:>12}" for column in _COLUMNS)]
    for point in (*NAMES, ANY_INSTANT):
        counts = [counted[(point, column)] for column in _COLUMNS]
        lines.append(f"{point:<20}" + "".join(f"{count or '-':>12}" for count in counts))
    kills: Counter[str] = Counter()
    became: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for each in results:
        kills[each["target"]] += each["kills"]
        became.update(each["became"])
        answers.update(each["answers"])
    lines.append(f"{'kills':<20}" + "".join(f"{kills[column] or '-':>12}" for column in _COLUMNS))
    lines += ["", f"{len(results)} cells, {sum(kills.values())} kills"]
    operations = sum(each["operations"] for each in results)
    versions = sum(each["versions"] for each in results)
    lines.append(f"{operations} acknowledged changes, {versions} versions, all of them looked for")
    lines.append(f"{sum(became.values())} changes of which one attempt or more had no definite outcome:")
    lines += [f"  {count:>6}  {what}" for what, count in became.most_common()]
    lines.append("answers to attempts:")
    lines += [f"  {count:>6}  {what}" for what, count in answers.most_common()]
    lines.append(f"violations: {wrong}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run the matrix; returns 1 if there was a violation."""
    parser = argparse.ArgumentParser(
        prog="script/test faults", description="Kill a real server under load, over and over, and check."
    )
    parser.add_argument("--kills", type=int, default=KILLS, help="cells that kill (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the instants and passings (default 1)")
    parser.add_argument(
        "--only", default="", help="cells whose name contains this: target/place/number, or a part of it"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no cell after so long")
    parser.add_argument("--lanes", type=int, default=2, help="servers side by side (default 2)")
    parser.add_argument(
        "--state", type=Path, help=f"folder in which finished cells are kept (default {STATE}/<seed>-<kills>)"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the cells that are finished")
    chosen = parser.parse_args(arguments)
    state: Path = (chosen.state or STATE / f"{chosen.seed}-{chosen.kills}").absolute()
    if chosen.fresh or chosen.only:
        (state / "results.jsonl").unlink(missing_ok=True)
    state.mkdir(parents=True, exist_ok=True)
    cells = [cell for cell in plan(chosen.kills) if chosen.only in cell.name]
    until = time.monotonic() + chosen.minutes * 60
    matrix = Matrix(state, cells, seed=chosen.seed, until=until)
    print(
        f"{len(cells)} cells, {len(cells) - len(matrix.left)} of them finished; state in {state}", flush=True
    )
    began = time.monotonic()
    cluster = Cluster(cluster_url(), "faults")
    lanes = [
        threading.Thread(target=matrix.lane, args=(number, cluster), name=f"lane {number}")
        for number in range(chosen.lanes)
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    if matrix.wrong:
        print("the databases annals_testrun_faults_* are kept for a look, until tests run again")
    else:
        cluster.close()
    print()
    print(table(matrix.results, len(matrix.wrong)))
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")
    return 1 if matrix.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
