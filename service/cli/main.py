"""The `annals` command."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.table import Table

from service.cli import archive, export, first_tenant, jobs, logs, resources, versions
from service.cli.console import AsJson, DataDir, err, explained, out, progress, read_settings
from service.runtime.settings import Settings, git_url, load, variable
from service.runtime.version import version

if TYPE_CHECKING:
    from service.processes.supervisor import ReadyServer

app = typer.Typer(
    name="annals",
    help="A git-backed versioning service with an audit store.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
db = typer.Typer(help="The database's schema.", no_args_is_help=True)
config = typer.Typer(help="Settings.", no_args_is_help=True)
git = typer.Typer(help="The repositories, where they lie.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(config, name="config")
app.add_typer(git, name="git")
app.add_typer(versions.version, name="version")
app.add_typer(resources.resource)
app.add_typer(jobs.jobs, name="jobs")
app.add_typer(logs.logs, name="logs")
app.add_typer(archive.archive, name="archive")
app.command()(export.export)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"annals {version()}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version of Annals.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options before a command."""


def _command() -> Path:
    """Path of this program, as the user has to type it."""
    return Path(sys.executable).with_name("annals")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="API processes.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the API and git, with an embedded PostgreSQL unless DATABASE_URL names one."""
    from service.processes.supervisor import Supervisor
    from service.runtime import log_setup

    with explained():
        settings, _ = read_settings(host=host, port=port, workers=workers, data_dir=data_dir)
        log_setup.configure(settings.log_format, settings.log_level)
        Supervisor(settings, progress=progress).run(
            announce_key=_announce_key, when_ready=lambda server: _welcome(settings, server)
        )


def _announce_key(key: str) -> None:
    out.print(f"Operator key, shown this once: {key}\n", markup=False)
    sys.stdout.flush()


def _welcome(settings: Settings, server: "ReadyServer") -> None:
    chosen = None if settings.operator_key is None else settings.operator_key.get_secret_value()
    first, link = None, None
    if settings.database_url is None:
        first = first_tenant.existing(settings.data_dir)
        if first is None:
            first = _first_tenant(settings, server.url, server.operator_key or chosen)
            link = None if first is None else first_tenant.offer_link(server.database_url, first)
    public = settings.public_url or server.url
    lines = [f"Annals is ready at {public}  (API: {public}/docs, pages: {public}/sign-in)", ""]
    if link is not None:
        lines += [
            "Look at the pages as the first admin, by this link, once, within ten minutes:",
            f"  {public}{link}",
            "",
        ]
    if first is not None:
        clone = git_url(public, first.subscription_id).replace("://", f"://admin:{first.shown}@", 1)
        lines += [
            "Try it:",
            f'  curl -H "Authorization: Bearer {first.shown}" {public}/v1/whoami',
            f'  git clone "{clone}" first-steps',
        ]
    else:
        if settings.database_url is None:
            lines += [
                "There is no key of a first subscription here: the first start was cut short, or the key",
                "was removed. Where there is no subscription yet, a start with ANNALS_OPERATOR_KEY set (it",
                "replaces the old one) makes it.",
                "",
            ]
        lines += [
            "Try it:",
            f"  curl {public}/readyz",
            f'  curl -H "Authorization: Bearer $ANNALS_OPERATOR_KEY" {public}/v1/subscriptions',
            f"  git clone {git_url(public, '$SUBSCRIPTION_ID').replace('://', '://user:$KEY@', 1)}",
        ]
    lines += [
        "",
        f"A longer story: ANNALS_OPERATOR_KEY=… {shlex.quote(str(_command()))} demo --url {server.url}",
        "Stop with Ctrl-C.",
    ]
    out.print("\n".join(lines), markup=False)


def _first_tenant(settings: Settings, url: str, operator_key: str | None) -> first_tenant.FirstKey | None:
    from service.cli.client import ApiError

    if operator_key is None:
        return None
    try:
        return first_tenant.create(settings.data_dir, url, operator_key)
    except (ApiError, OSError) as error:
        # The server runs; only the example could not be created.
        err.print(f"annals: the first subscription could not be made: {error}", markup=False)
        return None


@app.command()
def demo(
    url: Annotated[str, typer.Option(help="The running server.")] = "http://127.0.0.1:8000",
    operator_key: Annotated[
        str | None, typer.Option(envvar="ANNALS_OPERATOR_KEY", help="The key that the server printed.")
    ] = None,
) -> None:
    """Play a story on a running server: five users, three workspaces, and all that a history can hold."""
    from service.cli.demo import tell

    if operator_key is None:
        err.print(
            "annals: the demo makes a subscription: set ANNALS_OPERATOR_KEY to the key that the server "
            "printed at its first start",
            markup=False,
        )
        raise typer.Exit(1)
    with explained():
        tell(url.rstrip("/"), operator_key, lambda line: out.print(line, markup=False))


@app.command()
def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check everything that Annals needs on this machine; exit code 1 where something is missing."""
    from service.cli.doctor import examine

    with explained():
        settings, _ = load({"data_dir": data_dir})
        findings = examine(settings)
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        table = Table(box=None, show_header=False)
        for finding in findings:
            table.add_row(finding.verdict, finding.subject, finding.detail)
        out.print(table)
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)


@app.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Put right what is known to be wrong.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Read every object too, by `git fsck`.")] = False,
    subscription: Annotated[UUID | None, typer.Option(help="Only this subscription.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare the database with the repositories; exit code 1 where a finding is left."""
    from service.cli import verify
    from service.domain.ids import SubscriptionId

    only = None if subscription is None else SubscriptionId(subscription)
    with explained():
        settings, _ = read_settings(data_dir=data_dir)
        try:
            report = verify.verify(settings, progress, repair=repair, full=full, only=only)
        except verify.UnknownSubscription as error:
            raise typer.BadParameter(str(error), param_hint="--subscription") from None
    verify.show(report, as_json=as_json, console=out)
    if report.left:
        raise typer.Exit(1)


@db.command("upgrade")
def db_upgrade(data_dir: DataDir = None) -> None:
    """Bring the schema up to date, and make hypertables of the logs where TimescaleDB is present."""
    from service.processes.startup import prepared_database
    from sql.upgrade import current_revision

    with explained():
        settings, _ = read_settings(data_dir=data_dir)
        with prepared_database(settings, progress) as database:
            out.print(f"The schema is at revision {current_revision(database.url)}.", markup=False)


@app.command("rebuild")
def rebuild_database(
    from_git: Annotated[
        bool, typer.Option("--from-git", help="Required: the repositories are what there is to rebuild from.")
    ] = False,
    only_missing: Annotated[
        bool, typer.Option(help="Keep subscriptions that the database has, and add the others.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Read and judge everything, and write nothing.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Recreate a lost database from the repositories; exit code 1 where a subscription was refused."""
    from service.cli import rebuild

    if not from_git:
        raise typer.BadParameter("say --from-git: there is nothing else to rebuild from")
    with explained():
        settings, _ = read_settings(data_dir=data_dir)
        done = rebuild.run(
            settings,
            only_missing=only_missing,
            dry_run=dry_run,
            as_json=as_json,
            say=typer.echo,
            progress=progress,
        )
    if not done:
        raise typer.Exit(1)


@git.command("upkeep")
def upkeep(
    deep: Annotated[
        bool, typer.Option("--deep", help="Find deltas too: slower, and clones get small.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what has been unreachable for two weeks, too.")
    ] = False,
    subscription: Annotated[
        UUID | None, typer.Option(help="This repository, whether or not it needs it.")
    ] = None,
    budget: Annotated[float, typer.Option(help="Begin no repository after so many seconds.", min=0)] = 3600,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Merge the packs of the repositories that need it; exit code 1 where one failed."""
    from service.cli import git_upkeep

    with explained():
        settings, _ = read_settings(data_dir=data_dir)
        try:
            done = git_upkeep.run(
                settings, progress, deep=deep, prune=prune, only=subscription, budget_seconds=budget
            )
        except git_upkeep.UnknownRepository as error:
            raise typer.BadParameter(str(error), param_hint="--subscription") from None
    git_upkeep.show(done, as_json=as_json, console=out)
    if any(report.outcome == "failed" for report in done.reports):
        raise typer.Exit(1)


@config.command("show")
def config_show(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print each setting, its value and its origin; secrets are masked."""
    with explained():
        settings, origins = read_settings(data_dir=data_dir)
    shown: dict[str, dict[str, Any]] = {
        name: {"value": value, "origin": origins[name], "variable": variable(name)}
        for name, value in settings.model_dump(mode="json").items()
    }
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    table = Table("setting", "value", "from", "environment", box=None)
    for name, row in shown.items():
        table.add_row(name, "" if row["value"] is None else str(row["value"]), row["origin"], row["variable"])
    out.print(table)
