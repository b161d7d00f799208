"""A version is on the disk before its COMMIT, and its refs before the answer, as strace shows."""

import time
from pathlib import Path

import pytest

from tests.faults.durability import STRACE, Call, calls, lacking
from tests.faults.fault_calls import Json, Wire, make, member
from tests.support.databases import Cluster
from tests.support.project import ROOT
from tests.support.running_server import OPERATOR_KEY, running

NO_FSYNC = """
import os, stat
synced = os.fsync
os.fsync = lambda descriptor: None if stat.{kind}(os.fstat(descriptor).st_mode) else synced(descriptor)
"""
NO_FSYNC_OF_FILES, NO_FSYNC_OF_FOLDERS = NO_FSYNC.format(kind="S_ISREG"), NO_FSYNC.format(kind="S_ISDIR")


def traced_save(cluster: Cluster, folder: Path, **environment: str) -> tuple[list[Call], Path, list[str]]:
    """Trace the committer during a save with tag and publication; returns calls, repository and refs."""
    trace = folder / "trace"
    database = cluster.migrated()
    given = {"DATABASE_URL": database.url, "ANNALS_OPERATOR_KEY": OPERATOR_KEY, **environment}
    with running(folder / "data", under=[*STRACE, str(trace)], **given) as server:
        port = int(server.url.rpartition(":")[2])
        operator = Wire(port, OPERATOR_KEY)
        subscription_id = make(operator, "POST", "/v1/subscriptions", {"name": "d"})["subscription_id"]
        base = f"/v1/subscriptions/{subscription_id}"
        wire = Wire(port, member(operator, base, "ana")["api_key"])
        resource_id = make(wire, "POST", f"{base}/workspaces", {"name": "w"})["resource_id"]
        at = f"{base}/workspaces/{resource_id}/versions"
        first: Json = {"data": {"n": 1}, "tag": "v1", "publish": True}
        make(wire, "POST", at, first)
        before = settled(trace)
        make(wire, "POST", at, {"data": {"n": 2}, "tag": "v2", "publish": True})
        lines = settled(trace)[len(before) :]
        operator.close()
        wire.close()
    tag = f"refs/tags/workspaces/{resource_id}/v2"
    repository = (folder / "data" / "git" / f"{subscription_id}.git").absolute()
    return calls(lines), repository, ["refs/heads/main", "refs/heads/published", tag]


def settled(trace: Path) -> list[str]:
    """Return the lines of the trace after a pause, in which all but heartbeats ends."""
    time.sleep(1.5)
    return trace.read_text(errors="replace").splitlines()


def test_pack_index_and_folder_are_synced_before_the_commit_and_the_refs_before_the_answer(
    cluster: Cluster, tmp_path: Path
) -> None:
    assert lacking(*traced_save(cluster, tmp_path)) == []


@pytest.mark.parametrize(
    ("without", "missing"),
    [
        (
            NO_FSYNC_OF_FILES,
            [
                "the .pack was not synced before it was named",
                "the .idx was not synced before it was named",
                "main was not synced before it was named",
                "published was not synced before it was named",
                "v2 was not synced before it was named",
            ],
        ),
        (
            NO_FSYNC_OF_FOLDERS,
            [
                "the folder of packs was not synced before COMMIT",
                "the folder of main was not synced before the answer",
                "the folder of published was not synced before the answer",
                "the folder of v2 was not synced before the answer",
            ],
        ),
    ],
    ids=["without fsync of files", "without fsync of folders"],
)
def test_a_server_that_does_not_sync_is_found_out(
    cluster: Cluster, tmp_path: Path, without: str, missing: list[str]
) -> None:
    # Every Python process of the server imports this module at its start.
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(without)
    root = str(ROOT)
    found = lacking(*traced_save(cluster, tmp_path, PYTHONPATH=f"{folder}:{root}"))
    assert found == missing
