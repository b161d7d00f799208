"""The figures of deletion: a large tree deleted and restored, against plain SQL with a commit by git."""

from typing import Any

import orjson

from bench import reference, tenants
from bench.figures import Demand, Measured, Traffic
from bench.load import Chain, LoadFailed
from bench.stage import Stage
from bench.tenants import Tenant

_DELETE = Demand("delete", "`DELETE` of a workspace with all that lies in it", 3, 2, "×", at_most=True)
_DELETE_TIME = Demand("delete-time", "the same, seconds", 10, 2, "s", at_most=True)
_RESTORE = Demand("restore", "`POST .../restore` of all deleted with it", 3, 2, "×", at_most=True)
_RESTORE_TIME = Demand("restore-time", "the same, seconds", 10, 2, "s", at_most=True)
DEMANDS = (_DELETE, _DELETE_TIME, _RESTORE, _RESTORE_TIME)


def delete_and_restore(stage: Stage) -> list[Measured]:
    """Delete and restore the tree repeatedly; each step directly follows the same step of the reference."""
    tenant, plain = stage.tree(), stage.plain()
    stage.database.vacuum()
    counts, resources = stage.sizes.tree.counts, stage.sizes.tree.resources
    delete, restore = _Step(stage, _DELETE, _DELETE_TIME), _Step(stage, _RESTORE, _RESTORE_TIME)
    before = _trees(stage, tenant)
    for _ in range(stage.sizes.pairs):
        deletion = delete.take(plain.delete(), tenants.deletion(tenant))
        _expect("the deleted resources", deletion["counts"], counts)
        restored = restore.take(plain.restore(), tenants.restoration(tenant, deletion["deletion_id"]))
        _expect("the restored resources", restored["restored"], counts)
        _expect("blobs", restored["blobs"], {"compared": resources, "equal": resources})
        _expect("the trees of both branches", _trees(stage, tenant), before)
    return [delete.ratio, delete.time, restore.ratio, restore.time]


class _Step:
    """The measurements of one of the two calls, deletion or restore."""

    def __init__(self, stage: Stage, ratio: Demand, time: Demand) -> None:
        self._stage = stage
        self.ratio = Measured(ratio, measure="ms")
        self.time = Measured(time)

    def take(self, reference_seconds: float, chain: Chain) -> Any:
        """Make the call, and return the answer."""
        outcome, cpu = self._stage.service().measured([chain], clients=1)
        [answer] = outcome.answers
        self.ratio.add(answer.seconds * 1000, reference_seconds * 1000)
        self.ratio.traffic.append(Traffic.of(outcome, answer.label, cpu))
        self.time.add(answer.seconds, 1)
        self._stage.say(
            f"{answer.label}, pair {len(self.ratio.ratios)}: {answer.seconds * 1000:,.0f} ms against "
            f"{reference_seconds * 1000:,.0f} ms = {self.ratio.ratios[-1]:.2f} ×"
        )
        return orjson.loads(answer.body)


def _trees(stage: Stage, tenant: Tenant) -> str:
    """Return the trees of `main` and `published`."""
    repository = stage.service().repository(tenant.subscription_id)
    return reference.git(repository, "rev-parse", "main^{tree}", "published^{tree}")


def _expect(what: str, seen: object, wanted: object) -> None:
    if seen != wanted:
        raise LoadFailed(f"{what}: {seen} instead of {wanted}")
