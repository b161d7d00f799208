"""Arguments and options of the commands for one resource."""

from typing import Annotated

import typer

from service.cli.tables import Format

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
