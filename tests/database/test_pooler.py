"""Behind PgBouncer in transaction mode: each transaction may be on another connection of the server."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from jobs.scheduler import Scheduler
from service.domain.job_runs import Counts, JobRun
from service.http.app import create_app
from service.processes.scheduler import job_context
from service.processes.startup import make_folders
from service.runtime.settings import load
from service.usecases.context import JobContext
from service.usecases.maintenance.table import ScheduledJob
from sql.errors import SchemaError
from sql.upgrade import upgrade
from tests.support.api import OPERATOR_KEY, Clock, Tenant, ok, served
from tests.support.databases import Cluster, Database
from tests.support.serving import set_operator_key

READY_SECONDS = 20
NOBODY = 65534


@pytest.fixture(scope="module")
def pooler() -> Iterator[int]:
    """The port of a PgBouncer in front of the tests' server, with few connections of its own."""
    program = shutil.which("pgbouncer")
    assert program, "pgbouncer is missing: script/test installs it"
    url = make_url(os.environ["ANNALS_TEST_DATABASE_URL"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not below pytest's folders, which are closed to the user that PgBouncer has to run as.
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "pgbouncer.ini"
        server = f"host={url.host} port={url.port} user={url.username} password={url.password}"
        settings.write_text(
            f"[databases]\n* = {server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 5\nunix_socket_dir =\n"
        )
        Path(folder).chmod(0o755)
        is_root = os.geteuid() == 0
        process = subprocess.Popen([program, settings], user=NOBODY if is_root else None)
        try:
            deadline = time.monotonic() + READY_SECONDS
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()


def pooled(database: Database, port: int) -> str:
    """The database's URL through the pooler."""
    url = make_url(database.url).set(host="127.0.0.1", port=port)
    return url.render_as_string(hide_password=False)


def test_the_api_the_committer_and_the_jobs_work_through_it(
    cluster: Cluster, pooler: int, tmp_path: Path
) -> None:
    database, clock = cluster.migrated(), Clock()
    url = pooled(database, pooler)
    upgrade(url, lambda _: None)
    settings, _ = load({"data_dir": tmp_path}, {})
    make_folders(settings)
    set_operator_key(database, clock, OPERATOR_KEY)
    runs: list[JobRun] = []

    def work(_context: JobContext, run: JobRun) -> Counts:
        runs.append(run)
        return {}

    names = ("one", "two", "three")
    table = {name: ScheduledJob(name=name, summary=name, cron="* * * * * *", run=work) for name in names}
    with (
        served(create_app(settings, database_url=url, clock=clock), database, clock) as server,
        job_context(settings, url) as context,
    ):
        scheduler = Scheduler(context, table=table)
        thread = threading.Thread(target=scheduler.run)
        thread.start()
        try:
            tenant = Tenant(server)
            workflow = tenant.workflow()
            # More often than the driver executes a statement before it prepares it.
            for number in range(12):
                tenant.save(workflow, {"n": number})
            assert ok(tenant.ana.get(tenant.at(workflow)))["current_version"] == 13
            deadline = time.monotonic() + READY_SECONDS
            while len(runs) < 2 * len(names):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            scheduler.stop()
            thread.join()
    states = database.rows("SELECT DISTINCT state FROM job_runs")
    assert states == [("succeeded",)]


def test_the_schema_is_not_changed_through_it(cluster: Cluster, pooler: int) -> None:
    with pytest.raises(SchemaError, match="through a connection pooler"):
        upgrade(pooled(cluster.empty(), pooler), lambda _: None)
