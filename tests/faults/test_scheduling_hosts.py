"""Three schedulers whose leaders are killed: the short form of `script/test jobs`."""

from pathlib import Path

from tests.faults.scheduling_hosts import JOBS, examine, hosts, stress
from tests.support.databases import Cluster


def test_every_slot_happens_once_or_is_recorded_as_missed_while_leaders_are_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    with hosts(cluster.migrated(), tmp_path, 3) as found:
        stress(found, seconds=10, between=(1.5, 3.0), seed=7)
    outcome = examine(found)
    assert outcome.wrong == []
    assert outcome.kills >= 2
    assert outcome.states["succeeded"] >= 4 * len(JOBS)
