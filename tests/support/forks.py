"""A supervisor with one kind of child, as a program: `python -m tests.support.forks <name> <folder>`.

Each function named by a test forks processes and returns facts about them, which are printed as JSON. The
program is a process of its own, since pytest has threads.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gitstore.read.blob_reader import LARGE_BYTES
from service.documents.workers import DocumentWorkers
from service.domain.errors import Busy
from service.domain.ids import mint
from service.processes import committer, document_worker
from service.processes.children import Child, Children, Program, Setup, allow_files
from service.runtime.lifeline import Lifeline
from service.runtime.settings import load
from tests.support.process_table import descriptors, lives, name_of
from tests.support.project import ROOT

SECONDS = 30


def forks(name: str, folder: Path) -> tuple[Any, str]:
    """Run a function of this module as a program; returns its facts, and its standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.forks", name, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def child(
    folder: Path, program: Program, listener: socket.socket | None = None, replaces: str | None = None
) -> Child:
    """Start a child that runs a program, and may write into the folder."""
    settings, _ = load({"data_dir": folder}, {})
    setup = Setup(
        settings=settings,
        database_url="postgresql://nowhere",
        runtime=folder,
        committer_socket=folder / "committer.sock",
        listener=listener,
        replaces=replaces,
    )
    return Child("annals: test", program, setup)


def until(holds: Callable[[], Any]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(started: Child) -> int | None:
    """Wait for the end of a child; returns its exit code."""
    until(lambda: started.exit_code is not None)
    return started.exit_code


def _serve(setup: Setup) -> None:
    """Write the process's id into a file, and wait for the pipe to be closed; then end in order."""
    lifeline = Lifeline(grace_seconds=SECONDS)
    lifeline.on_end = lambda: os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    (setup.runtime / "partial").write_text(str(os.getpid()))
    (setup.runtime / "partial").replace(setup.runtime / f"served-{os.getpid()}")
    while True:
        time.sleep(SECONDS)


def open_files(process: int) -> list[str]:
    """Return the kinds of the open files of a process, without those of its metrics."""
    links = [os.readlink(each) for each in Path(f"/proc/{process}/fd").iterdir()]  # noqa: PTH115
    return sorted(link.partition(":")[0] for link in links if not link.endswith(".db"))


def served(folder: Path) -> list[int]:
    """Return the ids of the children that serve or have served."""
    return sorted(int(each.name.removeprefix("served-")) for each in folder.glob("served-*"))


def codes(folder: Path) -> dict[str, int | None]:
    """Return the exit codes of children, by the way in which they end."""

    def fails(_: Setup) -> None:
        raise ValueError("it fails")

    def fails_in_a_thread(_: Setup) -> None:
        threading.Thread(target=lambda: fails(_)).start()
        time.sleep(SECONDS)

    def is_killed(_: Setup) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    stopped = child(folder, _serve)
    until(lambda: served(folder))
    stopped.ask_to_stop()
    return {
        "returns": ended(child(folder, lambda _: None)),
        "fails": ended(child(folder, fails)),
        "fails in a thread": ended(child(folder, fails_in_a_thread)),
        "exits": ended(child(folder, lambda _: sys.exit("it says why"))),
        "is killed": ended(child(folder, is_killed)),
        "stops": ended(stopped),
    }


def ignores_the_pipe(folder: Path) -> int | None:
    """Return the exit code of a child that does not end when it is asked to."""

    def ignores(_: Setup) -> None:
        time.sleep(SECONDS)

    started = child(folder, ignores)
    started.ask_to_stop()
    started.wait(time.monotonic() + 0.2)
    return started.exit_code


def restarts(folder: Path) -> dict[str, Any]:
    """Kill a child, and return the open files of its replacements and of this process afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = descriptors(os.getpid())
        children = Children(
            "a process", lambda how: child(folder, _serve, listener, how), 2, patience_seconds=SECONDS
        )
        children.start()
        until(lambda: len(served(folder)) == 2)
        killed = served(folder)[0]
        os.kill(killed, signal.SIGKILL)
        until(children.replace_dead)
        until(lambda: len(served(folder)) == 3)
        started = [pid for pid in served(folder) if pid != killed]
        inside = [open_files(pid) for pid in started]
        names = [name_of(pid) for pid in started]
        sessions = [os.getsid(pid) == pid for pid in started]
        children.end()
        return {
            "inside": inside,
            "names": names,
            "sessions": sessions,
            "left": [pid for pid in started if lives(pid)],
            "leaked": descriptors(os.getpid()) - before,
        }


def hangs(folder: Path) -> dict[str, Any]:
    """Stop one of two children that beat, and return what became of both, and what its successor is told."""

    def beats(setup: Setup) -> None:
        (setup.runtime / f"told-{os.getpid()}").write_text(json.dumps(setup.replaces))
        while True:
            setup.heartbeat.beat()
            (setup.runtime / f"served-{os.getpid()}").touch()
            time.sleep(0.05)

    children = Children("a process", lambda how: child(folder, beats, None, how), 2, patience_seconds=1.5)
    children.start()
    until(lambda: len(served(folder)) == 2)
    stopped, other = served(folder)
    os.kill(stopped, signal.SIGSTOP)
    until(children.replace_dead)
    until(lambda: len(served(folder)) == 3)
    [successor] = set(served(folder)) - {stopped, other}
    found = {
        "lives": [lives(stopped), lives(other), lives(successor)],
        "told": json.loads((folder / f"told-{successor}").read_text()),
    }
    # Ended by the end of this process: they do not look at the pipe.
    for pid in (other, successor):
        os.kill(pid, signal.SIGKILL)
    children.end()
    return found


def supervisor_sleeps(folder: Path) -> int:
    """Return the number of children replaced by a supervisor that slept for longer than its patience."""

    def beats_once(setup: Setup) -> None:
        setup.heartbeat.beat()
        (setup.runtime / f"served-{os.getpid()}").touch()
        time.sleep(SECONDS)

    children = Children(
        "a process", lambda how: child(folder, beats_once, None, how), 1, patience_seconds=1.2
    )
    children.start()
    until(lambda: served(folder))
    children.replace_dead()
    time.sleep(1.5)
    replaced = children.replace_dead()
    [pid] = served(folder)
    os.kill(pid, signal.SIGKILL)
    children.end()
    return replaced


def ids(folder: Path) -> list[str]:
    """Return ids that this process and two forks mint: no fork may repeat random numbers of another."""
    made = [str(mint()) for _ in range(3)]

    def mints(setup: Setup) -> None:
        (setup.runtime / f"ids-{os.getpid()}").write_text(" ".join(str(mint()) for _ in range(100)))

    for started in [child(folder, mints) for _ in range(2)]:
        assert ended(started) == 0
    return made + [each for file in folder.glob("ids-*") for each in file.read_text().split()]


def files(folder: Path) -> list[bool]:
    """Return if the limit of open files is the highest allowed: before it is raised, after it, in a child."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard - 1), hard))

    def looks(setup: Setup) -> None:
        (setup.runtime / "files").write_text(str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))

    before, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_files()
    after, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert ended(child(folder, looks)) == 0
    return [each == hard for each in (before, after, int((folder / "files").read_text()))]


def second_committer(runtime: Path) -> int | None:
    """Return the exit code of a committer whose runtime folder already has a server's committer."""
    with socket.socket(socket.AF_UNIX) as listener:
        return ended(child(runtime, committer.run, listener))


def document_worker_dies(folder: Path) -> list[Any]:
    """Have a document worker do some work, die during some, and be replaced; returns what the caller gets."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "documents.sock"))
        listener.listen()
        children = Children(
            "a document worker",
            lambda how: child(folder, document_worker.run, listener, how),
            1,
            patience_seconds=SECONDS,
        )
        children.start()
        workers = DocumentWorkers(folder / "documents.sock")
        found: list[Any] = [workers.run(LARGE_BYTES, os.getpid) not in (0, os.getpid())]
        found.append(workers.run(LARGE_BYTES - 1, os.getpid) == os.getpid())
        try:
            workers.run(LARGE_BYTES, os._exit, 1)
        except Busy as error:
            found.append(error.code)
        until(children.replace_dead)
        found.append(workers.run(LARGE_BYTES, len, b"x" * LARGE_BYTES))
        children.end()
        return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))
