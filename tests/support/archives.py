"""Rows of logs for the archive, archives of them, and comparisons of rows before and after."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable, TextClause, column, except_, func, select, text, union_all

from service.archive import reading, restoring, writing
from service.archive.manifests import Manifest
from service.archive.restoring import RestoredArchive
from service.archive.store import ArchiveStore
from service.archive.writing import Source
from sql.database import PLATFORM
from sql.database import Database as ServiceDatabase
from sql.models import TABLES
from sql.models.columns import INSTANT
from tests.support.databases import Database

DAY = datetime(2026, 3, 1, tzinfo=UTC)
MADE_AT = datetime(2026, 6, 1, tzinfo=UTC)
NEXT_DAY = DAY + timedelta(days=1)
# Texts with a form of their own in JSON, in COPY, in NUMERIC or in a terminal.
TEXTS = (
    "plain", "", 'quo"te', "back\\slash \\n \\\\ \\u0041", "line\nbreak\r\n\ttab\x01\x1f\x7f",
    "Größe 📦 \u2028 末",
    "\\.", "\\N", "null",
)  # fmt: skip
DOCUMENTS = (
    "{}", '{"n": 1e22, "z": -0.0, "exact": 1.10, "big": 123456789012345678901234567890}',
    '["\\\\", "\\"", "\\n"]',
    '{"a": {"b": [null, true, {"c": "\\u00e9\\ud83d\\udce6"}]}}', '"text"', None,
)  # fmt: skip


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """Mount a disk of 1 MiB; yields a function that enlarges it, skips if mounting is not permitted."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"]
    if subprocess.run(["mount", *options, folder], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")

    def give_room() -> None:
        subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)

    try:
        yield give_room
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(database: Database) -> None:
    """Insert rows of two logs on DAY that are hard to store faithfully, and one row of the next day."""
    with database.connection() as connection:
        for number, value in enumerate(TEXTS):
            document = DOCUMENTS[number % len(DOCUMENTS)]
            at = DAY + timedelta(hours=number, microseconds=number * 111_111)
            connection.execute(
                "INSERT INTO server_logs (log_id, created_at, request_id, error_message, endpoint,"
                " request_body, ip_address, subscription_id, response_bytes, response_status)"
                " VALUES (gen_random_uuid(), %s, %s, %s, %s, %s::jsonb, %s, gen_random_uuid(), %s, %s)",
                [
                    *(at, f"r{number}", value, None if number % 2 else value, document),
                    *(("::1", "10.1.2.3", None)[number % 3], 2**63 - 1 - number, 200 + number),
                ],
            )
            connection.execute(
                "INSERT INTO execution_logs (log_id, created_at, execution_id, execution_type, log_level,"
                " log_message, log_details, memory_used_mb, cpu_percent) VALUES (gen_random_uuid(), %s,"
                " gen_random_uuid(), 'workflow', 'INFO', %s, %s::jsonb, %s, %s)",
                [at, value, document, (None, "12.50", "99999999.99")[number % 3], "0.00"],
            )
        connection.execute(
            "INSERT INTO server_logs (log_id, created_at, request_id) VALUES (gen_random_uuid(), %s, 'next')",
            [NEXT_DAY],
        )


def of_day(log: str) -> Source:
    """Return the rows of one day of a log."""
    time = TABLES[log].c.created_at
    return source(select(TABLES[log]).where(time >= DAY, time < NEXT_DAY), log)


def source(rows: Executable, log: str = "server_logs") -> Source:
    return Source(log=log, rows=rows, range_start=DAY, range_end=NEXT_DAY)


def large_rows(count: int) -> TextClause:
    """Return a query for rows of 64 KiB each that hardly compress."""
    return text(
        "SELECT gen_random_uuid() AS log_id, CAST(:day AS timestamptz) AS created_at, n::text AS request_id,"
        " (SELECT string_agg(md5(random()::text), '') FROM generate_series(n, n + 2000)) AS error_message"
        " FROM generate_series(1, :count) AS n"
    ).bindparams(day=DAY, count=count)


def written(pool: ServiceDatabase, store: ArchiveStore, what: Source) -> Manifest:
    """Write an archive and record it in the database, as the scheduled job does."""
    with pool.transaction(PLATFORM, role="annals_retention") as tx:
        manifest = writing.write(tx, store, what, at=MADE_AT)
        assert manifest is not None
        writing.record(tx, store, manifest)
    return manifest


def restored(
    pool: ServiceDatabase, store: ArchiveStore, archives: Sequence[Manifest], into: str | None = None
) -> list[RestoredArchive]:
    return list(restoring.restore(pool, store, archives, into=into, clock=lambda: MADE_AT))


def differing(pool: ServiceDatabase, log: str, table: str) -> int:
    """Count the rows of DAY that are in one of the two tables and not in the other."""
    columns = [column(each.name, each.type) for each in TABLES[log].c]
    ours, theirs = (
        select(*columns)
        .select_from(text(name))
        .where(column("created_at", INSTANT) >= DAY, column("created_at", INSTANT) < NEXT_DAY)
        for name in (log, table)
    )
    apart = union_all(except_(ours, theirs), except_(theirs, ours)).subquery()
    query = select(func.count()).select_from(apart)
    with pool.transaction(PLATFORM) as tx:
        count: int = tx.execute(query).scalar_one()
    return count


def count(pool: ServiceDatabase, log: str) -> int:
    with pool.transaction(PLATFORM) as tx:
        number: int = tx.execute(select(func.count()).select_from(TABLES[log])).scalar_one()
    return number


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def rows_of(store: ArchiveStore, archives: Sequence[Manifest], **question: Any) -> list[bytes]:
    """Return the rows that `annals archive query` finds."""
    return list(reading.matching(store, archives, reading.RowSearch(**{"where": {}, **question})))
