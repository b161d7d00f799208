"""What the commands share that an operator types on the server, beside the data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from service.runtime.settings import Settings, SettingsError

if TYPE_CHECKING:
    from sql.database import Database

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DataDir = Annotated[Path | None, typer.Option(help="Folder for repositories and embedded PostgreSQL.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def progress(step: str) -> None:
    """Say on stderr what is being done."""
    err.print(f"[dim]{step}[/dim]" if err.is_terminal else step, markup=err.is_terminal)


@contextmanager
def operated(settings: Settings, say: Callable[[str], None], *, connections: int) -> Iterator["Database"]:
    """The database, also beside a running `annals serve`; raises what `operated_database` raises."""
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
    """Errors that an operator can act on end the command with their message, not with a traceback."""
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
