"""Commands that show the versions of one resource of a running server: log, show, diff."""

from typing import Annotated

import typer

from service.cli import tables
from service.cli.calls import Exit, RemoteResource, fail, opened
from service.cli.client import Json, Parameters
from service.cli.options import LOCAL, REFS, Key, Output, Url, Which
from service.cli.tables import Format, note
from service.domain.pagination import MAX_LIMIT
from service.runtime import version as installed

version = typer.Typer(
    help="Print the version of Annals; its commands show the versions of a resource.",
    invoke_without_command=True,
)


@version.callback()
def print_version(context: typer.Context) -> None:
    """Print the version of Annals; its commands show the versions of a resource."""
    if context.invoked_subcommand is None:
        typer.echo(f"annals {installed.version()}")


@version.command("log")
def log(
    which: Which,
    tag: Annotated[str | None, typer.Option(help="Only the version of this tag.")] = None,
    published: Annotated[
        bool | None, typer.Option("--published/--not-published", help="Only such versions.")
    ] = None,
    author: Annotated[str | None, typer.Option(help="Only those of this user: a name or id.")] = None,
    since: Annotated[str | None, typer.Option(help="Not before: 2026-11-23T00:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Not after.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    output: Output = Format.TABLE,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """List the versions of a resource, newest first."""
    filters: dict[str, str | int] = {
        name: value
        for name, value in {"tag": tag, "author": author, "since": since, "until": until}.items()
        if value is not None
    }
    if published is not None:
        filters["published"] = "true" if published else "false"
    with opened(url, key, which) as found:
        versions, complete = _versions(found, filters, limit)
        if output is Format.JSON:
            tables.document(versions)
        elif versions:
            tables.history(versions)
        else:
            note("no version is like that")
        if not complete:
            note(f"these are the newest {limit}; --limit shows more")


def _versions(of: RemoteResource, filters: Parameters, limit: int) -> tuple[list[Json], bool]:
    """Read at most `limit` versions; returns them, and True if there are no more."""
    versions: list[Json] = []
    more: dict[str, str | int] = {}
    while True:
        page = of.client.get(
            of.at("versions"), {**filters, "limit": min(limit - len(versions), MAX_LIMIT), **more}
        )
        versions += page["items"]
        cursor = page["next_cursor"]
        if cursor is None or len(versions) >= limit:
            return versions, cursor is None
        more = {"cursor": cursor}


@version.command("show")
def show(
    which: Which,
    ref: Annotated[str, typer.Argument(help=REFS)] = "current",
    raw: Annotated[
        bool, typer.Option("--raw", help="The canonical bytes of the snapshot, unchanged.")
    ] = False,
    output: Output = Format.TABLE,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """Show a version and its definition."""
    if raw and output is Format.JSON:
        fail("--raw has a form of its own: leave out -o json", Exit.USAGE)
    with opened(url, key, which) as found:
        if raw:
            tables.write(found.client.get_bytes(found.version(ref, "/data")))
            return
        answer = found.client.get(found.version(ref))
        if output is Format.JSON:
            tables.document(answer)
            return
        tables.facts(answer)
        typer.echo()
        tables.document(answer["data"])


@version.command("diff")
def diff(
    which: Which,
    older: Annotated[str, typer.Argument(metavar="FROM", help=REFS)] = "previous",
    newer: Annotated[str, typer.Argument(metavar="TO", help=REFS)] = "current",
    output: Output = Format.TABLE,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """Show the diff of two versions."""
    with opened(url, key, which) as found:
        tables.difference(found.client.get(found.at("diff"), {"from": older, "to": newer}), output)
