"""Writing of archives: first the file, which is then read again to check it, and last its manifest."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Executable

from service.archive import manifests, ndjson, parquet, reading
from service.archive.errors import ArchiveStopped
from service.archive.manifests import Manifest
from service.archive.store import ArchiveStore, Sink
from service.domain.calendar import FIRST, LAST
from service.domain.ids import mint
from sql.database import Transaction
from sql.queries import archives, schema
from sql.queries.archives import ArchiveBatch

_FILE_READ_BYTES = 1024 * 1024
_NAME_OF_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whole rows of a table, by a query with its values in it (a select, or a text with `bindparams`).

    `log` is the table. `range_start` and `range_end`, which is exclusive, are the range of the query.
    `time_column` is never null in a row; if it is None, the archive has no oldest and newest time.
    `subscription_id` is set if all rows belong to one subscription.
    """

    log: str
    rows: Executable
    range_start: datetime
    range_end: datetime
    time_column: str | None = "created_at"
    subscription_id: UUID | None = None


def write(
    tx: Transaction,
    store: ArchiveStore,
    source: Source,
    *,
    at: datetime,
    run_id: UUID | None = None,
    stop: Event | None = None,
) -> Manifest | None:
    """Copy the rows that a transaction sees into a new archive.

    If there are no rows, nothing is written and None is returned. A returned archive is durable, and was read
    again. Only a few MiB of it are in memory at a time. Raises ArchiveError, and ArchiveStopped soon after
    `stop` is set. After an error there is no archive, since a file without a manifest is not one. The caller
    adds the archive's row with `record`.
    """
    columns = archives.columns_of(tx, source.rows)
    revision = schema.state(tx).revision or ""
    is_parquet = store.format == parquet.SUFFIX
    suffix = parquet.SUFFIX if is_parquet else ndjson.SUFFIX
    name = _FileName(source.log, source.range_start, source.range_end, suffix)
    stop = stop or Event()
    counted = _RowCounter(stop)
    rows = archives.batches(
        tx, source.rows, source.time_column, as_text=is_parquet, rows_per_second=store.rows_per_second
    )
    # Closed on errors, too, because the connection is in the middle of a COPY.
    with closing(rows) as batches:
        first = next(batches, None)
        if first is None:
            return None
        blocks = counted.blocks(chain([first], batches))

        def fill(sink: _HashingSink) -> None:
            if is_parquet:
                parquet.encode(blocks, columns, sink)
            else:
                ndjson.encode(blocks, sink)

        written = _written(store, name, fill)
    has_times = source.time_column is not None
    return _sealed(
        store,
        Manifest(
            archive_id=written.archive_id,
            log=source.log,
            subscription_id=source.subscription_id,
            range_start=source.range_start,
            range_end=source.range_end,
            time_column=source.time_column,
            oldest=counted.oldest if has_times else None,
            newest=counted.newest if has_times else None,
            rows=counted.rows,
            format=store.format,
            file=written.file,
            bytes=written.size,
            sha256=written.sha256,
            schema_version=revision,
            columns=tuple(columns),
            made_at=at,
            run_id=run_id,
        ),
        stop,
    )


def write_file(
    store: ArchiveStore,
    path: Path,
    *,
    log: str,
    suffix: str,
    subscription_id: UUID,
    range_start: datetime,
    range_end: datetime,
    at: datetime,
    run_id: UUID | None = None,
    stop: Event | None = None,
) -> Manifest:
    """Copy a file unchanged into a new archive; its manifest has no rows, and the suffix as the format.

    Raises the errors of `write`, and OSError if the file cannot be opened.
    """
    stop = stop or Event()

    def copy(sink: _HashingSink) -> None:
        while part := source.read(_FILE_READ_BYTES):
            _check_stop(stop)
            sink.write(part)

    with path.open("rb") as source:
        written = _written(store, _FileName(log, range_start, range_end, suffix), copy)
    return _sealed(
        store,
        Manifest(
            archive_id=written.archive_id,
            log=log,
            subscription_id=subscription_id,
            range_start=range_start,
            range_end=range_end,
            time_column=None,
            oldest=None,
            newest=None,
            rows=0,
            format=suffix,
            file=written.file,
            bytes=written.size,
            sha256=written.sha256,
            schema_version="",
            columns=(),
            made_at=at,
            run_id=run_id,
        ),
        stop,
    )


def record(tx: Transaction, store: ArchiveStore, manifest: Manifest) -> None:
    """Add the row of an archive; the transaction's role may be the service's or retention's."""
    archives.add(
        tx,
        archive_id=manifest.archive_id,
        log=manifest.log,
        subscription_id=manifest.subscription_id,
        range_start=manifest.range_start,
        range_end=manifest.range_end,
        rows=manifest.rows,
        bytes=manifest.bytes,
        sha256=manifest.sha256,
        location=store.location(manifest.file),
        run_id=manifest.run_id,
        made_at=manifest.made_at,
    )


def withdraw(store: ArchiveStore, manifest: Manifest) -> None:
    """Try to delete an archive whose rows stay in the database; if that fails, the rows are in both."""
    store.delete(manifest.path)
    store.delete(manifest.file)


@dataclass(frozen=True, slots=True)
class _FileName:
    """The parts of a file's name."""

    log: str
    range_start: datetime
    range_end: datetime
    suffix: str

    def of(self, archive_id: UUID) -> str:
        start = self.range_start.astimezone(UTC)
        span = f"{start:{_NAME_OF_TIME}}-{self.range_end.astimezone(UTC):{_NAME_OF_TIME}}"
        return f"{self.log}/{start:%Y/%m}/{span}-{archive_id}.{self.suffix}"


@dataclass(slots=True)
class _HashingSink:
    """A sink that passes the bytes of a file to the store, and computes their number and digest."""

    writer: Sink
    size: int = 0
    digest: Any = field(default_factory=sha256)

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)
        self.writer.write(data)


@dataclass(slots=True)
class _RowCounter:
    """Counts the rows that pass, and their first and last time; raises ArchiveStopped if asked to stop."""

    stop: Event
    rows: int = 0
    oldest: datetime = LAST
    newest: datetime = FIRST

    def blocks(self, batches: Iterable[ArchiveBatch]) -> Iterator[bytes]:
        for batch in batches:
            _check_stop(self.stop)
            self.rows += batch.rows
            self.oldest = min(self.oldest, batch.oldest)
            self.newest = max(self.newest, batch.newest)
            yield batch.lines


class _WrittenFile(NamedTuple):
    archive_id: UUID
    file: str
    size: int
    sha256: str


def _written(store: ArchiveStore, name: _FileName, fill: Callable[[_HashingSink], None]) -> _WrittenFile:
    archive_id = mint()
    file = name.of(archive_id)
    with store.writer(file) as writer:
        sink = _HashingSink(writer)
        fill(sink)
    return _WrittenFile(archive_id, file, sink.size, sink.digest.hexdigest())


def _sealed(store: ArchiveStore, manifest: Manifest, stop: Event) -> Manifest:
    """Check the written file and write its manifest; after an error, delete the file."""

    def seen(_bytes: int) -> None:
        _check_stop(stop)
        if store.rows_per_second:
            # A pause gives other processes their turn; the COPY that wrote the file paused likewise.
            time.sleep(archives.PAUSE_SECONDS)

    try:
        reading.check(store, manifest, seen)
        manifests.write(store, manifest)
    except BaseException:
        store.delete(manifest.file)
        raise
    return manifest


def _check_stop(stop: Event) -> None:
    if stop.is_set():
        raise ArchiveStopped("asked to stop while it was written")
