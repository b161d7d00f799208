"""Reading what API keys stand for: requests that come together share one query."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from sql.database import PLATFORM, Database, Transaction
from sql.pipelines import Later
from sql.queries import tenancy
from sql.queries.tenancy import Credential

# Seconds. With 64 clients that save through two workers PostgreSQL takes a sixth less for each save.
GATHER_SECONDS = 0.004

_Waiting = tuple[UUID | None, "asyncio.Future[list[Credential]]"]


class CredentialReader:
    """Asks the database after each request came, so that a deleted key is gone at once; for one event loop.

    While one query is under way, what comes meanwhile waits for the next: under load that is many requests.
    After a query for several the next lets some more come first; a client alone waits once at the most.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="credentials")
        self._waiting: list[_Waiting] = []
        self._reading: asyncio.Task[None] | None = None
        self._is_busy = False

    async def candidates(self, key_id: UUID | None) -> list[Credential]:
        """The key of that id where there is one, and the operator's: at most two, to be compared by hash.

        Raises the errors of `sql.errors`.
        """
        future: asyncio.Future[list[Credential]] = asyncio.get_running_loop().create_future()
        self._waiting.append((key_id, future))
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all())
        return await future

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown()

    async def _read_all(self) -> None:
        while self._waiting:
            if self._is_busy:
                await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting, []
            self._is_busy = len(batch) > 1
            ids = {key_id for key_id, _ in batch if key_id is not None}
            try:
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._thread, self._read, list(ids))
            except Exception as error:  # noqa: BLE001 - it is the answer to each of them
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for key_id, future in batch:
                if not future.done():
                    future.set_result([c for c in found if c.key_id == key_id or c.subscription_id is None])

    def _read(self, key_ids: Sequence[UUID]) -> list[Credential]:
        asked: list[Later[Credential]] = []

        def ask(tx: Transaction) -> None:
            asked.append(tenancy.CREDENTIALS.send(tx, ids=key_ids))

        with self._database.transaction(PLATFORM, first=ask):
            return asked[0]()
