"""Record refusals and failures in transactions of their own, before the answer; repeats are one row later."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import structlog

from service.audit import events
from service.audit.events import Subject
from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Caller, Origin
from service.domain.errors import AnnalsError
from service.domain.ids import SubscriptionId, mint
from service.domain.resource_kinds import Kind
from service.http.requests import network_of
from service.runtime import repeats
from service.runtime.clock import Clock
from service.runtime.coalescer import Coalescer
from service.runtime.metrics import UNRECORDED
from service.runtime.repeats import Repeats
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
# The time between two looks for windows of repeats that have ended.
SWEEP_SECONDS = 1.0
# So many rows of repeats are written together, so that the first row of another refusal waits for no more.
REPEATS_TOGETHER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Attempt that failed or was refused.

    `author` is None for an unknown caller. `is_known` tells if the subject is more than an unknown caller's
    words.
    """

    origin: Origin
    author: Caller | None
    subscription_id: SubscriptionId | None
    subject: Subject
    is_known: bool
    action: Action
    at: datetime
    status: Literal["failed", "unauthorized"]
    error: AnnalsError

    @property
    def likeness(self) -> repeats.Likeness:
        """Likeness by which repeats are found: caller, address, key, attempt and result."""
        network, author = network_of(self.origin.ip_address), self.author
        name = network if author is None else author.username
        reason = (self.status, type(self.error).code)
        about = self.subject.resource_id if self.is_known else None
        return repeats.Likeness(
            who=(self.subscription_id, author is None, name),
            what=(
                *(network, None if author is None else author.key_id),
                *(*reason, self.action, self.subject.resource_type, about),
            ),
            in_short=(self.subscription_id, None if author is None else name, *reason),
        )

    def row(self, *, is_exact: bool) -> AuditRow:
        """Row of this refusal, or of all that are equal in short, without what may differ among these."""
        made = events.refusal(
            self.origin,
            self.author,
            self.subscription_id,
            self.subject,
            self.action,
            self.at,
            status=self.status,
            error=f"{type(self.error).code}: {self.error.detail}",
        )
        if is_exact:
            return made
        made = replace(made, resource_id=None, api_endpoint=None)
        return replace(made, ip_address=None, user_agent=None) if self.author is None else made


class RefusalRecorder:
    """Write the first of equal refusals at once, and the number of its repeats when their window has ended.

    Rows that arrive at the same time share a transaction. A flood of bad keys thus costs one thread, one
    connection and two rows a minute. Each event loop has its own recorder.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._rows: Coalescer[AuditRow, None] = Coalescer("refusals", self._write)
        self._repeats: Repeats[AuditRow] = Repeats(clock)
        self._sweeping: asyncio.Task[None] | None = None
        self._begun: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    def begin(self, refusal: Refusal) -> None:
        """Record a refusal without being waited for."""
        task = asyncio.create_task(self.record(refusal))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    async def record(self, refusal: Refusal) -> None:
        """Write the row of a refusal, or count a repeat.

        The row is counted as lost if the database is too slow: the caller has to be answered.
        """
        beginning = self._repeats.beginning(refusal.likeness)
        if beginning is None:
            return
        row = refusal.row(is_exact=beginning.is_exact)
        self._repeats.begin(beginning, row)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._sweep())
        if self._rows.waiting >= MAX_WAITING:
            _lost(1, "too many wait already")
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await self._rows.result(row)

    async def close(self) -> None:
        """Write the rows that wait and the repeats that are counted, and end the thread."""
        self._closing.set()
        await asyncio.gather(*self._begun)
        if self._sweeping is not None:
            await self._sweeping
        await self._write_repeats(also_open=True, together=MAX_WAITING)
        await self._rows.close()

    async def _sweep(self) -> None:
        while self._repeats and not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._closing.wait()
            await self._write_repeats()

    async def _write_repeats(self, *, also_open: bool = False, together: int = REPEATS_TOGETHER) -> None:
        # Rows have the time of their writing, so that who reads by time misses none.
        now = self._clock()
        rows = [
            replace(found.first, audit_id=mint(), created_at=now, occurrences=found.occurrences)
            for found in self._repeats.ended(also_open=also_open)
        ]
        for start in range(0, len(rows), together):
            part = rows[start : start + together]
            await asyncio.gather(*(self._rows.result(row) for row in part))

    def _write(self, rows: Sequence[AuditRow]) -> list[None]:
        """Write rows in one transaction, or each in its own if one row fails; raises nothing."""
        try:
            with self._database.transaction(PLATFORM) as tx:
                audit_logs.insert_rows(tx, [_placed(tx, row) for row in rows])
        except Exception as error:  # noqa: BLE001 - after any error, the callers have to be answered
            if len(rows) == 1 or isinstance(error, DatabaseUnavailable):
                _lost(sum(row.occurrences for row in rows), repr(error))
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


def _lost(refusals: int, why: str) -> None:
    UNRECORDED.inc(refusals)
    log.error("refusals could not be recorded", refusals=refusals, error=why)
