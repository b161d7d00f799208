"""The figures of growth: a check-in by size of the subscription, and the bytes of a version on the disk."""

from collections.abc import Callable
from pathlib import Path

from bench import tenants
from bench.figures import Demand, Measured
from bench.load import Chain
from bench.stage import Stage
from bench.tenants import Tenant

_SAVERS = 16

GROWTH = Demand(
    "growth", "one check-in, one client: p50 at 100,000 resources against 1,000", 1.5, 1.2, "×", at_most=True
)
WRITTEN = Demand("bytes-written", "repository KiB per version: as written", 10, 7, "KiB", at_most=True)
KEPT = Demand("bytes-kept", "the same after upkeep", 1.5, 0.7, "KiB", at_most=True)


def growth(stage: Stage) -> list[Measured]:
    """Alternately measure the same check-ins in a large and in a small subscription."""
    small, large = stage.small(), stage.large()
    measured = Measured(GROWTH, measure="ms")
    for tenant in (small, large):
        stage.upkeep(tenant)
    measured.notes.append(
        f"{stage.sizes.large:,} and {stage.sizes.small:,} resources, each made by a POST of its own; "
        "`annals git upkeep` ran after that"
    )
    for _ in range(stage.sizes.pairs):
        few, many = (
            stage.turn(_check_ins_of(stage, tenant), "check-in", clients=1) for tenant in (small, large)
        )
        measured.add(many.p50, few.p50)
        measured.traffic.append(many)
        stage.say(f"growth, pair {len(measured.ratios)}: {many.p50:.2f} ms against {few.p50:.2f} ms")
    return [measured]


def storage(stage: Stage) -> list[Measured]:
    """Measure the growth of the repository by small edits, and its size after deep upkeep."""
    hot = stage.hot()
    repository = stage.service().repository(hot.subscription_id)
    before, packs = _bytes(repository), _packs(repository)
    stage.save([hot], clients=_SAVERS, amount=stage.sizes.stored_edits)
    after = _bytes(repository)
    written = Measured(WRITTEN, measure="KiB")
    written.add((after - before) / stage.sizes.stored_edits / 1024, 1)
    written.notes.append(
        f"growth by {stage.sizes.stored_edits:,} small edits of {_SAVERS} clients, "
        f"{packs} packs before and {_packs(repository)} after"
    )
    kept = Measured(KEPT, measure="KiB")
    stage.upkeep(hot, "--deep")
    versions = _versions(stage, hot)
    kept.add(_bytes(repository) / versions / 1024, 1)
    kept.notes.append(
        f"the whole repository over its {versions:,} versions, the first {len(hot.workflows):,} of "
        "them whole documents"
    )
    return [written, kept]


def _check_ins_of(stage: Stage, tenant: Tenant) -> Callable[[int], list[Chain]]:
    return lambda amount: list(tenants.check_ins(tenant, amount, stage.rng))


def _versions(stage: Stage, tenant: Tenant) -> int:
    counted: int = stage.database.value(
        "SELECT count(*) FROM versions WHERE subscription_id = %s", tenant.subscription_id
    )
    return counted


def _bytes(repository: Path) -> int:
    return sum(file.stat().st_size for file in (repository / "objects").rglob("*") if file.is_file())


def _packs(repository: Path) -> int:
    return len(list((repository / "objects" / "pack").glob("*.pack")))
