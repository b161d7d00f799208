"""`annals verify`: compare the database with the repositories, and print the findings."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from gitstore.store import Store
from service.cli.console import operated
from service.cli.tables import harmless
from service.domain.ids import SubscriptionId
from service.recovery.checks.findings import Finding
from service.recovery.reconcile import VerifyDepth, VerifyReport, reconcile
from service.runtime.clock import system_clock
from service.runtime.settings import Settings
from sql.database import Database
from sql.queries import reconcile as queries

# A repair is recorded while another connection holds the lock.
_CONNECTIONS = 2


class UnknownSubscription(Exception):
    """No subscription has the given id."""


def verify(
    settings: Settings,
    progress: Callable[[str], None],
    *,
    repair: bool,
    full: bool,
    only: SubscriptionId | None,
) -> VerifyReport:
    """Compare rows with repositories; raises UnknownSubscription and the errors of `operated_database`."""
    with operated(settings, progress, connections=_CONNECTIONS) as database:
        if only is not None:
            _check_known(database, only)
        return reconcile(
            database,
            Store(settings.git_dir),
            system_clock,
            repair=repair,
            depth=VerifyDepth.OBJECTS if full else VerifyDepth.HISTORY,
            only=only,
            endpoint="annals verify --repair",
            progress=progress,
        )


def show(report: VerifyReport, *, as_json: bool, console: Console) -> None:
    """Print a report as JSON, or each finding with its repair."""
    if as_json:
        typer.echo(json.dumps(_plain(report), indent=2))
        return
    for finding in report.findings:
        for line in _lines(finding):
            console.print(Text(harmless(line)))
    repaired = len(report.findings) - len(report.left)
    counted = f"{report.subscriptions} subscriptions, {report.versions} versions"
    if not report.findings:
        console.print(Text(f"{counted}: all is as it has to be"))
        return
    console.print(
        Text(f"{counted}: {len(report.findings)} findings, {repaired} repaired, {len(report.left)} left")
    )


def _lines(finding: Finding) -> list[str]:
    state = "left" if finding.repaired is None else "repaired"
    where = "" if finding.subscription_id is None else f"subscription {finding.subscription_id}  "
    lines = [f"{state:<8}  {finding.code}  {where}{finding.subject}"]
    for name, value in (
        ("expected", finding.expected),
        ("found", finding.found),
        ("repair", finding.repaired),
        ("failed", finding.failed),
        ("to do", finding.to_do),
    ):
        if value is not None:
            lines.append(f"          {name:<8}  {value}")
    return lines


def _plain(report: VerifyReport) -> dict[str, Any]:
    findings = []
    for finding in report.findings:
        shown = asdict(finding)
        subscription_id = finding.subscription_id
        shown["subscription_id"] = None if subscription_id is None else str(subscription_id)
        findings.append({**shown, "to_do": finding.to_do})
    return {
        "subscriptions": report.subscriptions,
        "versions": report.versions,
        "repaired": len(report.findings) - len(report.left),
        "left": len(report.left),
        "findings": findings,
    }


def _check_known(database: Database, subscription_id: SubscriptionId) -> None:
    with database.transaction(subscription_id) as tx:
        if subscription_id not in queries.subscriptions(tx):
            raise UnknownSubscription(f"there is no subscription {subscription_id}")
