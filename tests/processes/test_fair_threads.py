"""Threads that keys take in turns."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from service.runtime.fair_threads import FairThreads


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())


class Work:
    """Work that begins, and then waits until it may end."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.began.set()
        self.may_end.wait(60)
        return threading.current_thread().name

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.began.wait, 60)


def test_one_key_waits_for_its_own_work_and_not_for_that_of_another() -> None:
    async def test() -> None:
        threads = FairThreads(2, each=1)
        first, second, other = Work(), Work(), Work()
        tasks = [asyncio.create_task(threads.run("a", work)) for work in (first, second)]
        await first.has_begun()
        tasks.append(asyncio.create_task(threads.run("b", other)))
        await other.has_begun()
        assert not second.began.is_set()
        first.may_end.set()
        await second.has_begun()
        for work in (second, other):
            work.may_end.set()
        assert all(await asyncio.gather(*tasks))

    run(test)


def test_work_that_nobody_waits_for_any_more_is_not_begun() -> None:
    async def test() -> None:
        threads = FairThreads(2, each=1)
        first, given_up, last = Work(), Work(), Work()
        tasks = [asyncio.create_task(threads.run("a", work)) for work in (first, given_up, last)]
        await first.has_begun()
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        for work in (first, last):
            work.may_end.set()
        assert await tasks[0]
        assert await tasks[2]
        assert not given_up.began.is_set()

    run(test)


def test_an_error_gives_the_thread_back() -> None:
    def fail() -> None:
        raise LookupError

    async def test() -> None:
        threads = FairThreads(2, each=1)
        for _ in range(3):
            with pytest.raises(LookupError):
                await threads.run("a", fail)

    run(test)
