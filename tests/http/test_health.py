"""Readiness and metrics: true, quick whatever hangs, and closed to strangers if the operator wants that."""

import asyncio
import errno
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.domain import ids
from service.http.app import create_app
from service.processes.startup import make_folders
from service.runtime.sampling import Sampler
from service.runtime.settings import load
from service.usecases.health import Health
from tests.support.api import Clock, Server, Tenant, ok, refused, served
from tests.support.databases import Cluster
from tests.support.waiting import until

KEY = "a-key-of-the-metrics"
ALL_BYTES = 2**30


@pytest.fixture(scope="module")
def watched(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose metrics have a key, and whose disks never have as much room as the operator wants."""
    settings, _ = load(
        {
            "data_dir": tmp_path_factory.mktemp("watched"),
            "metrics_key": KEY,
            "min_free_mb": ALL_BYTES,
            "archive_url": str(tmp_path_factory.mktemp("archive")),
        },
        {},
    )
    make_folders(settings)
    database, clock = cluster.migrated(), Clock()
    with served(create_app(settings, database_url=database.url, clock=clock), database, clock) as server:
        yield server
    cluster.drop(database)


def metrics_of(server: Server) -> str:
    response = server.http.get("/metrics", headers={"Authorization": f"Bearer {KEY}"})
    assert response.status_code == 200
    return response.text


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}]
)
def test_metrics_with_a_key_are_closed_to_strangers(watched: Server, headers: dict[str, str]) -> None:
    refused(watched.http.get("/metrics", headers=headers), 401, "unauthenticated")


def test_metrics_have_the_disks_the_processes_the_pools_the_queues_and_the_build(watched: Server) -> None:
    text = metrics_of(watched)
    for disk in ("git", "archive", "temporary"):
        assert re.search(rf'^annals_disk_free_bytes{{disk="{disk}"}} [1-9]', text, re.MULTILINE)
        assert f'annals_disk_full{{disk="{disk}"}} 0.0' in text
    for figure in ("resident_bytes", "cpu_seconds", "open_files", "threads"):
        assert re.search(rf'^annals_process_{figure}{{process="api"}} [0-9]', text, re.MULTILINE)
    assert 'annals_database_connections{pool="requests",process="api",state="at most"}' in text
    for queue in ("annals_commit_waiting_changes", "annals_server_log_waiting_rows"):
        assert re.search(rf"^{queue} [0-9]", text, re.MULTILINE)
    assert re.search(r'^annals_build_info{.*version="\d+\.\d+', text, re.MULTILINE)


def test_a_disk_with_little_room_is_a_warning_and_no_reason_to_refuse(watched: Server) -> None:
    answer = ok(watched.http.get("/readyz"))
    assert answer["ready"] is True
    for disk in ("git", "archive", "temporary"):
        assert re.fullmatch(r"[1-9]\d* bytes free in /\S+", answer["checks"][f"disk_{disk}"]["detail"])
    short = [each for each in answer["warnings"] if "ANNALS_MIN_FREE_MB" in each]
    assert len(short) == 3


def test_a_clock_before_1970_leaves_the_service_ready(tenant: Tenant) -> None:
    with tenant.server.clock.moved(days=-365 * 80):
        assert ok(tenant.server.http.get("/readyz"))["ready"] is True
        tenant.workflow()
    assert ok(tenant.server.http.get("/readyz"))["ready"] is True


def test_ids_are_minted_with_a_clock_before_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    # The library reads the clock of the machine, which no test can set.
    monkeypatch.setattr("time.time", lambda: -1.0)
    minted = {ids.mint() for _ in range(100)}
    assert len(minted) == 100
    assert {ids.minted_at(each) for each in minted} == {datetime(1970, 1, 1, tzinfo=UTC)}


@contextmanager
def silent_database() -> Iterator[str]:
    """Yield the URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://nobody@127.0.0.1:{listener.getsockname()[1]}/nothing"


def test_readiness_names_a_database_that_hangs_and_for_how_long(watched: Server) -> None:
    with silent_database() as url:
        vitals = Health(watched.context, url, sample=lambda: None)
        found = asyncio.run(vitals.readiness())
        text = ""

        def has_those_of_files() -> bool:
            nonlocal text
            text = asyncio.run(vitals.exposition()).decode()
            return "annals_disk_free_bytes" in text

        # A busy machine may take longer to look at its disks than the figures wait for them.
        until(has_those_of_files)
        vitals.close()
    assert found.ready is False
    assert re.fullmatch(r"has not answered for \d+\.\d s", found.checks["database"].detail)
    assert found.checks["disk_git"].ok
    assert found.checks["repositories"].ok
    # The figures of the database are missing, and all others are there.
    assert "annals_job_failed" not in text
    assert "annals_build_info" in text


def test_readiness_and_metrics_answer_where_a_schedule_can_not_be_read(watched: Server) -> None:
    with watched.database.connection() as connection:
        connection.execute(
            "INSERT INTO job_schedules (job, time_zone, is_paused, changed_at, changed_by)"
            " VALUES ('upkeep', 'Nowhere/Land', false, now(), 'operator')"
        )
    try:
        with watched.clock.moved(seconds=2):
            assert watched.http.get("/readyz").status_code == 503
            metrics_of(watched)
    finally:
        with watched.database.connection() as connection:
            connection.execute("DELETE FROM job_schedules")


def test_a_process_that_can_not_be_sampled_goes_on() -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    Sampler("test", {}, fail).sample()


def test_readiness_names_a_folder_that_is_gone(watched: Server, tmp_path: Path) -> None:
    settings = watched.context.settings.model_copy(update={"data_dir": tmp_path / "gone"})
    vitals = Health(replace(watched.context, settings=settings), watched.database.url, sample=lambda: None)
    found = asyncio.run(vitals.readiness())
    vitals.close()
    assert found.ready is False
    assert found.checks["repositories"].detail == "the folder is not writable"
    assert "can't be written" in found.checks["disk_git"].detail
