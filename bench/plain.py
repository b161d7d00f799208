"""The reference of a large deletion and its restore: plain SQL, and one commit by `git fast-import`.

The statements change the same rows as the service does, one statement for each kind of row. They run on a
separate tree in the same database, in one transaction and one round trip, as a superuser whom no policy
restricts. The commit is written into a copy of that tree's repository, whose configuration makes git fsync
its writes.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg

from bench import reference
from bench.service import Database
from service.domain.ids import mint

_HERE = Path(__file__)
_DELETE = _HERE.with_name("plain_delete.sql").read_bytes()
_RESTORE = _HERE.with_name("plain_restore.sql").read_bytes()


class Plain:
    """A tree in rows and in a repository, which only the reference changes."""

    def __init__(self, database: Database, repository: Path, subscription_id: str, workspace: str) -> None:
        self.subscription_id = subscription_id
        self.repository = repository
        # This cursor puts parameters into the text, so that several statements take one round trip.
        self._connection = psycopg.connect(database.url, autocommit=True, cursor_factory=psycopg.ClientCursor)
        self._user_id: UUID = database.value(
            "SELECT user_id FROM users WHERE subscription_id = %s ORDER BY username LIMIT 1", subscription_id
        )
        self._workspace = workspace
        self._deletion_id = mint()
        listed = reference.git(repository, "ls-tree", "-r", "main").splitlines()
        self._blobs = {path: head.split()[2] for head, _, path in (line.partition("\t") for line in listed)}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def delete(self) -> float:
        """Delete the tree; returns the seconds that it took."""
        self._deletion_id = mint()
        return self._change(dict.fromkeys(self._blobs), _DELETE)

    def restore(self) -> float:
        """Restore the last deletion; returns the seconds that it took."""
        return self._change(self._blobs, _RESTORE)

    def _change(self, places: Mapping[str, str | None], statements: bytes) -> float:
        in_git, _ = reference.fast_import(self.repository, reference.change_of(places))
        values = {
            "subscription": UUID(self.subscription_id),
            "workspace": UUID(self._workspace),
            "deletion": self._deletion_id,
            "user": self._user_id,
            "at": datetime.now(UTC),
            "commit": reference.git(self.repository, "rev-parse", "main"),
        }
        began = time.perf_counter()
        self._connection.execute(statements, values)
        return in_git + time.perf_counter() - began
