"""`annals git upkeep`: merge packs, find deltas and prune, run by the operator on the server."""

import json
from collections.abc import Callable
from dataclasses import asdict
from uuid import UUID

from rich.console import Console
from rich.table import Table

from gitstore.errors import RepositoryMissing
from gitstore.store import Store
from service.cli.console import operated
from service.domain.ids import SubscriptionId
from service.runtime.clock import system_clock
from service.runtime.settings import Settings
from service.usecases.maintenance.upkeep import UpkeepReport, UpkeepReports, tend, tend_all

# One holds the upkeep lock, one the lock on the repository's row, and a third settles the refs.
_CONNECTIONS = 3


class UnknownRepository(Exception):
    """The subscription has no repository on this machine."""


def run(
    settings: Settings,
    progress: Callable[[str], None],
    *,
    deep: bool,
    prune: bool,
    only: UUID | None,
    budget_seconds: float,
) -> UpkeepReports:
    """Tend one repository, or all that need upkeep.

    Raises UnknownRepository and the errors of `operated_database`.
    """
    store = Store(settings.git_dir)
    with operated(settings, progress, connections=_CONNECTIONS) as database:
        if only is None:
            return tend_all(
                database,
                store,
                at=system_clock(),
                deep=deep,
                prune=prune,
                budget_seconds=budget_seconds,
                tell=lambda report: progress(f"{report.subscription_id}: {report.outcome}"),
            )
        try:
            report = tend(database, store, SubscriptionId(only), at=system_clock(), deep=deep, prune=prune)
        except RepositoryMissing:
            raise UnknownRepository(f"subscription {only} has no repository in {settings.git_dir}") from None
        return UpkeepReports(reports=[report], left=0)


def show(done: UpkeepReports, *, as_json: bool, console: Console) -> None:
    """Print the outcomes: a line a repository, or JSON."""
    if as_json:
        console.print(json.dumps(asdict(done), indent=2, default=str), markup=False)
        return
    if not done.reports:
        console.print("No repository needs upkeep.")
    else:
        table = Table("subscription", "outcome", "packs", "size", "pruned", "seconds", box=None)
        for report in done.reports:
            table.add_row(*_cells(report))
        console.print(table)
    if done.left:
        console.print(f"{done.left} more need it; the time was over.")


def _cells(report: UpkeepReport) -> tuple[str, ...]:
    return (
        str(report.subscription_id),
        report.outcome if report.error is None else f"{report.outcome}: {report.error}",
        f"{report.packs_before} → {report.packs_after}",
        f"{_mebibytes(report.bytes_before)} → {_mebibytes(report.bytes_after)}",
        str(report.objects_pruned),
        f"{report.seconds:.1f}",
    )


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
