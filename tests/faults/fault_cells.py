"""The cells of the fault matrix: the killed process, the place in the write, and the run of a cell."""

import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from gitstore.failpoints import NAMES
from tests.faults.fault_calls import Operation, Stuck, Wire
from tests.faults.fault_checks import Found, Watched
from tests.faults.fault_load import Gate, Load
from tests.faults.fault_stage import TARGETS, Stage, Target
from tests.support.running_server import OPERATOR_KEY

# Places that an API worker passes; the committer passes the others.
OF_WORKERS = ("repository-built", "repository-named", "change-sent", "answer-received")
OF_THE_COMMITTER = tuple(name for name in NAMES if name not in OF_WORKERS)
ANY_INSTANT = "any instant"

Action = Literal["error", "delay"]

SUBSCRIPTIONS = 2
CLIENTS = 4
# A place is passed many times a second, except for the places of tags.
REACHED_SECONDS = 10
LATEST_PASSING = 8
# The time for which the committer pauses at a place while something else is killed.
HELD_MILLISECONDS = 400
DELAYED_MILLISECONDS = 250
ANY_SECONDS = 0.6
# Within this time the next committer imports its modules, reads the refs, and takes its first changes.
SECOND_KILL_SECONDS = 1.5
STILL_SECONDS = 150
# Any other status from 500 on would be undocumented; a cell with an error allows 500 as well. The retry of a
# deletion for good no longer finds the resource.
DOCUMENTED = {200, 201, 404, 409, 423, 503}


@dataclass(frozen=True, slots=True)
class Cell:
    """One experiment: a target that is killed, or an action, at a place, with a seed of its own."""

    target: Target | Action
    point: str
    number: int

    @property
    def name(self) -> str:
        """The cell's name for `--only`."""
        return f"{self.target}/{self.point}/{self.number}"

    @property
    def kills(self) -> bool:
        """True if the cell kills a process."""
        return self.target in TARGETS


@dataclass(slots=True)
class Result:
    """The outcome of a cell."""

    cell: Cell
    kills: int = 0
    seconds: float = 0.0
    found: Found = field(default_factory=Found)

    def as_json(self) -> dict[str, Any]:
        """The result as it is stored in the state's file."""
        return asdict(self)


def plan(kills: int) -> list[Cell]:
    """Plan `kills` cells that kill, most of them only the committer, and cells that fail and delay."""
    shares: list[tuple[Target, Sequence[str], int]] = [
        ("committer", OF_THE_COMMITTER, kills * 60 // 100),
        ("worker", (*OF_WORKERS, ANY_INSTANT, *OF_THE_COMMITTER), kills * 10 // 100),
        ("everything", (*OF_THE_COMMITTER, ANY_INSTANT, *OF_WORKERS), kills * 8 // 100),
        ("postgres", (*OF_THE_COMMITTER[2:], ANY_INSTANT), kills * 6 // 100),
    ]
    cells = [
        Cell(target, points[index % len(points)], index // len(points) + 1)
        for target, points, count in shares
        for index in range(count)
    ]
    cells += [Cell("committer", ANY_INSTANT, number + 1) for number in range(kills - len(cells))]
    cells += [Cell("error", point, number) for point in NAMES for number in (1, 2)]
    cells += [Cell("delay", point, 1) for point in NAMES]
    return cells


class Scene:
    """Subscriptions under load on a stage, for some cells; then checked deeply, and used no more."""

    def __init__(self, stage: Stage, seed: str) -> None:
        self._stage = stage
        self._seed = seed
        self._gate = Gate()
        self._loads = [
            Load(stage.port, OPERATOR_KEY, self._gate, clients=CLIENTS, seed=f"{seed}:{number}")
            for number in range(SUBSCRIPTIONS)
        ]
        self._watched = [Watched(stage, load) for load in self._loads]

    def run(self, cell: Cell, seed: int) -> Result:
        """Carry out a cell under load, wait for the recovery, and check."""
        began = time.monotonic()
        draw = random.Random(f"{seed}/{cell.name}")
        result = Result(cell)
        self._gate.open()
        with self._subscribing(cell, result.found):
            try:
                result.kills = self._strike(cell, draw)
            except _NotReached as error:
                result.found.wrong.append(str(error))
            self._stage.come_back()
            still = self._gate.close(STILL_SECONDS)
        if not still:
            result.found.wrong.append("clients got no answer")
            result.found.wrong += [
                operation.described()
                for load in self._loads
                for operation in load.journal.operations
                if not operation.status
            ]
        else:
            for watched in self._watched:
                result.found.add(watched.check())
        result.found.wrong += _undocumented(result)
        result.seconds = round(time.monotonic() - began, 2)
        return result

    def end(self, folder: Path) -> list[str]:
        """End the clients, and check everything once more; returns the violations."""
        self._gate.end()
        for load in self._loads:
            load.end()
        wrong = []
        for number, watched in enumerate(self._watched):
            wrong += watched.check_deeply(folder / f"clone-{self._seed.replace(':', '-')}-{number}")
        return wrong

    # -- striking -------------------------------------------------------------------------------------

    def _strike(self, cell: Cell, draw: random.Random) -> int:
        match cell.target:
            case "error":
                self._reach(cell, f"error:{draw.randint(1, LATEST_PASSING)}", "error:1")
                return 0
            case "delay":
                self._reach(cell, f"delay:{DELAYED_MILLISECONDS}")
                return 0
            case target:
                return self._kill(cell, target, draw)

    def _kill(self, cell: Cell, target: Target, draw: random.Random) -> int:
        which = draw.randrange(6)
        if cell.point == ANY_INSTANT:
            time.sleep(draw.random() * ANY_SECONDS)
            self._hit(target, which)
            if target != "committer" or draw.random() < 0.5:
                return 1
            time.sleep(draw.random() * SECOND_KILL_SECONDS)
            self._hit(target, which)
            return 2
        passes = "worker" if cell.point in OF_WORKERS else "committer"
        if target == passes:
            last = 1 if cell.point.startswith("repository-") and passes == "worker" else LATEST_PASSING
            self._reach(cell, f"kill:{draw.randint(1, last)}", "kill:1")
            return 1
        self._reach(cell, f"delay:{HELD_MILLISECONDS}")
        self._hit(target, which)
        return 1

    def _reach(self, cell: Cell, *actions: str) -> None:
        for action in actions:
            self._stage.arm(f"{cell.point}:{action}")
            if self._stage.fired(REACHED_SECONDS):
                return
        raise _NotReached(f"{cell.name}: the place was not passed in time")

    def _hit(self, target: Target, which: int) -> None:
        deadline = time.monotonic() + REACHED_SECONDS
        while not self._stage.kill(target, which):
            if time.monotonic() > deadline:
                raise _NotReached(f"{target}: there was nothing to kill")
            time.sleep(0.01)

    @contextmanager
    def _subscribing(self, cell: Cell, found: Found) -> Iterator[None]:
        """Create subscriptions meanwhile, if only that passes the cell's place."""
        if cell.point not in ("repository-built", "repository-named"):
            yield
            return
        made: deque[Operation] = deque()
        stop = threading.Event()

        def subscribe() -> None:
            wire = Wire(self._stage.port, OPERATOR_KEY)
            try:
                while not stop.is_set():
                    made.append(wire.call("subscribe", "POST", "/v1/subscriptions", {"name": cell.name}))
            except Stuck as stuck:
                found.wrong.append(f"stuck: {stuck}")
            finally:
                wire.close()

        thread = threading.Thread(target=subscribe, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(STILL_SECONDS)
        for operation in made:
            path = self._stage.git_dir / f"{operation.answer.get('subscription_id')}.git" / "HEAD"
            if operation.status != 201 or not path.exists():
                found.wrong.append(f"no repository: {operation.described()}: {operation.answer}")
        ids = [attempt.request_id for operation in made for attempt in operation.attempts]
        rows = self._stage.database.rows(
            "SELECT count(*), count(DISTINCT subscription_id) FROM audit_logs"
            " WHERE request_id = ANY(%s) AND resource_type = 'subscription' AND status = 'success'",
            ids,
        )
        if rows != [(len(made), len(made))]:
            found.wrong.append(f"{len(made)} subscriptions were made, and recorded: {rows}")
        found.operations += len(made)


class _NotReached(Exception):
    """The place was not reached, so the experiment did not take place."""


def _undocumented(result: Result) -> list[str]:
    allowed = DOCUMENTED | ({500} if result.cell.target == "error" else set())
    return [
        f"an answer that nobody documented: {answer}"
        for answer in result.found.answers
        if answer[:3].isdigit() and int(answer[:3]) not in allowed
    ]
