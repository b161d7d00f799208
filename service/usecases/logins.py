"""Logins: the first use of each key in each hour of the clock (UTC) is recorded as a login."""

from datetime import datetime
from uuid import UUID

import anyio.to_thread

from service.audit import events
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Caller
from service.runtime.clock import Clock
from sql.database import PLATFORM, Database
from sql.queries import tenancy


class LoginRecorder:
    """Records logins. Remembers the keys used in this hour; the database has other processes' logins."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._hour: datetime | None = None
        self._noted: set[UUID] = set()

    async def note(self, caller: Caller, key_id: UUID) -> None:
        """Record a login unless the key has one in this hour; raises the errors of `sql.errors`.

        Of several requests at once, one waits for the record, and fails if the record can't be made.
        """
        hour = self._clock().replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour, self._noted = hour, set()
        if key_id in self._noted:
            return
        noted = self._noted
        noted.add(key_id)
        try:
            await anyio.to_thread.run_sync(self._record, caller, key_id, hour)
        except BaseException:
            noted.discard(key_id)
            raise

    def _record(self, caller: Caller, key_id: UUID, hour: datetime) -> None:
        at = self._clock()
        with self._database.transaction(caller.subscription_id or PLATFORM) as tx:
            if tenancy.note_login(tx, key_id, at=at, since=hour):
                subject = Subject("api_key", key_id, None)
                events.record(tx, caller, caller.subscription_id, subject, Action.LOGIN, at)
