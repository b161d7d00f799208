"""Commands that read the logs of a running server: tail."""

import json
import os
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from service.cli.calls import connected, subscription_of
from service.cli.client import ApiError, Client, Json
from service.cli.options import LOCAL, Filters, Key, Url, Where, filters_of
from service.cli.tables import harmless, instant, note

logs = typer.Typer(help="The logs of a running server.", no_args_is_help=True)

PAGE: Final = 200
PAUSE_SECONDS: Final = 1.0
# The client has tried for a while before it says that a server does not answer.
LONG_PAUSE_SECONDS: Final = 5.0


class FollowedLog(StrEnum):
    """The logs, by the names that the command takes."""

    AUDIT = "audit"
    CHANGES = "changes"
    EXECUTIONS = "executions"
    SERVER = "server"


_PATHS: Final = {
    FollowedLog.AUDIT: "audit-logs",
    FollowedLog.CHANGES: "change-history",
    FollowedLog.EXECUTIONS: "execution-logs",
    FollowedLog.SERVER: "server-logs",
}
# The fields of a line for people, in their order.
_FIELDS: Final = {
    FollowedLog.AUDIT: ("created_at", "action", "resource_type", "resource_name", "username", "status"),
    FollowedLog.CHANGES: ("changed_at", "change_type", "table_name", "record_name", "version_number"),
    FollowedLog.EXECUTIONS: ("created_at", "log_level", "execution_id", "node_id", "status", "log_message"),
    FollowedLog.SERVER: ("created_at", "http_method", "endpoint", "response_status", "response_time_ms"),
}


@logs.command()
def tail(
    log: Annotated[FollowedLog, typer.Option(help="Which log.")] = FollowedLog.AUDIT,
    where: Where = None,
    since: Annotated[str | None, typer.Option(help="Begin at that time: 2026-11-23T00:00:00Z.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Wait for more, or end after the last row.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    cursor_file: Annotated[
        Path | None, typer.Option(help="Go on from the place in this file, and keep the place there.")
    ] = None,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """Print the rows of a log in the order of commits, each once.

    It begins now, or with --no-follow with the first row. The cursor file is written after the rows of a page
    are printed: after a kill in between they are printed once more.
    """
    filters = filters_of(where or [], ("order", "from", "limit", "cursor", "since"))
    if since is not None:
        filters["since"] = since
    elif follow:
        filters["from"] = "now"
    with connected(url, key) as client:
        path = f"{subscription_of(client)}/{_PATHS[log]}"
        for page in _pages(client, path, filters, _kept(cursor_file), follow=follow):
            for item in page["items"]:
                typer.echo(json.dumps(item, ensure_ascii=False) if as_json else _line(log, item))
            sys.stdout.flush()
            if cursor_file is not None:
                _keep(cursor_file, page["next_cursor"])


def _pages(
    client: Client, path: str, filters: Filters, cursor: str | None, *, follow: bool
) -> Iterator[Json]:
    """Yield pages; with `follow` without an end, through outages of the server."""
    is_failing = False
    while True:
        place: Filters = {} if cursor is None else {"cursor": cursor}
        try:
            page = client.get(path, {"order": "commit", "limit": PAGE, **filters, **place})
        except ApiError as error:
            if not follow or cursor is None or error.status not in (None, 429, 500, 502, 503, 504):
                raise
            if not is_failing:
                note(f"annals: {error.detail}; waiting")
            is_failing = True
            time.sleep(error.retry_after or LONG_PAUSE_SECONDS)
            continue
        is_failing = False
        is_last = page["next_cursor"] == cursor
        if not is_last:
            yield page
        cursor = page["next_cursor"]
        if is_last and not follow:
            return
        if follow and len(page["items"]) < PAGE:
            time.sleep(PAUSE_SECONDS)


def _line(log: FollowedLog, item: Json) -> str:
    at, *others = (item.get(name) for name in _FIELDS[log])
    cells = [instant(str(at)), *("-" if value is None else str(value) for value in others)]
    return "  ".join(harmless(cell) for cell in cells)


def _kept(file: Path | None) -> str | None:
    if file is None or not file.exists():
        return None
    return file.read_text().strip() or None


def _keep(file: Path, cursor: str) -> None:
    """Replace the file as a whole, so that a crash leaves the old place or the new one."""
    written = file.with_name(f"{file.name}.new")
    with written.open("w") as opened:
        opened.write(f"{cursor}\n")
        opened.flush()
        os.fsync(opened.fileno())
    written.replace(file)
