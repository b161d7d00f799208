"""Scheduled upkeep and reconciliation of repositories, in bounded time; upkeep also records their sizes."""

from collections import Counter
from time import monotonic
from typing import Final

from service.domain.ids import SubscriptionId
from service.domain.job_runs import Counts, JobRun
from service.recovery import reconcile as reconciling
from service.recovery.reconcile import Bounds, VerifyDepth
from service.usecases.context import JobContext
from service.usecases.maintenance import upkeep as keeping

UPKEEP: Final = "upkeep"
DEEP_UPKEEP: Final = "deep-upkeep"
RECONCILE: Final = "reconcile"

# Light upkeep runs every few minutes, and must leave time on the disk for saves.
LIGHT_SECONDS: Final = 240.0
RECONCILE_SECONDS: Final = 300.0
# Findings logged in one run; of further findings only the number is recorded.
MAX_TOLD: Final = 100


def upkeep(context: JobContext, run: JobRun) -> Counts:
    """Merge packs of the repositories that need it most, for at most LIGHT_SECONDS."""
    return _tend(context, run, seconds=LIGHT_SECONDS, deep=False)


def deep_upkeep(context: JobContext, run: JobRun) -> Counts:
    """Merge packs, find deltas, and prune objects that were unreachable for two weeks."""
    return _tend(context, run, seconds=float("inf"), deep=True)


def _tend(context: JobContext, run: JobRun, *, seconds: float, deep: bool) -> Counts:
    outcomes: Counter[str] = Counter()
    freed = 0

    def tell(report: keeping.UpkeepReport) -> None:
        nonlocal freed
        outcomes[report.outcome] += 1
        freed += report.bytes_before - report.bytes_after
        if report.outcome != "busy":
            run.tell(
                f"repository {report.subscription_id}: {report.outcome}",
                {
                    "packs": [report.packs_before, report.packs_after],
                    "bytes": [report.bytes_before, report.bytes_after],
                    "objects_pruned": report.objects_pruned,
                    "seconds": report.seconds,
                    "error": report.error,
                },
            )

    done = keeping.tend_all(
        context.database,
        context.store,
        at=run.at,
        deep=deep,
        prune=deep,
        budget_seconds=min(seconds, max(0.0, run.deadline - monotonic())),
        stop=run.stop,
        tell=tell,
    )
    return {"repositories": len(done.reports), "left": done.left, "bytes_freed": freed, **outcomes}


def reconcile(context: JobContext, run: JobRun) -> Counts:
    """Compare rows with refs, subscription by subscription, and repair known faults.

    A run takes at most RECONCILE_SECONDS; the next run continues after the last subscription compared.
    """
    after = None if run.resume is None else SubscriptionId(run.resume)
    report = reconciling.reconcile(
        context.database,
        context.store,
        context.clock,
        repair=True,
        depth=VerifyDepth.REFS,
        bounds=Bounds(seconds=min(RECONCILE_SECONDS, run.deadline - monotonic()), after=after),
        endpoint=f"jobs/{run.job}",
    )
    for finding in report.findings[:MAX_TOLD]:
        run.tell(
            f"{finding.code}: {finding.subject}",
            {
                "subscription_id": finding.subscription_id and str(finding.subscription_id),
                "found": finding.found,
                "repaired": finding.repaired,
            },
        )
    return {
        "subscriptions": report.subscriptions,
        "findings": len(report.findings),
        "repaired": len(report.findings) - len(report.left),
        "resume": report.resume_after and str(report.resume_after),
    }
