"""A full disk is named in answers, readiness and log; nothing is lost, and room is enough to go on."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.archive.errors import ArchiveFull
from service.archive.store import ArchiveStore
from tests.support.api import refused
from tests.support.commands import annals
from tests.support.databases import Cluster, Database
from tests.support.running_server import OPERATOR_KEY, Server, running
from tests.support.small_disks import filled, small_disk
from tests.support.standing_server import Tenant, save, serving, workspace

SECONDS = 30
MOST_SAVES = 200
# The rows of the refused requests begin with the code, too.
EVENT = "storage_full: the disk of "


@dataclass
class OnSmallDisk:
    """A server one of whose folders is on a small disk, and a client of a tenant with a workspace."""

    server: Server
    disk: Path
    client: httpx.Client
    made: Any

    def readiness(self) -> httpx.Response:
        return httpx.get(f"{self.server.url}/readyz", timeout=SECONDS)

    def save_large(self, number: int) -> httpx.Response:
        """Save a document that needs new pages of the database."""
        path = f"/workspaces/{self.made['resource_id']}/versions"
        text = "".join(sha256(f"{number} {part}".encode()).hexdigest() for part in range(800))
        headers = {"Idempotency-Key": f"large-{number}"}
        return self.client.post(path, json={"data": {"n": number, "text": text}}, headers=headers)

    def saved_until_refused(self) -> tuple[int, httpx.Response]:
        """Save large documents until one is refused; returns its number, from 1, and the answer."""
        for number in range(1, MOST_SAVES):
            answer = self.save_large(number)
            if answer.status_code != 201:
                return number, answer
        raise AssertionError("the disk never was full")

    def current(self) -> int:
        """Return the number of the current version."""
        path = f"/workspaces/{self.made['resource_id']}"
        found: int = self.client.get(path).raise_for_status().json()["current_version"]
        return found

    def versions(self) -> list[int]:
        path = f"/workspaces/{self.made['resource_id']}/versions"
        items = self.client.get(path).raise_for_status().json()["items"]
        return sorted(item["version_number"] for item in items)


def until(holds: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def on_disk(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[OnSmallDisk, Database]]:
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "data" / "git", mebibytes=8))
        server, database = stack.enter_context(serving(cluster, tmp_path))
        client = stack.enter_context(Tenant(server.url).client(server.url))
        yield OnSmallDisk(server, disk, client, workspace(client, "w")), database


def test_a_full_disk_of_the_repositories_is_named_and_room_is_enough(
    on_disk: tuple[OnSmallDisk, Database],
) -> None:
    git_disk, database = on_disk
    before = git_disk.versions()
    with filled(git_disk.disk):
        refused(save(git_disk.client, git_disk.made, 2), 503, "storage_full")
        problem = refused(save(git_disk.client, git_disk.made, 2, key="k"), 503, "storage_full")
        assert problem["detail"] == "The disk of the repositories is full; nothing was stored."
        # Nothing of it is there, in neither store, and what was there is read.
        assert git_disk.versions() == before
        assert [each for each in git_disk.disk.rglob("pack/*") if each.name.startswith("tmp_")] == []
        until(lambda: git_disk.readiness().status_code == 503)
        checks = git_disk.readiness().json()["checks"]
        assert not checks["disk_git"]["ok"]
        assert checks["disk_git"]["detail"].startswith("full: ")
        looked = annals(None, "doctor", "--json", "--data-dir", str(git_disk.disk.parent), code=1)
        found = {each["subject"]: each for each in json.loads(looked.stdout)}
        assert found["disk of git"]["verdict"] == "fail"
    assert save(git_disk.client, git_disk.made, 2, key="k").status_code == 201
    assert git_disk.versions() == [*before, before[-1] + 1]
    until(lambda: git_disk.readiness().status_code == 200)
    # One row, however many changes were refused.
    query = "SELECT subscription_id, error_message FROM server_logs WHERE error_message IS NOT NULL"
    until(lambda: [each for each in database.rows(query) if each[1].startswith(EVENT)] != [])
    [(subscription, _)] = [each for each in database.rows(query) if each[1].startswith(EVENT)]
    assert subscription is None


def test_a_full_disk_of_postgresql_is_named_and_room_is_enough(tmp_path: Path) -> None:
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "data", mebibytes=160))
        # The repositories are elsewhere, so that the database alone has no room.
        stack.enter_context(small_disk(disk / "git", mebibytes=8))
        server = stack.enter_context(running(disk, ANNALS_OPERATOR_KEY=OPERATOR_KEY))
        client = stack.enter_context(Tenant(server.url).client(server.url))
        made = OnSmallDisk(server, disk, client, workspace(client, "w"))
        before = made.current()
        with filled(disk):
            number, answer = made.saved_until_refused()
            problem = refused(answer, 503, "storage_full")
            assert problem["detail"] == "The disk of the database is full; nothing was stored."
            until(lambda: made.readiness().status_code == 503)
            checks = made.readiness().json()["checks"]
            assert not checks["disk_postgres"]["ok"]
        until(lambda: made.save_large(number).status_code == 201)
        # Each change that was acknowledged is there, and the refused one once.
        assert made.current() == before + number
        until(lambda: made.readiness().status_code == 200)


def test_a_full_disk_of_the_archive_makes_no_archive_and_leaves_no_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "archive", mebibytes=1) as disk:
        store = ArchiveStore(str(disk))
        with filled(disk):
            with pytest.raises(ArchiveFull, match="its disk is full"):
                store.put("manifest", bytes(64 * 1024))
            with pytest.raises(ArchiveFull, match="its disk is full"), store.writer("rows") as sink:
                sink.write(bytes(64 * 1024))
        assert [each.name for each in disk.iterdir()] == []
        store.put("manifest", b"whole")
        assert store.read("manifest") == b"whole"
