"""The record of what was refused or failed: in transactions of its own, before the answer is sent."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog

from service.audit import events
from service.domain import ids
from service.domain.resource_kinds import Kind
from service.runtime.metrics import UNRECORDED
from sql.database import PLATFORM, Database, Transaction
from sql.errors import DatabaseUnavailable
from sql.queries import audit_logs, resources
from sql.queries.audit_logs import AuditRow

log = structlog.get_logger(__name__)

# More than that wait only while the database does: then the answer goes out, and the row is counted as lost.
MAX_WAITING = 1_000
# What an answer waits for its record, when the database does not answer.
WAIT_SECONDS = 2.0


class RefusalRecorder:
    """Writes the rows that come while one transaction is under way by the next; for one event loop.

    A flood of bad keys thus costs one thread and one connection.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refusals")
        self._waiting: list[tuple[AuditRow, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, row: AuditRow) -> None:
        """Write a row; where that can't be done in time, count it: the caller has to be answered."""
        if len(self._waiting) >= MAX_WAITING:
            _lost(1, "too many wait already")
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        await asyncio.wait([written], timeout=WAIT_SECONDS)

    async def close(self) -> None:
        """Write what waits, and let go of the thread."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(self._thread, self._write, [row for row, _ in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is, the callers have to be answered
                _lost(len(batch), repr(error))
            for _, written in batch:
                if not written.done():
                    written.set_result(None)

    def _write(self, rows: Sequence[AuditRow]) -> None:
        try:
            with self._database.transaction(PLATFORM) as tx:
                audit_logs.insert_rows(tx, [_placed(tx, row) for row in rows])
        except DatabaseUnavailable:
            raise
        except Exception:
            # One that can't be stored takes no other with it.
            if len(rows) == 1:
                raise
            for row in rows:
                self._write_alone(row)

    def _write_alone(self, row: AuditRow) -> None:
        try:
            self._write([row])
        except Exception as error:  # noqa: BLE001 - the next one may be written
            _lost(1, repr(error))


def _placed(tx: Transaction, row: AuditRow) -> AuditRow:
    """The row with the name and place of the resource that it is about, where there is one."""
    resource_id = ids.parse(row.resource_id or "")
    if row.subscription_id is None or row.resource_type not in frozenset(Kind) or resource_id is None:
        return row
    found = resources.find(tx, row.subscription_id, row.resource_type, resource_id)
    if found is None:
        return row
    name = events.name(found.name, events.MAX_NAME)
    return replace(row, resource_name=name, workspace_id=found.workspace_id, folder_id=found.folder_id)


def _lost(rows: int, why: str) -> None:
    UNRECORDED.inc(rows)
    log.error("refusals could not be recorded", rows=rows, error=why)
