"""The operator's pages of archives: the list with the state of each file, and one of them."""

import csv
import io
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.usecases import archives
from sql.database import PLATFORM
from sql.queries.archives import page
from tests.support.api import UNKNOWN, Server, Tenant
from tests.support.databases import Cluster
from tests.support.expired_logs import Logs, context_with
from tests.support.serving import serving
from tests.support.web import Browser, Page

HERE = "/platform/archives"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="module")
def logs(cluster: Cluster, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    """Logs of a server with an archive, to which rows of two logs and of a tenant were moved."""
    with serving(cluster, tmp_path_factory.mktemp("data"), archive_url=str(archive)) as server:
        logs = Logs(server)
        tenant = Tenant(server)
        logs.rule("server", 10, tenant.subscription_id)
        # Rows a second apart lie in one chunk, which spans a day.
        noon = server.clock().replace(hour=12, minute=0)
        logs.add("server_logs", noon - timedelta(days=100), number=3)
        logs.add("audit_logs", noon - timedelta(days=30), number=2)
        own = noon - timedelta(days=20)
        logs.add("server_logs", own, number=4, subscription_id=tenant.subscription_id)
        # A row of others keeps their chunk.
        logs.add("server_logs", own)
        logs.run()
        yield logs


@pytest.fixture
def browser(logs: Logs) -> Browser:
    return Browser(logs.server).sign_in(logs.server.operator)


def rows_of(page: Page) -> list[str]:
    return [row.text for row in page.root.all("tr") if row.all("td")]


def files(archive: Path, end: str) -> list[Path]:
    return sorted(archive.rglob(f"*{end}"))


def test_archives_are_listed_with_size_digest_and_state(browser: Browser, logs: Logs) -> None:
    page = browser.see(HERE)
    rows = rows_of(page)
    assert len(rows) == 2
    whole = next(row for row in rows if "of all subscriptions" in row)
    own = next(row for row in rows if "acme" in row)
    assert ("Rows: 3 " in whole, whole.endswith("there")) == (True, True)
    assert ("Rows: 4 " in own, own.endswith("there")) == (True, True)
    listed = list(csv.DictReader(io.StringIO(browser.see(page.link("CSV")).source)))
    assert [row["archive_id"] for row in listed] == [
        link.rpartition("/")[2] for link in page.links if link.startswith(f"{HERE}/")
    ]
    assert all(f"{row['sha256'][:12]}…" in page.words for row in listed)
    recorded = logs.database.rows("SELECT archive_id::text, rows, sha256 FROM archives ORDER BY 1")
    assert sorted((row["archive_id"], int(row["rows"]), row["sha256"]) for row in listed) == recorded


def test_archives_are_narrowed_by_log_and_by_subscription(browser: Browser, logs: Logs) -> None:
    of = logs.database.value("SELECT subscription_id::text FROM archives WHERE subscription_id IS NOT NULL")
    page = browser.see(HERE, subscription_id=of)
    assert len(rows_of(page)) == 1
    assert len(browser.see(page.link("CSV")).source.splitlines()) == 2
    assert len(rows_of(browser.see(HERE, log="server_logs"))) == 2
    assert "None of these." in browser.see(HERE, log="audit_logs").words
    browser.see(HERE, 422, subscription_id="none")
    browser.see(HERE, 422, log="l" * 101)


def test_one_archive_tells_how_it_is_read(browser: Browser, logs: Logs) -> None:
    page = browser.see(next(link for link in browser.see(HERE).links if link.startswith(f"{HERE}/")))
    archive_id = page.path.rpartition("/")[2]
    sha256, location = logs.database.rows(
        "SELECT sha256, location FROM archives WHERE archive_id = %s", archive_id
    )[0]
    for text in (
        sha256,
        location,
        f"annals archive restore {archive_id}",
        f"annals archive verify {archive_id}",
    ):
        assert text in page.words
    browser.see(f"{HERE}/{UNKNOWN}", 404)
    browser.see(f"{HERE}/none", 404)


def test_what_is_lost_or_damaged_is_told(browser: Browser, archive: Path) -> None:
    data, manifests = files(archive, ".zst"), files(archive, ".manifest.json")
    assert (len(data), len(manifests)) == (2, 2)
    kept = {path: path.read_bytes() for path in (*data, *manifests)}
    try:
        data[0].unlink()
        manifests[1].write_bytes(kept[manifests[1]].replace(b'"rows": ', b'"rows": 1'))
        words = sorted(row.rpartition(" ")[2] for row in rows_of(browser.see(HERE)))
        assert words == ["damaged", "missing"]
        manifests[1].unlink()
        states = {row.rpartition(" ")[2] for row in rows_of(browser.see(HERE))}
        assert states == {"damaged", "missing"}
        data[0].write_bytes(kept[data[0]] + b"x")
        data[1].write_bytes(kept[data[1]])
        manifests[1].write_bytes(kept[manifests[1]])
        page = browser.see(HERE)
        assert sorted(row.rpartition(" ")[2] for row in rows_of(page)) == ["damaged", "there"]
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def test_a_server_without_an_archive_says_so(server: Server) -> None:
    page = Browser(server).sign_in(server.operator).see(HERE)
    assert "No archive is set on this server" in page.words


def test_an_archive_that_does_not_answer_is_given_up(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LOOK_SECONDS", 0.3)
    with logs.server.context.database.transaction(PLATFORM) as tx:
        rows = page(tx, archives.ArchiveFilter(), before=None, limit=10)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}"),
            ("AWS_REGION", "eu-1"),
            ("AWS_ACCESS_KEY_ID", "k"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
        ):
            monkeypatch.setenv(name, value)
        context = context_with(logs.server.context, {"archive_url": "s3://bucket/annals"})
        found = archives.findings(context, rows)
    assert len(found) == 2
    unknown = archives.ArchiveFinding(archives.ArchiveState.UNKNOWN, "the archive does not answer")
    assert set(found.values()) == {unknown}
