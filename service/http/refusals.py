"""Record refusals and failures: in transactions of their own, before the answer is sent."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from service.audit import events
from service.domain import ids
from service.domain.resource_kinds import Kind
from service.runtime.coalescer import Coalescer
from service.runtime.metrics import UNRECORDED
from sql.database import PLATFORM, Database, Transaction
from sql.errors import DatabaseUnavailable
from sql.queries import audit_logs, resources
from sql.queries.audit_logs import AuditRow

log = structlog.get_logger(__name__)

# So many rows wait only if the database does not answer. Further rows are counted as lost, and their answers
# are sent at once.
MAX_WAITING = 1_000
# The longest time that an answer waits for its record.
WAIT_SECONDS = 2.0


class RefusalRecorder:
    """Write rows that arrive at the same time in one transaction; each event loop has its own recorder.

    A flood of bad keys thus costs one thread and one connection.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: Coalescer[AuditRow, None] = Coalescer("refusals", self._write)

    async def record(self, row: AuditRow) -> None:
        """Write a row, or count it as lost if the database is too slow: the caller has to be answered."""
        if self._rows.waiting >= MAX_WAITING:
            _lost(1, "too many wait already")
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await self._rows.result(row)

    async def close(self) -> None:
        """Write the rows that wait, and end the thread."""
        await self._rows.close()

    def _write(self, rows: Sequence[AuditRow]) -> list[None]:
        """Write rows in one transaction, or each in its own if one row fails; raises nothing."""
        try:
            with self._database.transaction(PLATFORM) as tx:
                audit_logs.insert_rows(tx, [_placed(tx, row) for row in rows])
        except Exception as error:  # noqa: BLE001 - after any error, the callers have to be answered
            if len(rows) == 1 or isinstance(error, DatabaseUnavailable):
                _lost(len(rows), repr(error))
            else:
                for row in rows:
                    self._write([row])
        return [None] * len(rows)


def _placed(tx: Transaction, row: AuditRow) -> AuditRow:
    """Row with the name and place of its resource, if the resource exists."""
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
