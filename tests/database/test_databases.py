"""The databases of the tests themselves: those of an interrupted run are dropped by the next one."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.databases import Cluster, Database, cluster_url
from tests.support.project import ROOT
from tests.support.waiting import until

# A run that makes a database, tells its name, and goes on until it is killed.
RUN = """
import sys, time
from tests.support.databases import Cluster, cluster_url
cluster = Cluster(cluster_url(), "interrupted")
print(cluster.empty().url, flush=True)
time.sleep(600)
"""


@pytest.fixture
def other() -> Iterator[Cluster]:
    """Another run, side by side with this one."""
    with closing(Cluster(cluster_url(), "other")) as other:
        yield other


def test_only_databases_of_dead_runs_are_dropped(other: Cluster, database: Database) -> None:
    def names() -> set[str]:
        return {name for (name,) in database.rows("SELECT datname FROM pg_database")}

    kept = other.empty().url.rpartition("/")[2]
    with subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        lost = run.stdout.readline().strip().rpartition("/")[2]
        with closing(Cluster(cluster_url(), "next")):
            assert {kept, lost} <= names()
        run.kill()
    mark = lost.rpartition("_")[0]
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"
    until(lambda: not database.rows(query, mark))

    def is_dropped() -> bool:
        # Another run may be dropping it, and then this one does not wait for it.
        with closing(Cluster(cluster_url(), "next")):
            return lost not in names()

    until(is_dropped)
    assert kept in names()
