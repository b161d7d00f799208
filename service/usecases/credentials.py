"""Read what proves who calls, keys and sessions: requests that come together share one query."""

from uuid import UUID

from service.runtime.coalescer import Coalescer
from sql.database import PLATFORM, Database, Transaction
from sql.pipelines import Later
from sql.queries import tenancy, web_sessions
from sql.queries.tenancy import Credential
from sql.queries.web_sessions import FoundSession

# Seconds to wait for further requests. With 64 clients that save through two workers, each save then takes a
# sixth less of PostgreSQL's time.
GATHER_SECONDS = 0.004


class SessionReader:
    """Reads sessions of pages after a request arrived; for one event loop.

    Strangers with cookies that no session has keep one connection busy, and leave the others to tenants.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads: Coalescer[bytes, FoundSession | None] = Coalescer(
            "sessions", self._read, gather_seconds=GATHER_SECONDS
        )

    async def session(self, token_hash: bytes) -> FoundSession | None:
        """Read the session of a token, over or not, if it exists; raises the errors of `sql.errors`."""
        return await self._reads.result(token_hash)

    async def close(self) -> None:
        """End the thread."""
        await self._reads.close()

    def _read(self, token_hashes: list[bytes]) -> list[FoundSession | None]:
        asked: list[Later[FoundSession]] = []

        def ask(tx: Transaction) -> None:
            asked.append(web_sessions.FIND.send(tx, token_hashes=list(set(token_hashes))))

        with self._database.transaction(PLATFORM, first=ask):
            found = {bytes(each.token_hash): each for each in asked[0]()}
        return [found.get(token_hash) for token_hash in token_hashes]


class CredentialReader:
    """Reads credentials after a request arrived, so that a deleted key ends at once; for one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads: Coalescer[UUID | None, list[Credential]] = Coalescer(
            "credentials", self._read, gather_seconds=GATHER_SECONDS
        )

    async def candidates(self, key_id: UUID | None) -> list[Credential]:
        """Read the key of an id, if it exists, and the operator's key: at most two, to be compared by hash.

        Raises the errors of `sql.errors`.
        """
        return await self._reads.result(key_id)

    async def close(self) -> None:
        """End the thread."""
        await self._reads.close()

    def _read(self, key_ids: list[UUID | None]) -> list[list[Credential]]:
        asked: list[Later[Credential]] = []
        ids = list({key_id for key_id in key_ids if key_id is not None})

        def ask(tx: Transaction) -> None:
            asked.append(tenancy.CREDENTIALS.send(tx, ids=ids))

        with self._database.transaction(PLATFORM, first=ask):
            found = asked[0]()
        return [[c for c in found if c.key_id == key_id or c.subscription_id is None] for key_id in key_ids]
