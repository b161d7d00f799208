"""Origins whose pages may call a subscription in browsers: read them for many requests at once."""

import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

import structlog

from service.runtime.coalescer import Coalescer
from sql.database import PLATFORM, Database, Transaction
from sql.errors import DatabaseError
from sql.pipelines import Later
from sql.queries import tenancy
from sql.queries.tenancy import AllowedOrigins

# A change counts in other processes after this time.
FRESH_SECONDS = 5.0
# Anybody may ask for any id; each entry has some 200 bytes.
MAX_REMEMBERED = 10_000

_NONE: frozenset[str] = frozenset()

log = structlog.get_logger(__name__)


class OriginReader:
    """Origins by subscription, remembered for FRESH_SECONDS; for one event loop.

    A subscription that does not exist allows none, and takes as long to look for.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._reads: Coalescer[UUID, frozenset[str]] = Coalescer("origins", self._read)
        self._known: OrderedDict[UUID, tuple[float, frozenset[str]]] = OrderedDict()

    async def origins(self, subscription_id: UUID) -> frozenset[str]:
        """Origins that the subscription allows; the last known ones if the database does not answer."""
        read_at, known = self._known.get(subscription_id, (None, _NONE))
        if read_at is not None and self._monotonic() - read_at < FRESH_SECONDS:
            return known
        now = self._monotonic()
        try:
            found = await self._reads.result(subscription_id)
        except DatabaseError as error:
            # The answer itself tells the client, if the origin was known before.
            log.warning("the origins of a subscription could not be read", error=repr(error))
            return known
        self._known[subscription_id] = (now, found)
        self._known.move_to_end(subscription_id)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return found

    def forget(self, subscription_id: UUID) -> None:
        """Read the origins of a subscription anew; any thread may call this."""
        self._known.pop(subscription_id, None)

    async def close(self) -> None:
        """End the thread."""
        await self._reads.close()

    def _read(self, subscription_ids: list[UUID]) -> list[frozenset[str]]:
        asked: list[Later[AllowedOrigins]] = []

        def ask(tx: Transaction) -> None:
            asked.append(tenancy.ALLOWED_ORIGINS.send(tx, ids=list(set(subscription_ids))))

        with self._database.transaction(PLATFORM, first=ask):
            found = {row.subscription_id: frozenset(row.cors_origins) for row in asked[0]()}
        return [found.get(subscription_id, _NONE) for subscription_id in subscription_ids]
