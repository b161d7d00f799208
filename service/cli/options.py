"""Arguments and options that several commands of a running server take."""

from collections.abc import Collection
from typing import Annotated

import typer

from service.cli.calls import Exit, fail
from service.cli.tables import Format

Filters = dict[str, str | int | list[str]]

LOCAL = "http://127.0.0.1:8000"
REFS = "A number, tag, commit, current, published or previous."

Which = Annotated[
    str,
    typer.Argument(
        metavar="RESOURCE", help="{collection}/{id} or {collection}/{name}: 'workflows/Order ETL'."
    ),
]
Url = Annotated[str, typer.Option("--url", envvar="ANNALS_URL", help="The running server.")]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="ANNALS_KEY", help="An API key; the variable keeps it out of `ps`."),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="table for people, or the API's JSON.")]
IfMatch = Annotated[
    str | None,
    typer.Option(
        "--if-match", metavar="COMMIT", help="Only where this is still the current commit (7 to 40 digits)."
    ),
]
Comment = Annotated[str | None, typer.Option("--comment", "-m", help="Why; it stays with the version.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="FILTER=VALUE", help="A filter of the list; as often as wanted."),
]


def filters_of(given: list[str], others: Collection[str]) -> Filters:
    """Read filters as they are typed; ends the command for a parameter among `others`, which is no filter."""
    filters: dict[str, list[str]] = {}
    for each in given:
        name, found, value = each.partition("=")
        if not found or name in others:
            fail(f"{each!r} is no filter: it reads action=CREATE", Exit.USAGE)
        filters.setdefault(name, []).append(value)
    return dict(filters)
