"""Three servers on one database and one folder of repositories: the short form of `script/test hosts`."""

from pathlib import Path

import pytest

from tests.faults.three_hosts import hosts, prepared, stress
from tests.support.databases import Cluster

THREADS = 16


@pytest.mark.long
def test_three_hosts_write_one_history_and_each_resource_has_one_holder_at_a_time(
    cluster: Cluster, tmp_path: Path
) -> None:
    database = cluster.migrated()
    with hosts(tmp_path, database, 3) as ports:
        shared = prepared(ports[0], database, tmp_path, resources=10, users=THREADS)
        found = stress(shared, ports, threads=THREADS, seconds=8, seed=1)
    assert found.wrong == []
    assert found.held
    assert found.answers[201] > THREADS
