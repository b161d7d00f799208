"""`annals archive`: list, verify, restore and query archived rows."""

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

from service.cli import tables
from service.cli.console import AsJson, DataDir, err, explained, operated, progress, read_settings
from service.cli.tables import harmless, note
from service.runtime.settings import Settings, SettingsError

if TYPE_CHECKING:
    from service.archive.comparing import Lost
    from service.archive.manifests import Manifest
    from service.archive.reading import Listing, Seen
    from service.archive.restoring import RestoredArchive
    from service.archive.store import ArchiveStore
    from sql.database import Database
    from sql.queries.archives import Recorded

archive = typer.Typer(help="Rows that left the database for the archive.", no_args_is_help=True)

# One is enough: a restore and its audit row are written in the same transaction.
_CONNECTIONS = 1


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time like 2026-11-23 or 2026-11-23T00:00:00Z") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _log(text: str) -> str:
    from service.usecases.maintenance.purge_closed import BUNDLE
    from sql.queries.purge_closed import EXPORTED, KEPT_UP, LOGS

    known = (*EXPORTED, *KEPT_UP, *LOGS, BUNDLE)
    if text not in known:
        raise typer.BadParameter(
            f"{text!r} is no log or exported table: those are {', '.join(sorted(known))}"
        )
    return text


def _condition(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise typer.BadParameter(f"{text!r} is not column=value")
    return name, value


Ids = Annotated[list[UUID] | None, typer.Argument(metavar="[ARCHIVE_ID]...", help="As `list` shows it.")]
Log = Annotated[
    str | None,
    typer.Option(
        "--log", metavar="LOG", parser=_log, help="Only those of this log, or exported table: server_logs."
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option("--from", metavar="TIME", parser=_instant, help="Rows from this time on, in UTC."),
]
Until = Annotated[
    datetime | None, typer.Option("--to", metavar="TIME", parser=_instant, help="Rows before this time.")
]


@archive.command("list")
def list_archives(log: Log = None, as_json: AsJson = False) -> None:
    """List the archives by their manifests."""
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
def verify(
    ids: Ids = None,
    log: Log = None,
    no_database: Annotated[
        bool, typer.Option("--no-database", help="Don't compare with the archives that the database knows.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Read archives to their end and compare them with their manifests, and with the records of the database.

    Exit code 1 where one is damaged or missing.
    """
    from service.archive import comparing, reading
    from service.archive.errors import ArchiveError

    with explained():
        settings, store = _opened(data_dir)
        # Read before the listing, so that each recorded archive exists when the files are listed.
        recorded = None if no_database else _recorded(settings, log)
        found = reading.listing(store, log)
        known = comparing.compared(store, found, recorded or ())
        lost = [each for each in known.lost if not ids or each.archive_id in ids]
        rows = [_verified(each.archive_id, each.file, each.problem) for each in lost]
        chosen, strays = _there(found, ids, lost), [] if ids else known.strays
        if not ids:
            named = {each.file for each in lost}
            rows += [_verified(None, path, text) for path, text in found.damaged.items() if path not in named]
        noted = {each.archive_id: each for each in recorded or ()}
        with _bar("verifying", chosen) as seen:
            for each in chosen:
                problem = None
                try:
                    comparing.check_record(each, noted.get(each.archive_id))
                    reading.check_rows(store, each, seen)
                except ArchiveError as error:
                    problem = str(error)
                rows.append(_verified(each.archive_id, each.file, problem))
    wrong = sum(row["problem"] is not None for row in rows)
    if as_json:
        told = {"archives": rows, "damaged": wrong, "strays": strays, "compared": recorded is not None}
        typer.echo(json.dumps(told | {"elsewhere": known.elsewhere}, indent=2))
    else:
        for row in rows:
            typer.echo(harmless(f"{row['file']}: {row['problem'] or 'whole'}"))
        # If not compared with the database, a file without a manifest may be an archive that lost it.
        advice = "" if recorded is None else "; it may be removed where no job is at work"
        for path in strays:
            typer.echo(harmless(f"{path}: no archive, it has no manifest{advice}"))
        typer.echo(
            f"{len(rows)} archives, {wrong} damaged or missing, {len(strays)} files without a manifest"
        )
    for url, number in known.elsewhere.items():
        note(f"{number} archives that the database knows lie in {url}: they were not looked for")
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
        typer.Option("--into", metavar="TABLE", help="Made like the log; restored_LOG unless given."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Restore archived rows into a table of their own; a repetition changes nothing."""
    from service.archive import comparing, reading, restoring
    from service.runtime.clock import system_clock

    if not ids and log is None:
        raise typer.BadParameter("say which: an ARCHIVE_ID, or --log")
    _check_span(since, until)
    done: list[RestoredArchive] = []
    lost: list[Lost] = []
    with explained():
        settings, store = _opened(data_dir)
        with operated(settings, progress, connections=_CONNECTIONS) as database:
            recorded = _noted(database, log)
            found = reading.listing(store, log)
            chosen = found.chosen(ids or (), since, until)
            if not ids:
                known = comparing.compared(store, found, recorded).lost
                lost = [each for each in known if each.overlaps(since, until)]
            with _bar("restoring", chosen) as seen:
                for each in restoring.restore(
                    database, store, chosen, into=into, clock=system_clock, seen=seen
                ):
                    done.append(each)
                    if not as_json:
                        typer.echo(
                            f"{each.archive_id}: {each.rows} rows of {each.log} in {each.table},"
                            f" {each.added} new"
                        )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in done], indent=2, default=str))
    elif not done:
        note("no archive has such rows")
    for gone in lost:
        note(f"{gone.file}: not restored: {gone.problem}")
    if lost:
        raise typer.Exit(1)


@archive.command("query")
def query(
    log: Annotated[
        str,
        typer.Option("--log", metavar="LOG", parser=_log, help="The log, or exported table: server_logs."),
    ],
    subscription: Annotated[UUID | None, typer.Option(help="Only rows of this subscription.")] = None,
    since: Since = None,
    until: Until = None,
    where: Annotated[
        list[Any] | None,
        typer.Option(
            "--where", metavar="COLUMN=VALUE", parser=_condition, help="Only such rows; repeatable."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
) -> None:
    """Print rows of a log as lines of JSON, read from the archive."""
    from itertools import islice

    from service.archive import reading

    _check_span(since, until)
    with explained():
        _, store = _opened()
        chosen = reading.listing(store, log).chosen((), since, until)
        search = reading.RowSearch(
            subscription_id=subscription, since=since, until=until, where=dict(where or ())
        )
        lines = typer.get_binary_stream("stdout")
        for line in islice(reading.matching(store, chosen, search), limit):
            lines.write(line + b"\n")
        lines.flush()


def _check_span(since: datetime | None, until: datetime | None) -> None:
    if since is not None and until is not None and since > until:
        raise typer.BadParameter("--from is later than --to")


def _verified(archive_id: UUID | None, file: str, problem: str | None) -> dict[str, str | None]:
    return {"archive_id": None if archive_id is None else str(archive_id), "file": file, "problem": problem}


def _there(found: "Listing", ids: list[UUID] | None, lost: list["Lost"]) -> list["Manifest"]:
    """Archives with the ids asked for, or all of them; lost archives are left out."""
    if not ids:
        return found.manifests
    rest = set(ids) - {each.archive_id for each in lost}
    return found.chosen(rest) if rest else []


def _recorded(settings: Settings, log: str | None) -> list["Recorded"] | None:
    """Archives recorded in the database, or None if no database answers. It does not start one."""
    from sql.database import Database
    from sql.embedded.server import running_url
    from sql.errors import DatabaseError

    given = settings.database_url
    url = running_url(settings.data_dir.absolute()) if given is None else given.get_secret_value()
    if url is None:
        note("not compared with the database: DATABASE_URL names none, and no `annals serve` runs one")
        return None
    try:
        database = Database(url, pool_size=_CONNECTIONS)
    except ValueError as error:
        raise SettingsError(f"DATABASE_URL: {error}") from None
    try:
        return _noted(database, log)
    except DatabaseError as error:
        note(f"not compared with the database: {str(error).splitlines()[0]}")
        return None
    finally:
        database.close()


def _noted(database: "Database", log: str | None) -> list["Recorded"]:
    from sql.database import PLATFORM
    from sql.queries import archives

    with database.transaction(PLATFORM) as tx:
        return archives.recorded(tx, log)


def _opened(data_dir: Path | None = None) -> tuple[Settings, "ArchiveStore"]:
    from service.archive import store
    from service.archive.errors import ArchiveError

    settings, _ = read_settings(data_dir=data_dir)
    opened = store.opened(settings, make=False)
    if opened is None:
        raise ArchiveError("there is no archive: ANNALS_ARCHIVE_URL names a folder or s3://bucket/prefix")
    return settings, opened


@contextmanager
def _bar(doing: str, archives: list["Manifest"]) -> Iterator["Seen"]:
    """Show a progress bar on a terminal, and nothing elsewhere."""
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
