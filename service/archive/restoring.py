"""Restoring of archives: make rows searchable again, in a table of their own that names their archive."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.archive import reading
from service.archive.errors import ArchiveError
from service.archive.manifests import Manifest
from service.archive.reading import Seen
from service.archive.store import ArchiveStore
from service.audit import events
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Machine, Origin
from service.domain.ids import mint
from service.runtime.clock import Clock
from sql.database import OWNER_ROLE, PLATFORM, Database
from sql.queries import archive_restore

# Bytes of rows in one transaction.
BATCH_BYTES = 8 * 1024 * 1024
_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
ACTOR = "system:restore"
_ENDPOINT = "annals archive restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredArchive:
    """A restored archive: its number of rows, and how many of them were new to the table."""

    archive_id: UUID
    log: str
    table: str
    rows: int
    added: int


def table_of(log: str) -> str:
    """Return the default name of the table for restored rows of a log."""
    return f"restored_{log}"


def restore(
    database: Database,
    store: ArchiveStore,
    archives: Sequence[Manifest],
    *,
    into: str | None,
    clock: Clock,
    seen: Seen = int,
) -> Iterator[RestoredArchive]:
    """Check and restore each archive, as an audited event; rows restored before are not added again.

    Rows are added in parts of BATCH_BYTES, a transaction each. Raises ArchiveError if an archive is damaged
    or does not fit the table, and the errors of `sql.errors`.
    """
    origin = Origin(
        request_id=f"restore-{mint()}", ip_address=None, user_agent=None, endpoint=_ENDPOINT, method="RUN"
    )
    author = Machine(username=ACTOR, origin=origin)
    for manifest in archives:
        table = table_of(manifest.log) if into is None else into
        reading.check(store, manifest)
        names = [column.name for column in manifest.columns]
        _begin(database, author, manifest, table, names, clock())
        added = 0
        for lines in _parts(reading.blocks(store, manifest, seen)):
            with database.transaction(PLATFORM, role=OWNER_ROLE) as tx:
                added += archive_restore.add(tx, table, names, lines, manifest.archive_id, clock())
        yield RestoredArchive(
            archive_id=manifest.archive_id, log=manifest.log, table=table, rows=manifest.rows, added=added
        )


def _begin(
    database: Database, author: Machine, manifest: Manifest, table: str, names: list[str], at: datetime
) -> None:
    if not _NAME.fullmatch(table):
        raise ArchiveError(
            f"{table!r} is no name of a table: small letters, digits and _ make one, "
            "but for pg_ at its beginning"
        )
    if not names:
        raise ArchiveError(f"{manifest.file} is a file without rows: it can't be restored into a table")
    with database.transaction(PLATFORM, role=OWNER_ROLE) as tx:
        try:
            archive_restore.prepare(tx, manifest.log, table)
        except archive_restore.NotForRestoring as error:
            raise ArchiveError(str(error)) from None
        if unknown := archive_restore.unknown(tx, table, names):
            raise ArchiveError(
                f"archive {manifest.archive_id} has columns that {table} has not: {', '.join(unknown)}; "
                "restore it into another table"
            )
        about = {"log": manifest.log, "rows": manifest.rows, "into": table, "file": manifest.file}
        subject = Subject("archive", manifest.archive_id, manifest.log)
        events.record(tx, author, manifest.subscription_id, subject, Action.RESTORE, at, new=about)


def _parts(blocks: Iterator[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += len(block)
        if size >= BATCH_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
