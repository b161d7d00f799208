"""Processes that are started beside an event loop."""

import asyncio
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gitstore.serve.processes import Process, Starter
from gitstore.serve.starter import NICENESS
from tests.support.process_table import children, descriptors, lives, starters

ENVIRONMENT = {"PATH": os.environ["PATH"]}
# Place of the scheduling policy among the fields of /proc/<pid>/stat (proc(5)).
POLICY = 40
USER = """
import asyncio, sys
from gitstore.serve.processes import Starter

async def main():
    starter = Starter()
    process = await starter.start([sys.argv[1], "60"], {})
    print("started", flush=True)
    await process.wait()

asyncio.run(main())
"""


@pytest.fixture
def others() -> list[int]:
    """The starters of this process that belong to other tests: their servers may have one."""
    return starters(os.getpid())


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


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    """`sleep` under a name that no other process has."""
    return Path(shutil.copy("/bin/sleep", tmp_path / "sleeper"))


def running(program: Path) -> bool:
    """Check whether a process runs a program."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "exe").readlink() == program:
                return True
    return False


async def parent_and_child(starter: Starter) -> tuple[Process, tuple[int, int]]:
    """A process with a child that does not notice when nobody reads from it, and the ids of both."""
    process = await starter.start(["sh", "-c", "sleep 60 & echo $$ $!; wait"], ENVIRONMENT)
    parent, child = map(int, (await process.stdout.readline()).split())
    return process, (parent, child)


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


def test_what_python_ignores_is_not_ignored_by_what_it_starts(starter: Starter) -> None:
    async def test() -> None:
        process = await starter.start(["grep", "SigIgn", "/proc/self/status"], ENVIRONMENT)
        _, printed, _ = await over(process)
        ignored = int(printed.split()[1], 16)
        assert not any(ignored >> number - 1 & 1 for number in (signal.SIGPIPE, signal.SIGXFSZ))

    asyncio.run(test())


def test_it_has_its_streams_open_and_nothing_else(starter: Starter) -> None:
    async def test() -> None:
        others = [await starter.start(["cat"], ENVIRONMENT) for _ in range(3)]
        process = await starter.start(["ls", "/proc/self/fd"], ENVIRONMENT)
        # The last is that of the folder.
        assert (await over(process))[1].split() == [b"0", b"1", b"2", b"3"]
        for other in others:
            await over(other)

    asyncio.run(test())


def test_a_process_is_waited_for_though_nobody_asks(starter: Starter) -> None:
    async def test() -> None:
        process = await starter.start(["sh", "-c", "echo $$"], ENVIRONMENT)
        number = int(await process.stdout.read())
        assert await soon(lambda: not Path(f"/proc/{number}").exists())
        process.close()

    asyncio.run(test())


def test_killed_it_ends_with_what_it_started(starter: Starter) -> None:
    async def test() -> None:
        process, both = await parent_and_child(starter)
        process.kill()
        process.kill()
        assert await process.wait() == -signal.SIGKILL
        assert await soon(lambda: not any(map(lives, both)))
        process.close()

    asyncio.run(test())


def test_what_it_left_behind_ends_with_it(starter: Starter) -> None:
    async def test() -> None:
        process = await starter.start(["sh", "-c", "sleep 60 >&- 2>&- & echo $!"], ENVIRONMENT)
        status, printed, _ = await over(process)
        assert status == 0
        assert await soon(lambda: not lives(int(printed)))

    asyncio.run(test())


def test_a_start_that_is_cancelled_leaves_no_process(starter: Starter, sleeper: Path) -> None:
    async def test() -> None:
        process = await starter.start([str(sleeper), "60"], ENVIRONMENT)
        assert running(sleeper)
        process.kill()
        process.close()
        await process.wait()
        starting = asyncio.create_task(starter.start([str(sleeper), "60"], ENVIRONMENT))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        # The next start happens after that.
        assert (await over(await starter.start(["true"], ENVIRONMENT)))[0] == 0
        assert await soon(lambda: not running(sleeper))

    asyncio.run(test())


def test_a_starter_that_dies_takes_its_processes_along_and_is_replaced(
    starter: Starter, others: list[int]
) -> None:
    async def test() -> None:
        process, both = await parent_and_child(starter)
        [former] = starters(os.getpid(), but=others)
        os.kill(former, signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        assert await process.stdout.read() == b""
        assert await soon(lambda: not any(map(lives, both)))
        process.kill()
        process.close()
        assert (await over(await starter.start(["true"], ENVIRONMENT)))[0] == 0
        [program] = starters(os.getpid(), but=others)
        assert program != former

    asyncio.run(test())


def test_a_starter_that_dies_while_it_is_asked_is_told(starter: Starter, others: list[int]) -> None:
    async def test() -> None:
        assert (await over(await starter.start(["true"], ENVIRONMENT)))[0] == 0
        [program] = starters(os.getpid(), but=others)
        os.kill(program, signal.SIGSTOP)
        starting = asyncio.create_task(starter.start(["true"], ENVIRONMENT))
        await asyncio.sleep(0.05)
        os.kill(program, signal.SIGKILL)
        with pytest.raises(OSError, match="no answer"):
            await starting
        assert (await over(await starter.start(["true"], ENVIRONMENT)))[0] == 0

    asyncio.run(test())


async def fewest_descriptors(program: int) -> int:
    """Count the open files of a program once it has closed those of ended processes."""
    seen = []
    for _ in range(10):
        seen.append(descriptors(program))
        await asyncio.sleep(0.02)
    return min(seen)


def test_a_starter_without_room_for_more_files_refuses_and_goes_on(
    starter: Starter, others: list[int]
) -> None:
    async def test() -> None:
        assert (await over(await starter.start(["true"], ENVIRONMENT)))[0] == 0
        [program] = starters(os.getpid(), but=others)
        open_files = await fewest_descriptors(program)
        before = resource.prlimit(program, resource.RLIMIT_NOFILE)
        # None of the four descriptors, some of them, all but not one for watching.
        for more in (0, 2, 4):
            resource.prlimit(program, resource.RLIMIT_NOFILE, (open_files + more, before[1]))
            with pytest.raises(OSError, match=r"no answer|Too many open files"):
                await starter.start(["sleep", "60"], ENVIRONMENT)
        resource.prlimit(program, resource.RLIMIT_NOFILE, before)
        assert (await over(await starter.start(["true"], ENVIRONMENT)))[0] == 0
        assert starters(os.getpid(), but=others) == [program]
        assert children(program) == []

    asyncio.run(test())


def test_who_closes_the_starter_ends_what_runs(starter: Starter, others: list[int]) -> None:
    async def test() -> None:
        process, both = await parent_and_child(starter)
        starter.close()
        assert await soon(lambda: not any(map(lives, both)))
        assert await process.wait() == -signal.SIGKILL
        process.close()
        assert starters(os.getpid(), but=others) == []

    asyncio.run(test())


def test_nothing_outlives_a_user_that_is_killed(sleeper: Path) -> None:
    async def test() -> None:
        command = [sys.executable, "-c", USER, str(sleeper)]
        user = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert user.stdout is not None
        assert await user.stdout.readline() == b"started\n"
        [program] = starters(user.pid)
        assert running(sleeper)
        user.kill()
        await user.wait()
        assert await soon(lambda: not running(sleeper) and not lives(program))

    asyncio.run(test())


def test_no_descriptor_stays_open(starter: Starter, tmp_path: Path, others: list[int]) -> None:
    async def some() -> tuple[int, int]:
        for _ in range(5):
            await over(await starter.start(["true"], ENVIRONMENT))
            with pytest.raises(FileNotFoundError):
                await starter.start([str(tmp_path / "nothing")], ENVIRONMENT)
            process = await starter.start(["cat"], ENVIRONMENT)
            process.kill()
            process.close()
            await process.wait()
        # Transports close in the loop's next turns.
        await asyncio.sleep(0.1)
        [program] = starters(os.getpid(), but=others)
        return descriptors(os.getpid()), descriptors(program)

    async def test() -> None:
        ours, theirs = await some()
        ours_after, theirs_after = await some()
        # Servers that other tests have in this process open a connection now and then. A descriptor that
        # stays open would be five of them.
        assert ours_after - ours < 5
        assert theirs_after == theirs

    asyncio.run(test())


def test_what_it_starts_takes_no_processor_from_others_when_it_wakes(starter: Starter) -> None:
    async def test() -> None:
        process = await starter.start(["sh", "-c", "read a; cat /proc/self/stat"], ENVIRONMENT)
        process.stdin.write(b"\n")
        _, printed, _ = await over(process)
        assert int(printed.split()[POLICY]) == os.SCHED_BATCH

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
