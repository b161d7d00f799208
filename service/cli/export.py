"""Command that stores a list or figures of a running server as a file: export."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final
from urllib.parse import unquote

import typer

from service.cli.calls import Exit, connected, fail, subscription_of
from service.cli.options import LOCAL, Key, Url, Where, filters_of
from service.documents.tabular import FileFormat

# Paths of the whole API, for the operator; other lists are those of the key's subscription.
_API: Final = "/v1/"


def export(
    listed: Annotated[
        str,
        typer.Argument(
            metavar="LIST", help="Its path below the subscription, as in audit-logs or execution-logs/stats."
        ),
    ],
    form: Annotated[
        FileFormat, typer.Option("--format", help="CSV, or a JSON object a line.")
    ] = FileFormat.CSV,
    where: Where = None,
    file: Annotated[
        Path | None, typer.Option(help="Write this file, once all rows are there; else they are printed.")
    ] = None,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """Store a whole list, or figures, as a file."""
    filters = filters_of(where or [], ("format",))
    path = listed if listed.startswith(_API) else listed.strip("/")
    if any(part in ("", ".", "..") for part in unquote(path).removeprefix("/").split("/")) or "?" in path:
        fail(f"{listed!r} is no list: it reads audit-logs, or workflows/ID/versions", Exit.USAGE)
    with connected(url, key) as client:
        whole = path if path.startswith(_API) else f"{subscription_of(client)}/{path}"
        with client.downloaded(whole, {**filters, "format": form}) as pieces, _written(file) as target:
            for piece in pieces:
                target.write(piece)


@contextmanager
def _written(file: Path | None) -> Iterator[BinaryIO]:
    """Open what is written: the output, or a file that appears as a whole at the end of the block."""
    if file is None:
        yield sys.stdout.buffer
        return
    written = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with written.open("xb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        written.replace(file)
    finally:
        written.unlink(missing_ok=True)
