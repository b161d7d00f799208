"""Console, options and error handling of the commands that an operator runs on the server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from service.runtime import environment
from service.runtime.settings import (
    Origin,
    Settings,
    SettingsError,
    load,
    secret_variables,
    unknown_variables,
)

if TYPE_CHECKING:
    from sql.database import Database

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DataDir = Annotated[Path | None, typer.Option(help="Folder for repositories and embedded PostgreSQL.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def progress(step: str) -> None:
    """Print a step of progress on stderr."""
    err.print(f"[dim]{step}[/dim]" if err.is_terminal else step, markup=err.is_terminal)


def read_settings(**flags: Any) -> tuple[Settings, dict[str, Origin]]:
    """Read the settings and their origins, and warn of variables that look like settings and are none.

    Secrets are taken out of the environment, where the programs that are started next would have them.
    Raises SettingsError.
    """
    for warning in ignored_variables():
        err.print(f"annals: {warning}", markup=False)
    found = load(flags)
    environment.forget(secret_variables())
    return found


def ignored_variables() -> list[str]:
    """Sentences about variables that look like settings and are none."""
    return [
        f"{name} is no setting and is ignored" + ("" if nearest is None else f": is {nearest} meant?")
        for name, nearest in unknown_variables().items()
    ]


@contextmanager
def operated(settings: Settings, say: Callable[[str], None], *, connections: int) -> Iterator["Database"]:
    """Open the database, also beside a running `annals serve`; raises the errors of `operated_database`."""
    from service.processes.startup import operated_database
    from sql.database import Database

    with operated_database(settings, say) as prepared:
        database = Database(prepared.url, pool_size=connections)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def explained() -> Iterator[None]:
    """End the command with the message of an error that an operator can act on, without a traceback."""
    from service.archive.errors import ArchiveError
    from service.cli.client import ApiError
    from service.domain.errors import AnnalsError
    from service.processes.startup import StartupError
    from sql.embedded.server import EmbeddedError
    from sql.errors import DatabaseError

    try:
        yield
    except (
        *(SettingsError, StartupError, EmbeddedError, DatabaseError),
        *(AnnalsError, ArchiveError, ApiError),
    ) as error:
        err.print(f"annals: {error}", markup=False)
        raise typer.Exit(1) from None
