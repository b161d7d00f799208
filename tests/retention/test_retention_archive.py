"""Archive, then drop: after a kill at any place or a full disk, each row is in the log or in an archive."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread, Timer
from typing import LiteralString

import orjson
import pytest
from psycopg import sql

from gitstore.failpoints import OF_RETENTION, VARIABLE
from jobs.runner import Runner
from service.archive import reading
from service.archive.errors import ArchiveError
from service.archive.manifests import Manifest
from service.archive.store import ArchiveStore
from service.usecases.maintenance import retention
from tests.support.api import Server, Tenant, ok
from tests.support.archives import files, small_disk
from tests.support.expired_logs import MARK, Logs, context_with
from tests.support.job_runs import job_context
from tests.support.project import ROOT
from tests.support.running_server import ANNALS

JOB = """
import sys
from uuid import uuid4
from service.processes.scheduler import job_context
from service.runtime import log_setup
from service.domain.job_runs import JobRun
from service.runtime.settings import load
from service.usecases.maintenance import retention
log_setup.configure("json", "error")
data_dir, archive_url, database_url = sys.argv[1:]
settings, _ = load({"data_dir": data_dir, "archive_url": archive_url}, {})
with job_context(settings, database_url) as context:
    print(retention.run(context, JobRun(run_id=uuid4(), job="retention", at=context.clock()))["rows"])
"""
LAST_RUN: LiteralString = "SELECT state, counts FROM job_runs ORDER BY scheduled_for DESC LIMIT 1"
LATE_ROW: LiteralString = (
    "INSERT INTO server_logs (log_id, created_at, request_id) VALUES (gen_random_uuid(), %s, 'r')"
)
# Of each log, in each test: a chunk is dropped as a whole, and rows of a tenant with a shorter term.
EXPECTED = {"server_logs": 8, "node_execution_logs": 8}


@pytest.fixture
def logs(lone_server: Server) -> Logs:
    """Logs with expired rows, some in a chunk with rows that are not."""
    logs, of = Logs(lone_server), Tenant(lone_server).subscription_id
    logs.clear()
    for log, level in (("server_logs", "server"), ("node_execution_logs", "node")):
        logs.rule(level, 10, of)
        logs.add(log, lone_server.clock() - timedelta(days=100), subscription_id=None, number=5)
        logs.add(log, lone_server.clock() - timedelta(days=20), subscription_id=of, number=3)
        logs.add(log, lone_server.clock() - timedelta(days=20), subscription_id=None, number=2)
    return logs


def run(logs: Logs, archive: Path, failpoint: str = "") -> subprocess.CompletedProcess[str]:
    """The job in a process of its own."""
    data_dir = logs.server.context.settings.data_dir
    return subprocess.run(
        [sys.executable, "-c", JOB, str(data_dir), str(archive), logs.database.url],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", VARIABLE: failpoint},
        capture_output=True,
        text=True,
        check=False,
    )


def stored(logs: Logs, log: str) -> dict[str, bytes]:
    """The rows of a test in a log, by their ids, as JSON."""
    [(column, value)] = MARK[log].items()
    query = sql.SQL("SELECT r.log_id::text, row_to_json(r)::text FROM {} r WHERE {} = %s")
    with logs.database.connection() as connection:
        rows = connection.execute(query.format(sql.Identifier(log), sql.Identifier(column)), [value])
        return {row[0]: orjson.dumps(orjson.loads(row[1])) for row in rows}


def archived(folder: Path, log: str) -> Counter[tuple[str, bytes]]:
    """The rows in whole archives, by their ids, and the number of archives that have each."""
    found: Counter[tuple[str, bytes]] = Counter()
    if folder.exists():
        store = ArchiveStore(str(folder))
        for manifest in reading.listing(store, log).manifests:
            for block in reading.blocks(store, manifest):
                for row in map(orjson.loads, block.splitlines()):
                    found[row["log_id"], orjson.dumps(row)] += 1
    return found


@pytest.mark.sampled(2)
@pytest.mark.parametrize("place", OF_RETENTION)
def test_killed_at_a_place_no_row_is_in_neither_and_the_next_run_ends_it(
    logs: Logs, tmp_path: Path, place: str
) -> None:
    before = {log: stored(logs, log) for log in EXPECTED}
    done = run(logs, tmp_path, f"{place}:kill")
    assert (done.returncode, done.stdout, done.stderr) == (-9, "", "")
    for log, rows in before.items():
        left, kept = stored(logs, log), archived(tmp_path, log)
        for row in rows.items():
            assert row in left.items() or row in kept
    logs.run(archive_url=str(tmp_path))
    for log, rows in before.items():
        left = stored(logs, log)
        assert len(left) == 2
        assert set(archived(tmp_path, log)) == rows.items() - left.items()
        # The database lists each whole archive, except one whose job was killed right after it was written.
        [(known, of_them)] = logs.database.rows(
            "SELECT count(*), coalesce(sum(rows), 0)::bigint FROM archives WHERE log = %s", log
        )
        assert known >= 2
        assert of_them >= EXPECTED[log]


def test_where_the_archive_does_not_take_a_log_others_go_and_the_next_run_recovers(
    logs: Logs, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "server_logs"
    in_the_way.write_text("")
    before = {log: stored(logs, log) for log in EXPECTED}
    with pytest.raises(ArchiveError, match="can't be written"):
        logs.run(archive_url=str(tmp_path))
    assert stored(logs, "server_logs") == before["server_logs"]
    assert len(stored(logs, "node_execution_logs")) == 2
    in_the_way.unlink()
    counts = logs.run(archive_url=str(tmp_path))
    assert (counts["rows"], counts["archived_rows"]) == (8, 8)
    for log, rows in before.items():
        assert set(archived(tmp_path, log)) == rows.items() - stored(logs, log).items()


def test_a_run_that_is_asked_to_stop_leaves_what_it_is_at_to_the_next(logs: Logs, tmp_path: Path) -> None:
    before = stored(logs, "server_logs")
    settings = {"archive_url": str(tmp_path), "archive_rows_per_second": 5}
    with job_context(logs.server) as context:
        context = context_with(context, settings)
        run = logs.run_of(context)
        stopper = Timer(0.5, run.stop.set)
        stopper.start()
        counts = retention.run(context, run)
    assert (counts["rows"], counts["left"], counts["is_complete"]) == (0, 4, False)
    assert stored(logs, "server_logs") == before
    assert files(tmp_path) == []
    assert logs.run(archive_url=str(tmp_path))["rows"] == 16


def test_a_command_that_is_told_to_end_stops_its_run_and_says_so(logs: Logs, tmp_path: Path) -> None:
    logs.clear()
    logs.add("server_logs", logs.server.clock() - timedelta(days=100), number=200)
    settings = {
        "DATABASE_URL": logs.database.url,
        "ANNALS_ARCHIVE_URL": str(tmp_path / "archive"),
        "ANNALS_ARCHIVE_ROWS_PER_SECOND": "50",
    }
    command: list[str | Path] = [
        ANNALS,
        "jobs",
        "run",
        "retention",
        "--data-dir",
        str(logs.server.context.settings.data_dir),
    ]
    process = subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE, text=True)
    state, deadline = None, time.monotonic() + 30
    while state != "running" and time.monotonic() < deadline:
        time.sleep(0.05)
        state = next(iter(row[0] for row in logs.database.rows(LAST_RUN)), None)
    time.sleep(0.5)
    # As Ctrl-C, for which Python has a handler of its own.
    process.send_signal(signal.SIGTERM)
    assert "what is left is done by the next" in process.communicate(timeout=30)[1]
    assert process.returncode == 130
    [(state, counts)] = logs.database.rows(LAST_RUN)
    assert (state, counts["left"], counts["is_complete"]) == ("succeeded", 1, False)
    assert logs.count("server_logs") == 200
    assert files(tmp_path / "archive") == []


def add_late(logs: Logs, of: str, number: int) -> None:
    """Add rows of a tenant past a term of ten days, to a chunk with a row that is not expired."""
    at = logs.server.clock() - timedelta(days=20)
    logs.add("server_logs", at, subscription_id=of, number=number)
    logs.add("server_logs", at, subscription_id=None)


def test_rows_that_go_with_their_archive_are_those_of_two_seconds(logs: Logs, tmp_path: Path) -> None:
    of = Tenant(logs.server).subscription_id
    logs.clear()
    logs.rule("server", 10, of)
    add_late(logs, of, number=7)
    assert logs.run(archive_url=str(tmp_path), archive_rows_per_second=3)["archived_rows"] == 7
    assert [each.rows for each in reading.listing(ArchiveStore(str(tmp_path))).manifests] == [6, 1]


def test_an_order_to_stop_is_heard_while_an_archive_is_read_again(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {log: stored(logs, log) for log in EXPECTED}
    with job_context(logs.server) as context:
        run = logs.run_of(context)

        def check(store: ArchiveStore, manifest: Manifest, seen: reading.Seen) -> None:
            run.stop.set()
            read_again(store, manifest, seen)

        read_again = reading.check
        monkeypatch.setattr("service.archive.writing.reading.check", check)
        counts = retention.run(context_with(context, {"archive_url": str(tmp_path)}), run)
    assert (counts["rows"], counts["archives"], counts["left"]) == (0, 0, 4)
    assert {log: stored(logs, log) for log in EXPECTED} == before
    assert files(tmp_path) == []


@pytest.mark.parametrize("is_rule", [False, True])
def test_who_keeps_rows_while_they_are_archived_does_not_wait_and_they_stay(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_rule: bool
) -> None:
    tenant = Tenant(logs.server)
    of = tenant.subscription_id
    logs.clear()
    logs.rule("server", 10, of)
    add_late(logs, of, number=3)
    waited: list[float] = []

    def keep(place: str) -> None:
        # The rows are deleted, and recorded as archived; not yet committed.
        if place == "rows-recorded" and not waited:
            began = time.monotonic()
            if is_rule:
                policies = [{"level": "server", "keep_days": None, "subscription_id": of}]
                ok(logs.server.operator.put("/v1/retention-policies", {"policies": policies}))
            else:
                ok(tenant.ana.post(f"{tenant.path}/holds", {"reason": "now"}), 201)
            waited.append(time.monotonic() - began)

    monkeypatch.setattr("service.usecases.maintenance.retention.passing", keep)
    counts = logs.run(archive_url=str(tmp_path))
    assert (counts["rows"], counts["archives"], counts["left"]) == (0, 0, int(is_rule))
    assert logs.count("server_logs", subscription_id=of) == 3
    assert files(tmp_path) == []
    # The archive waits for this call: to wait for it in turn would take until a lock times out.
    assert waited[0] < 3


def fill(file: Path) -> None:
    """Fill a disk."""
    with pytest.raises(OSError, match="No space left on device"):
        file.write_bytes(bytes(2**21))


def test_on_a_full_disk_nothing_goes_the_run_fails_visibly_and_the_next_one_recovers(
    logs: Logs, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    before = {log: stored(logs, log) for log in EXPECTED}
    with small_disk(disk) as give_room, job_context(logs.server) as context:
        runner = Runner(context_with(context, {"archive_url": str(disk / "archive")}))
        fill(disk / "ballast")
        ran = logs.server.clock()
        runner.run_slots("retention", [ran])
        [(state, error)] = logs.database.rows(
            "SELECT state, error FROM job_runs WHERE scheduled_for = %s", ran
        )
        assert (state, "its disk is full" in error) == ("failed", True)
        assert {log: stored(logs, log) for log in EXPECTED} == before
        give_room()
        again = logs.server.clock()
        runner.run_slots("retention", [again])
        rows = logs.database.rows("SELECT state, counts FROM job_runs WHERE scheduled_for = %s", again)
        assert [(state, counts["rows"], counts["archived_rows"]) for state, counts in rows] == [
            ("succeeded", 16, 16)
        ]
        for log, rows_before in before.items():
            gone = rows_before.items() - stored(logs, log).items()
            assert set(archived(disk / "archive", log)) == gone


def test_a_chunk_that_is_written_to_after_it_was_archived_is_left_to_the_next_run(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.clear()
    at = logs.server.clock() - timedelta(days=100)
    logs.add("server_logs", at, number=5)

    def late(place: str) -> None:
        if place == "archive-recorded":
            logs.add("server_logs", at)

    with monkeypatch.context() as patched:
        patched.setattr("service.usecases.maintenance.retention.passing", late)
        counts = logs.run(archive_url=str(tmp_path))
    assert (counts["rows"], counts["archived_rows"], counts["left"]) == (0, 5, 1)
    assert logs.count("server_logs") == 6
    before = stored(logs, "server_logs")
    assert logs.run(archive_url=str(tmp_path))["rows"] == 6
    assert set(archived(tmp_path, "server_logs")) == before.items()


def test_what_is_held_elsewhere_does_not_keep_rows_from_going(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, of = Tenant(logs.server), Tenant(logs.server).subscription_id
    logs.clear()
    logs.rule("server", 10, of)
    add_late(logs, of, number=3)

    def hold(place: str) -> None:
        if place == "rows-recorded":
            ok(other.ana.post(f"{other.path}/holds", {"reason": "elsewhere"}), 201)

    monkeypatch.setattr("service.usecases.maintenance.retention.passing", hold)
    counts = logs.run(archive_url=str(tmp_path))
    assert (counts["rows"], counts["archives"], counts["left"]) == (3, 1, 0)


def test_who_writes_to_a_chunk_all_the_while_keeps_it(logs: Logs, tmp_path: Path) -> None:
    logs.clear()
    at = logs.server.clock() - timedelta(days=100)
    logs.add("server_logs", at, number=50)
    over = Event()
    written = 0

    def write() -> None:
        nonlocal written
        with logs.database.connection("annals_ingest", "platform") as connection:
            while not over.wait(0.002):
                connection.execute(LATE_ROW, [at])
                written += 1

    writer = Thread(target=write)
    writer.start()
    try:
        counts = logs.run(archive_url=str(tmp_path))
    finally:
        over.set()
        writer.join()
    assert (counts["chunks"], counts["left"], counts["archives"]) == (0, 1, 1)
    before = stored(logs, "server_logs")
    assert len(before) == 50 + written
    assert logs.run(archive_url=str(tmp_path))["archived_rows"] == len(before)
    assert before.items() <= set(archived(tmp_path, "server_logs"))
    assert logs.chunks("server_logs") == 0


def test_a_row_that_is_committed_while_its_chunk_is_archived_is_kept(logs: Logs, tmp_path: Path) -> None:
    logs.clear()
    at = logs.server.clock() - timedelta(days=100)
    logs.add("server_logs", at, number=5)
    with logs.database.connection() as writer:
        writer.execute("BEGIN")
        writer.execute(LATE_ROW, [at])
        ended = Timer(1, lambda: writer.execute("COMMIT"))
        ended.start()
        counts = logs.run(archive_url=str(tmp_path))
        ended.join()
    assert (counts["chunks"], counts["archived_rows"], logs.count("server_logs")) == (0, 5, 6)
