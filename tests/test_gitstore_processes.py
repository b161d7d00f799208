"""Processes that are started beside an event loop."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitstore.processes import Process, Starter
from gitstore.starter import NICENESS

ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def starter() -> Iterator[Starter]:
    starter = Starter()
    yield starter
    starter.close()


async def soon(condition: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


async def over(process: Process) -> tuple[int, bytes, bytes]:
    process.stdin.close()
    printed, complained = await asyncio.gather(process.stdout.read(), process.stderr.read())
    status = await process.wait()
    process.close()
    return status, printed, complained


def test_a_process_has_its_pipes_and_its_status(starter: Starter) -> None:
    async def test() -> None:
        process = await starter.start(["sh", "-c", "read a; echo $a; echo no >&2; exit 3"], ENVIRONMENT)
        process.stdin.write(b"yes\n")
        assert await over(process) == (3, b"yes\n", b"no\n")
        assert not process.runs
        process.kill()

    asyncio.run(test())


def test_what_can_not_be_started_is_told(starter: Starter, tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(FileNotFoundError):
            await starter.start([str(tmp_path / "nothing")], ENVIRONMENT)

    asyncio.run(test())


def test_a_process_is_waited_for_though_nobody_asks(starter: Starter) -> None:
    async def test() -> None:
        process = await starter.start(["sh", "-c", "echo $$"], ENVIRONMENT)
        number = int(await process.stdout.read())
        assert await soon(lambda: not Path(f"/proc/{number}").exists())
        process.close()

    asyncio.run(test())


def test_a_start_that_is_cancelled_leaves_no_process(starter: Starter, tmp_path: Path) -> None:
    # A name that no other process has.
    program = tmp_path / "sleeper"
    shutil.copy("/bin/sleep", program)

    def running() -> bool:
        folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        return any(_program(folder) == program for folder in folders)

    async def test() -> None:
        starting = asyncio.create_task(starter.start([str(program), "60"], ENVIRONMENT))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        # The thread is one: what it does next, it does after that start.
        assert (await over(await starter.start(["true"], ENVIRONMENT)))[0] == 0
        assert await soon(lambda: not running())

    asyncio.run(test())


def test_it_gives_way_with_what_it_starts(starter: Starter) -> None:
    async def test() -> None:
        process = await starter.start(["sh", "-c", "read a; nice; cat /proc/self/autogroup"], ENVIRONMENT)
        process.stdin.write(b"\n")
        _, printed, _ = await over(process)
        own, *group = printed.decode().splitlines()
        assert int(own) == NICENESS
        if group and os.geteuid() == 0:
            assert group[0].endswith(f"nice {NICENESS}")

    asyncio.run(test())


def _program(folder: Path) -> Path | None:
    try:
        return (folder / "exe").readlink()
    except OSError:
        return None
