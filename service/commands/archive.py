"""`annals archive`: what lies there, whether it is whole, and its rows, as they are or in a table again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import orjson
import typer

from service.commands import tables
from service.commands.operating import AsJson, DataDir, err, explained, progress
from service.commands.tables import harmless, note
from service.settings import Settings, load

if TYPE_CHECKING:
    from service.archive.manifests import Manifest
    from service.archive.reading import Seen
    from service.archive.store import ArchiveStore
    from sql.database import Database

archive = typer.Typer(help="Rows that left the database for the archive.", no_args_is_help=True)

# One restores, its audit row is in the same transaction.
_CONNECTIONS = 1


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time like 2026-11-23 or 2026-11-23T00:00:00Z") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _condition(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise typer.BadParameter(f"{text!r} is not column=value")
    return name, value


Ids = Annotated[list[UUID] | None, typer.Argument(metavar="[ARCHIVE_ID]...", help="As `list` shows it.")]
Log = Annotated[str | None, typer.Option(help="Only those of this log: server_logs.")]
Since = Annotated[
    datetime | None,
    typer.Option("--from", metavar="TIME", parser=_instant, help="Rows from this time on, in UTC."),
]
Until = Annotated[
    datetime | None, typer.Option("--to", metavar="TIME", parser=_instant, help="Rows before this time.")
]


@archive.command("list")
def list_archives(log: Log = None, as_json: AsJson = False) -> None:
    """What lies in the archive, by its manifests."""
    from service.archive import reading

    with explained():
        _, store = _opened()
        found = reading.listing(store, log)
    if as_json:
        shown = [asdict(each) | {"location": store.location(each.file)} for each in found.manifests]
        typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))
    elif found.manifests:
        head = ("archive", "log", "from", "to", "rows", "size", "made")
        tables.plain(head, (_cells(each) for each in found.manifests))
    else:
        note("the archive is empty")
    for problem in found.damaged.values():
        note(problem)


@archive.command("verify")
def verify(ids: Ids = None, log: Log = None, as_json: AsJson = False) -> None:
    """Read archives to their end and compare them with their manifests; exit code 1 where one is damaged."""
    from service.archive import reading
    from service.archive.errors import ArchiveError

    with explained():
        _, store = _opened()
        found = reading.listing(store, log)
        chosen = found.narrowed(ids or ())
        damaged, strays = ({}, []) if ids else (found.damaged, found.strays)
        rows = [{"archive_id": None, "file": path, "problem": text} for path, text in damaged.items()]
        with _bar("verifying", chosen) as seen:
            for each in chosen:
                problem = None
                try:
                    reading.check_rows(store, each, seen)
                except ArchiveError as error:
                    problem = str(error)
                rows.append({"archive_id": str(each.archive_id), "file": each.file, "problem": problem})
    wrong = sum(row["problem"] is not None for row in rows)
    if as_json:
        typer.echo(json.dumps({"archives": rows, "damaged": wrong, "strays": strays}, indent=2))
    else:
        for row in rows:
            typer.echo(harmless(f"{row['file']}: {row['problem'] or 'whole'}"))
        for path in strays:
            typer.echo(harmless(f"{path}: no archive, it has no manifest; it may be removed"))
        typer.echo(f"{len(rows)} archives, {wrong} damaged, {len(strays)} files without a manifest")
    if wrong:
        raise typer.Exit(1)


@archive.command("restore")
def restore(
    ids: Ids = None,
    log: Log = None,
    since: Since = None,
    until: Until = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="Made like the log; restored_LOG unless given."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make the rows of archives searchable again, in a table of their own; once more changes nothing."""
    from service.archive import reading, restoring
    from service.clock import system_clock

    if not ids and log is None:
        raise typer.BadParameter("say which: an ARCHIVE_ID, or --log")
    done = []
    with explained():
        settings, store = _opened(data_dir)
        chosen = reading.listing(store, log).narrowed(ids or (), since, until)
        with _database(settings) as database, _bar("restoring", chosen) as seen:
            for each in restoring.restore(database, store, chosen, into=into, clock=system_clock, seen=seen):
                done.append(each)
                if not as_json:
                    typer.echo(
                        f"{each.archive_id}: {each.rows} rows of {each.log} in {each.table}, {each.added} new"
                    )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in done], indent=2, default=str))
    elif not done:
        note("no archive has such rows")


@archive.command("query")
def query(
    log: Annotated[str, typer.Option(help="The log: server_logs.")],
    subscription: Annotated[UUID | None, typer.Option(help="Only rows of this subscription.")] = None,
    since: Since = None,
    until: Until = None,
    where: Annotated[
        list[Any] | None,
        typer.Option(metavar="COLUMN=VALUE", parser=_condition, help="Only such rows; repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
) -> None:
    """Write rows of a log as lines of JSON, straight from the archive."""
    from itertools import islice

    from service.archive import reading

    with explained():
        _, store = _opened()
        chosen = reading.listing(store, log).narrowed((), since, until)
        question = reading.Question(
            subscription_id=subscription, since=since, until=until, where=dict(where or ())
        )
        lines = typer.get_binary_stream("stdout")
        for line in islice(reading.matching(store, chosen, question), limit):
            lines.write(line + b"\n")
        lines.flush()


def _opened(data_dir: Path | None = None) -> tuple[Settings, "ArchiveStore"]:
    from service.archive import store
    from service.archive.errors import ArchiveError

    settings, _ = load({"data_dir": data_dir})
    opened = store.opened(settings)
    if opened is None:
        raise ArchiveError("there is no archive: ANNALS_ARCHIVE_URL names a folder or s3://bucket/prefix")
    return settings, opened


@contextmanager
def _database(settings: Settings) -> Iterator["Database"]:
    from service.startup import operated_database
    from sql.database import Database

    with operated_database(settings, progress) as prepared:
        database = Database(prepared.url, pool_size=_CONNECTIONS)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def _bar(doing: str, archives: list["Manifest"]) -> Iterator["Seen"]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.progress import Progress

    with Progress(console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(doing, total=sum(each.bytes for each in archives))
        yield lambda count: bar.advance(task, count)


def _cells(each: "Manifest") -> tuple[str, ...]:
    return (
        str(each.archive_id),
        each.log,
        f"{each.range_start:%Y-%m-%dT%H:%M:%SZ}",
        f"{each.range_end:%Y-%m-%dT%H:%M:%SZ}",
        str(each.rows),
        f"{each.bytes / 2**20:.1f} MiB",
        f"{each.made_at:%Y-%m-%dT%H:%M:%SZ}",
    )
