"""Items that come at once are carried out together, each with its own result or the error of its batch."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from service.runtime.coalescer import Coalescer


class Worker:
    """Doubles numbers, once it is let; refuses a batch with a zero."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_work = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        assert self.may_work.wait(60)
        self.batches.append(list(items))
        if 0 in items:
            raise ValueError("zero")
        return [2 * item for item in items]


async def waiting(coalescer: Coalescer[int, int], items: Sequence[int]) -> list[asyncio.Task[int]]:
    """Tasks that wait for items, in a batch after the one that is under way."""
    tasks = [asyncio.create_task(coalescer.result(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


def test_items_that_come_during_a_batch_share_the_next() -> None:
    worker = Worker()

    async def run() -> None:
        coalescer = Coalescer("test", worker)
        [first] = await waiting(coalescer, [1])
        await asyncio.sleep(0)
        rest = await waiting(coalescer, [2, 3, 4])
        assert coalescer.waiting == 3
        worker.may_work.set()
        assert await asyncio.gather(first, *rest) == [2, 4, 6, 8]
        await coalescer.close()

    asyncio.run(run())
    assert worker.batches == [[1], [2, 3, 4]]


def test_the_error_of_a_batch_is_that_of_each_of_its_items_and_of_no_other() -> None:
    worker = Worker()

    async def run() -> None:
        coalescer = Coalescer("test", worker)
        [first] = await waiting(coalescer, [1])
        await asyncio.sleep(0)
        rest = await waiting(coalescer, [0, 3])
        worker.may_work.set()
        assert await first == 2
        for task in rest:
            with pytest.raises(ValueError, match="zero"):
                await task
        assert await coalescer.result(5) == 10
        await coalescer.close()

    asyncio.run(run())


def test_an_item_is_carried_out_though_its_caller_gave_up_and_close_waits_for_it() -> None:
    worker = Worker()

    async def run() -> None:
        coalescer = Coalescer("test", worker)
        [first] = await waiting(coalescer, [1])
        await asyncio.sleep(0)
        [second, third] = await waiting(coalescer, [2, 3])
        second.cancel()
        worker.may_work.set()
        await coalescer.close()
        assert (await first, await third) == (2, 6)
        assert second.cancelled()

    asyncio.run(run())
    assert worker.batches == [[1], [2, 3]]
