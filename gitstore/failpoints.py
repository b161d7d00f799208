"""Places where a test can let a process die, fail or wait: `ANNALS_FAILPOINT=<name>:kill|error|delay`.

Several are separated by commas. A number follows a second colon: for `kill` and `error`, at which passing of
the place the process dies or fails, by default at the first (`pack-durable:kill:7`); for `delay`, how many
milliseconds each passing waits, by default 1,000 (`committed:delay:250`). Unset, a place costs a lookup in an
empty dictionary.

`ANNALS_FAILPOINT=@<path>` names a file with the same content, which may be created, replaced and removed
while the server runs. Its action happens once among all processes: the first process in which it is due
renames the file to `<path>.fired`, then acts.
"""

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

VARIABLE: Final = "ANNALS_FAILPOINT"

# Every place of a write, in the order in which a write passes them; any other name is refused at start.
NAMES: Final = (
    "change-sent",
    "change-received",
    "batch-taken",
    "repository-built",
    "repository-named",
    "repository-locked",
    "batch-planned",
    "pack-begun",
    "pack-written",
    "index-written",
    "pack-named",
    "index-named",
    "pack-durable",
    "rows-written",
    "committed",
    "refs-locked",
    "ref-moved",
    "tags-moved",
    "tags-settled",
    "refs-settled",
    "answer-ready",
    "answer-received",
)
# Every place of the scheduled job that deletes rows of logs, in the order in which the job passes them.
OF_RETENTION: Final = (
    "chunk-archived",
    "archive-recorded",
    "chunk-dropped",
    "rows-archived",
    "rows-recorded",
    "rows-gone",
)
# Every place of the scheduled job that purges closed subscriptions, in the order of their passing.
OF_PURGING: Final = (
    "rows-exported",
    "export-noted",
    "leaving-archived",
    "leaving-recorded",
    "rows-purged",
    "repository-removed",
)
# Places of the scheduled job that counts executions by days.
OF_COUNTING: Final = ("days-marked", "day-counted")
ALL: Final = (*NAMES, *OF_RETENTION, *OF_PURGING, *OF_COUNTING)
_ACTIONS: Final = ("kill", "error", "delay")
_DELAY_MILLISECONDS: Final = 1000


class FailpointError(OSError):
    """The failure of an `error` action; the code around the place treats it like a file system error."""


@dataclass(slots=True)
class _FailpointAction:
    kind: str
    argument: int
    passed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_due(self) -> bool:
        with self.lock:
            self.passed += 1
            return self.passed == self.argument


def parse(text: str) -> dict[str, _FailpointAction]:
    """Parse the actions by place; raises ValueError for a text that has another form."""
    actions = {}
    for item in filter(None, text.split(",")):
        name, _, rest = item.partition(":")
        kind, _, argument = rest.partition(":")
        if name not in ALL or kind not in _ACTIONS or not (argument.isdecimal() or not argument):
            raise ValueError(
                f"{VARIABLE}: {item!r} is not <name>:kill|error|delay[:number] with one of {', '.join(NAMES)}"
            )
        default = _DELAY_MILLISECONDS if kind == "delay" else 1
        actions[name] = _FailpointAction(kind, int(argument or default))
    return actions


class _FailpointActions(Protocol):
    def get(self, name: str) -> _FailpointAction | None: ...


class _OfFile:
    """The actions that a file names at the moment; an action that was carried out is no longer among them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, int] | None = None
        self._actions: dict[str, _FailpointAction] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> _FailpointAction | None:
        with self._lock:
            try:
                found = self._path.stat()
                if (found.st_ino, found.st_mtime_ns) != self._read:
                    self._actions = parse(self._path.read_text(encoding="utf-8"))
                    self._read = (found.st_ino, found.st_mtime_ns)
            except FileNotFoundError:
                return None
            action = self._actions.get(name)
            if action is None or (action.kind != "delay" and not action.is_due()) or not self._take():
                return None
        # This process renamed the file, and no other did: the action is due here.
        return _FailpointAction(action.kind, action.argument if action.kind == "delay" else 1)

    def _take(self) -> bool:
        try:
            self._path.rename(f"{self._path}.fired")
        except FileNotFoundError:
            return False
        return True


def _from(text: str) -> _FailpointActions:
    return _OfFile(Path(text[1:])) if text.startswith("@") else parse(text)


_actions: _FailpointActions = _from(os.environ.get(VARIABLE, ""))


def passing(name: str) -> None:
    """Pass a place, and carry out its action; raises FailpointError for `error`."""
    action = _actions.get(name)
    if action is not None:
        _act(name, action)


def _act(name: str, action: _FailpointAction) -> None:
    if action.kind == "delay":
        time.sleep(action.argument / 1000)
    elif action.is_due():
        if action.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise FailpointError(f"the failpoint {name} was asked to fail")
