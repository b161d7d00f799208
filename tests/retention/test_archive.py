"""The archive keeps rows unchanged, detects damage, and has no archive that is not whole."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, Timer

import httpx
import orjson
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import literal, make_url, select, text

from service.archive import comparing, reading, writing
from service.archive.errors import ArchiveDamaged, ArchiveError, ArchiveStopped
from service.archive.store import ArchiveStore, Format, opened
from service.runtime.settings import SettingsError, load
from sql.database import PLATFORM
from sql.database import Database as ServiceDatabase
from sql.errors import UnfitValue
from sql.models import TABLES
from sql.queries.archives import recorded
from sql.upgrade import newest_revision
from tests.support import archives
from tests.support.archives import (
    DAY,
    MADE_AT,
    NEXT_DAY,
    TEXTS,
    large_rows,
    of_day,
    restored,
    source,
    written,
)
from tests.support.commands import annals, on_a_terminal, rows
from tests.support.databases import Cluster, Database
from tests.support.project import ROOT

LOGS = ("server_logs", "execution_logs")
PART_BYTES = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Database:
    """A database with rows whose values are easily changed by an archive."""
    database = cluster.migrated()
    archives.fill(database)
    return database


@pytest.fixture(scope="module")
def pool(database: Database) -> Iterator[ServiceDatabase]:
    pool = ServiceDatabase(database.url, pool_size=2)
    yield pool
    pool.close()


@pytest.fixture
def store(tmp_path: Path) -> ArchiveStore:
    return ArchiveStore(str(tmp_path / "archive"))


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
def test_rows_come_back_as_they_were_and_only_once(
    pool: ServiceDatabase, tmp_path: Path, form: Format
) -> None:
    store = ArchiveStore((tmp_path / "archive").as_uri(), form)
    assert (tmp_path / "archive").stat().st_mode & 0o777 == 0o700
    for log in LOGS:
        with ThreadPoolExecutor() as writers:
            both = list(writers.map(lambda what: written(pool, store, what), [of_day(log)] * 2))
        assert len({each.archive_id for each in both}) == 2
        for each in both:
            reading.check_rows(store, each)
            assert (each.rows, each.oldest, each.schema_version) == (len(TEXTS), DAY, newest_revision())
        table = f"{form}_{log}"
        assert [each.added for each in restored(pool, store, both, table)] == [len(TEXTS), 0]
        assert archives.differing(pool, log, table) == 0
        assert [each.added for each in restored(pool, store, both, table)] == [0, 0]
    assert reading.listing(store).strays == []


def test_restored_rows_are_seen_by_their_subscription_and_marked(
    pool: ServiceDatabase, database: Database, store: ArchiveStore
) -> None:
    archive = written(pool, store, of_day("server_logs"))
    [done] = restored(pool, store, [archive])
    assert done.table == "restored_server_logs"
    [(row_id, subscription)] = database.rows(
        "SELECT log_id, subscription_id FROM restored_server_logs WHERE request_id = 'r4'"
    )
    find = "SELECT log_id, archive_id, restored_at FROM restored_server_logs"
    with database.connection("annals_service", scope=subscription) as connection:
        assert connection.execute(find).fetchall() == [(row_id, archive.archive_id, MADE_AT)]
        with pytest.raises(Exception, match="permission denied"):
            connection.execute("DELETE FROM restored_server_logs")
    assert database.rows(
        "SELECT new_values->>'into' FROM audit_logs WHERE action = 'RESTORE' AND resource_id = %s",
        str(archive.archive_id),
    ) == [("restored_server_logs",)]
    assert database.rows("SELECT rows, location FROM archives WHERE archive_id = %s", archive.archive_id) == [
        (len(TEXTS), store.location(archive.file))
    ]


def test_rows_are_found_in_the_archive_itself(pool: ServiceDatabase, store: ArchiveStore) -> None:
    for form in ("ndjson", "parquet"):
        store.format = form
        archive = written(pool, store, of_day("server_logs"))
        every = [orjson.loads(line) for line in archives.rows_of(store, [archive])]
        assert [row["error_message"] for row in every] == list(TEXTS)
        [third] = archives.rows_of(
            store, [archive], where={"response_status": "203", "error_message": TEXTS[3]}
        )
        assert orjson.loads(third) == every[3]
        assert archives.rows_of(store, [archive], subscription_id=every[3]["subscription_id"]) == [third]
        late = archives.rows_of(store, [archive], since=DAY.replace(hour=2), until=DAY.replace(hour=4))
        assert [orjson.loads(line)["request_id"] for line in late] == ["r2", "r3"]
        with pytest.raises(ArchiveError, match="no column state: it has log_id, created_at"):
            archives.rows_of(store, [archive], where={"state": "x"})
    assert reading.listing(store).chosen(since=NEXT_DAY) == []


def test_an_older_schema_restores_and_an_unknown_column_is_named(
    pool: ServiceDatabase, database: Database, store: ArchiveStore
) -> None:
    columns = TABLES["server_logs"].c
    few = written(pool, store, source(select(columns.log_id, columns.created_at, columns.endpoint)))
    restored(pool, store, [few], "few_columns")
    assert database.value("SELECT count(*) FROM few_columns WHERE request_id IS NULL") == few.rows
    newer = select(TABLES["server_logs"], literal("x").label("future"), literal(1).label("other"))
    with pytest.raises(ArchiveError, match=r"that few_columns has not: future, other;"):
        restored(pool, store, [written(pool, store, source(newer))], "few_columns")
    before = archives.count(pool, "audit_logs")
    bad = ("a b", "", "pg_class", 'x"; DROP TABLE users')
    for table in ("server_logs", "users", "restored_execution_logs", *bad):
        with pytest.raises(ArchiveError, match=r"choose another|no name of a table"):
            restored(pool, store, [few], table) if table != "restored_execution_logs" else _clash(pool, store)
    assert archives.count(pool, "audit_logs") == before + 1


def _clash(pool: ServiceDatabase, store: ArchiveStore) -> None:
    """Restore rows of one log into the table of another."""
    restored(pool, store, [written(pool, store, of_day("execution_logs"))])
    restored(pool, store, [written(pool, store, of_day("server_logs"))], "restored_execution_logs")


def test_damage_is_found(pool: ServiceDatabase, store: ArchiveStore, tmp_path: Path) -> None:
    whole, flipped, cut, lost, changed, gone = (written(pool, store, of_day("server_logs")) for _ in range(6))
    folder = tmp_path / "archive"
    content = bytearray((folder / flipped.file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / flipped.file).write_bytes(content)
    (folder / cut.file).write_bytes((folder / cut.file).read_bytes()[:-20])
    (folder / lost.path).unlink()
    told = (folder / changed.path).read_text()
    (folder / changed.path).write_text(told.replace('"range_end": "2026-03-02', '"range_end": "2026-03-03'))
    (folder / gone.file).unlink()
    verify = partial(
        annals, None, "archive", "verify", ANNALS_ARCHIVE_URL=str(folder),
        DATABASE_URL="postgresql://127.0.0.1:1/x",
    )  # fmt: skip
    alone = verify("--json", code=1)
    assert b"not compared with the database" in alone.stderr
    report = json.loads(alone.stdout)
    problems = {each["file"]: each["problem"] for each in report["archives"]}
    assert problems.pop(whole.file) is None
    assert sorted(problems) == sorted([flipped.file, cut.file, changed.path, gone.file])
    assert all(problems.values())
    assert (report["damaged"], report["strays"], report["compared"]) == (4, [lost.file], False)
    assert verify(whole.archive_id, "--no-database").stderr == b""
    with pytest.raises(ArchiveDamaged):
        restored(pool, store, [flipped], "from_damaged")
    with pytest.raises(ArchiveDamaged, match="its manifest says 10"):
        reading.check(store, replace(whole, rows=10))


def test_what_the_database_knows_is_missed(
    pool: ServiceDatabase, database: Database, store: ArchiveStore, tmp_path: Path
) -> None:
    kept, bare, lost = (written(pool, store, of_day("server_logs")) for _ in range(3))
    folder = tmp_path / "archive"
    for path in (bare.path, lost.path, lost.file):
        (folder / path).unlink()
    (folder / "stray").write_text("")
    archive = partial(
        annals, None, "archive", ANNALS_ARCHIVE_URL=str(folder), ANNALS_DATA_DIR=str(tmp_path / "data"),
        DATABASE_URL=database.url,
    )  # fmt: skip
    report = json.loads(archive("verify", "--json", code=1).stdout)
    known = "and the database knows the archive"
    assert {each["file"]: each["problem"] for each in report["archives"]} == {
        kept.file: None, bare.file: f"its manifest is missing, {known}", lost.file: f"it is missing, {known}"
    }  # fmt: skip
    assert (report["damaged"], report["strays"], report["compared"]) == (2, ["stray"], True)
    # Rows of other tests are in archives of their own.
    assert store.url not in report["elsewhere"]
    named = archive("verify", lost.archive_id, kept.archive_id, code=1).stdout.decode()
    assert (bare.file in named, "2 archives, 1 damaged or missing" in named) == (False, True)
    which = ("--log", "server_logs", "--from", "2026-03-01", "--to", "2026-03-02")
    done = archive("restore", *which, "--into", "after_a_loss", code=1)
    assert f"{lost.file}: not restored: it is missing, {known}".encode() in done.stderr
    assert archives.differing(pool, "server_logs", "after_a_loss") == 0
    with pool.transaction(PLATFORM) as tx:
        noted = {each.archive_id: each for each in recorded(tx, "server_logs")}
    comparing.check_record(kept, noted[kept.archive_id])
    with pytest.raises(ArchiveDamaged, match="something else than the database knows"):
        comparing.check_record(replace(kept, sha256=bare.sha256[::-1]), noted[kept.archive_id])


def test_the_commands_work_beside_the_data(pool: ServiceDatabase, database: Database, home: Path) -> None:
    annals(None, "archive", "list", code=1)
    archive = partial(
        annals, None, "archive", ANNALS_ARCHIVE_URL=str(home / "archive"), ANNALS_DATA_DIR=str(home / "data"),
        DATABASE_URL=database.url,
    )  # fmt: skip
    for command in (["list"], ["verify"], ["query", "--log", "server_logs"]):
        assert b"archive is not there" in archive(*command, code=1).stderr
    (home / "archive").mkdir()
    assert b"is empty" in archive("list").stderr
    made = written(pool, ArchiveStore(str(home / "archive")), of_day("server_logs"))
    [[archive_id, log, first, _, number, *_]] = rows(archive("list", COLUMNS="80"))
    assert (archive_id, log, number) == (str(made.archive_id), "server_logs", str(len(TEXTS)))
    assert first == "2026-03-01T00:00:00Z"
    narrow = on_a_terminal(
        None, "archive", "list", ANNALS_ARCHIVE_URL=str(home / "archive"), COLUMNS="80", NO_COLOR="1"
    )
    assert "…" not in narrow
    outside = archive("restore", "--log", "../../etc", "--from", "2026-03-01", code=2)
    assert b"is no log" in outside.stderr
    backwards = ("--log", "server_logs", "--from", "2026-03-02", "--to", "2026-03-01")
    assert b"--from is later than --to" in archive("query", *backwards, code=2).stderr
    found = archive("query", "--log", "server_logs", "--where", "request_id=r5", "--limit", 1)
    assert json.loads(found.stdout)["error_message"] == TEXTS[5]
    which = ("--log", "server_logs", "--from", "2026-03-01", "--to", "2026-03-02T00:00:00Z")
    done = archive("restore", *which, "--into", "by_command", "--json")
    assert json.loads(done.stdout)[0]["added"] == len(TEXTS)
    assert done.stderr == b""
    assert archives.differing(pool, "server_logs", "by_command") == 0


def test_a_full_disk_leaves_nothing_and_room_heals(pool: ServiceDatabase, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with archives.small_disk(disk) as give_room:
        store = ArchiveStore(str(disk / "archive"))
        with pytest.raises(ArchiveError, match="can't be written: its disk is full"):
            written(pool, store, source(large_rows(60)))
        assert archives.files(disk) == []
        give_room()
        reading.check(store, written(pool, store, source(large_rows(60))))


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
@pytest.mark.parametrize("rate", [2_000, 100])
def test_rows_are_read_no_faster_than_is_set(
    pool: ServiceDatabase, tmp_path: Path, form: Format, rate: int
) -> None:
    store = ArchiveStore(str(tmp_path), form, rows_per_second=rate)
    count = rate // 2
    rows = text("SELECT :day + n * interval '1 s' AS created_at FROM generate_series(1, :count) AS n")
    began = time.monotonic()
    manifest = written(pool, store, source(rows.bindparams(day=DAY, count=count)))
    assert manifest.rows == count
    # About half a second: the pauses are random.
    assert 0.25 < time.monotonic() - began < 5
    assert (manifest.oldest, manifest.newest) == (
        DAY + timedelta(seconds=1),
        DAY + timedelta(seconds=count),
    )


def test_a_server_that_ends_long_statements_does_not_end_this_one(database: Database, tmp_path: Path) -> None:
    url = make_url(database.url).update_query_dict({"options": "-c statement_timeout=300"})
    impatient = ServiceDatabase(url.render_as_string(hide_password=False), pool_size=1)
    store = ArchiveStore(str(tmp_path), rows_per_second=100)
    assert written(impatient, store, source(large_rows(50))).rows == 50
    impatient.close()


def test_rows_that_fail_half_way_make_no_archive_and_say_why(pool: ServiceDatabase, tmp_path: Path) -> None:
    rows = "SELECT CAST(:day AS timestamptz) AS created_at, 1 / (4000 - n) AS failing,"
    rows += " repeat('x', 900) AS long FROM generate_series(1, 5000) AS n"
    store = ArchiveStore(str(tmp_path))
    with pytest.raises(UnfitValue, match="division by zero"):
        written(pool, store, source(text(rows).bindparams(day=DAY)))
    assert archives.files(tmp_path) == []
    assert written(pool, store, of_day("server_logs")).rows == len(TEXTS)


def test_who_is_asked_to_stop_leaves_no_archive(pool: ServiceDatabase, tmp_path: Path) -> None:
    stop = Event()
    stopper = Timer(0.5, stop.set)
    store = ArchiveStore(str(tmp_path), rows_per_second=100)
    began = time.monotonic()
    stopper.start()
    with pytest.raises(ArchiveStopped), pool.transaction(PLATFORM) as tx:
        writing.write(tx, store, source(large_rows(1000)), at=MADE_AT, stop=stop)
    assert time.monotonic() - began < 9
    assert archives.files(tmp_path) == []


def test_what_parquet_has_no_form_for_is_refused_by_name(pool: ServiceDatabase, tmp_path: Path) -> None:
    what = source(select(literal(DAY).label("created_at"), text("'NaN'::numeric(5, 2) AS cpu_percent")))
    with pytest.raises(ArchiveError, match=r"cpu_percent has a value that Parquet can't hold: .*NaN"):
        written(pool, ArchiveStore(str(tmp_path), "parquet"), what)
    assert archives.files(tmp_path) == []
    assert written(pool, ArchiveStore(str(tmp_path)), what).rows == 1


def test_a_killed_writer_leaves_no_archive(database: Database, store: ArchiveStore, tmp_path: Path) -> None:
    program = f"""
from sqlalchemy import text
from service.archive.store import ArchiveStore
from sql.database import Database
from tests.support.archives import large_rows, source, written
rows = large_rows(600).text + " WHERE n < 600 OR pg_sleep(30) IS NOT NULL"
written(Database({database.url!r}, pool_size=1), ArchiveStore({str(tmp_path / "archive")!r}),
    source(text(rows).bindparams(**large_rows(600).compile().params)))
"""
    folder = tmp_path / "archive"
    writer = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        until = time.monotonic() + 60
        while not sum(path.stat().st_size for path in folder.rglob("*#*")):
            assert writer.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    [left] = archives.files(folder)
    found = reading.listing(store)
    assert (found.manifests, found.strays) == ([], [left])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a server with the S3 protocol."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    httpx.put(f"{endpoint}/annals").raise_for_status()
    yield "s3://annals/some/prefix"
    server.stop()


def test_a_bucket_is_an_archive_like_a_folder(
    pool: ServiceDatabase, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, _ = load({"archive_url": bucket}, {})
    store = opened(settings)
    assert store is not None
    in_parts = written(pool, store, source(large_rows(300)))
    assert in_parts.bytes > PART_BYTES
    small = written(pool, store, of_day("server_logs"))
    for each in reading.listing(store).manifests:
        reading.check_rows(store, each)
    assert len(archives.rows_of(store, [small])) == len(TEXTS)
    bundle = tmp_path / "git.bundle"
    bundle.write_bytes(os.urandom(100_000))
    kept = writing.write_file(
        store, bundle, log="git", suffix="bundle", subscription_id=small.archive_id, range_start=DAY,
        range_end=NEXT_DAY, at=MADE_AT,
    )  # fmt: skip
    assert b"".join(store.chunks(kept.file)) == bundle.read_bytes()
    store.put(small.file, b"damaged")
    with pytest.raises(ArchiveDamaged):
        reading.check(store, small)
    listed = reading.listing(store, "git")
    assert ([each.path for each in listed.manifests], listed.damaged) == ([kept.path], {})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    nobody = opened(settings)
    assert nobody is not None
    with pytest.raises(ArchiveError, match=r"the archive in s3://annals/some/prefix can't be written"):
        written(pool, nobody, of_day("server_logs"))


def test_no_rows_make_no_archive(pool: ServiceDatabase, store: ArchiveStore, tmp_path: Path) -> None:
    with pool.transaction(PLATFORM) as tx:
        assert writing.write(tx, store, of_day("node_execution_logs"), at=MADE_AT) is None
    assert archives.files(tmp_path) == []


@pytest.mark.parametrize(
    "url", ["gs://bucket", "s3://", "s3://key:secret@bucket", "file://host/path", "/proc/nothing", "s3:///x"]
)
def test_a_wrong_url_is_told(url: str) -> None:
    settings, _ = load({"archive_url": url}, {})
    with pytest.raises(SettingsError, match=r"archive_url \(ANNALS_ARCHIVE_URL\): "):
        opened(settings)
