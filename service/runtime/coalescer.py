"""Carry out the waiting items of one event loop in batches: one call in one thread for a whole batch."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Coalescer(Generic[Item, Result]):
    """Carry items out in batches, one batch at a time; `carry_out` returns one result for each item.

    While a batch is under way, new items wait for the next batch; under load this makes batches large. After
    a batch of several items the next batch begins `gather_seconds` later, to gather more items. After a batch
    of one item there is no such pause.
    """

    def __init__(
        self,
        name: str,
        carry_out: Callable[[list[Item]], Sequence[Result]],
        *,
        gather_seconds: float = 0,
    ) -> None:
        self._carry_out = carry_out
        self._gather_seconds = gather_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._working: asyncio.Task[None] | None = None
        self._is_busy = False

    @property
    def waiting(self) -> int:
        """The number of items that no batch has taken yet."""
        return len(self._waiting)

    async def result(self, item: Item) -> Result:
        """Carry an item out; raises the error of its batch.

        An item whose caller gives up is carried out nevertheless.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await future

    async def close(self) -> None:
        """Carry out the waiting items, and end the thread."""
        if self._working is not None:
            await self._working
        self._thread.shutdown()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if self._is_busy and self._gather_seconds:
                await asyncio.sleep(self._gather_seconds)
            batch, self._waiting = self._waiting, []
            self._is_busy = len(batch) > 1
            items = [item for item, _ in batch]
            try:
                results = await loop.run_in_executor(self._thread, self._carry_out, items)
            except Exception as error:  # noqa: BLE001 - each caller of the batch gets the error
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
