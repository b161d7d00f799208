"""The committer of a real `annals serve`: one per host, killed in the middle of writes, and restarted."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.api import Json
from tests.support.databases import Cluster
from tests.support.forks import forks
from tests.support.running_server import ANNALS, COMMITTER, WORKER, Server, arm
from tests.support.standing_server import (
    Standing,
    Tenant,
    save,
    serving,
    standing_server,
    workspace,
)
from tests.support.waiting import SECONDS, until


@pytest.fixture(scope="module")
def standing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A server for all of one file whose committer dies or fails at a place."""
    with standing_server(cluster, tmp_path_factory.mktemp("standing")) as standing:
        yield standing


def numbers(client: httpx.Client, resource: Json) -> list[int]:
    items = client.get(f"/workspaces/{resource['resource_id']}/versions").raise_for_status().json()["items"]
    return [item["version_number"] for item in items]


def log_of(server: Server) -> str:
    return (server.data_dir.parent / f"{server.data_dir.name}.log").read_text()


def ready(server: Server) -> tuple[int, Json]:
    answer = httpx.get(f"{server.url}/readyz", timeout=SECONDS)
    return answer.status_code, answer.json()


def test_there_is_one_committer_whatever_the_number_of_workers(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, "--workers", "3") as (server, _):
        assert len(server.pids(COMMITTER)) == 1
        assert len(server.pids(WORKER)) == 3
        with Tenant(server.url).client(server.url) as client, ThreadPoolExecutor(8) as threads:
            made = workspace(client, "w")
            answers = threads.map(lambda n: save(client, made, n).status_code, range(2, 42))
            assert set(answers) == {201}
            assert numbers(client, made) == list(range(42, 0, -1))[: len(numbers(client, made))]
        assert len(server.pids(COMMITTER)) == 1


def test_a_killed_committer_is_back_within_about_a_second_and_changes_only_wait(
    cluster: Cluster, tmp_path: Path
) -> None:
    with serving(cluster, tmp_path) as (server, database), Tenant(server.url).client(server.url) as client:
        made = workspace(client, "w")
        for number in range(2, 5):
            [before] = server.pids(COMMITTER)
            os.kill(before, signal.SIGKILL)
            began = time.monotonic()
            # Changes sent before a worker notices are in doubt; later ones are taken by the next committer.
            until(lambda pid=before: pid not in server.pids(COMMITTER))  # type: ignore[misc]
            time.sleep(0.1)
            answer = save(client, made, number)
            seconds = time.monotonic() - began
            assert answer.status_code == 201, answer.text
            # About a second, on a machine that may be busy.
            assert seconds < 4
            [after] = server.pids(COMMITTER)
            assert after != before
            until(lambda: ready(server)[0] == 200)
        assert numbers(client, made) == [5, 4, 3, 2, 1]
        assert "the committer died and is started again" in log_of(server)
        # Each restart is a row of the server log at the level of the platform.
        query = (
            "SELECT count(*) FROM server_logs WHERE subscription_id IS NULL"
            " AND error_message LIKE 'committer_restarted: the committer was started again: %%'"
        )
        until(lambda: database.value(query) == 3)


def test_a_second_committer_is_refused_by_the_lock_of_the_first(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path) as (server, _):
        [first] = server.pids(COMMITTER)
        # Held open by the supervisor, as its lock.
        opened = [each.readlink() for each in Path(f"/proc/{server.process.pid}/fd").iterdir()]
        [runtime] = {each for each in opened if each.name.startswith("annals-run-")}
        code, errors = forks("second_committer", runtime)
        assert code == 1
        assert errors == "another committer is at work on this host\n"
        assert server.pids(COMMITTER) == [first]
        assert ready(server)[0] == 200


def test_all_processes_end_when_the_supervisor_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, "--workers", "2") as (server, _):
        # The supervisor, the committer, two API workers, and four document workers for them.
        assert len(server.processes()) == 8
        server.process.kill()
        server.process.wait()
        server.wait_for_no_processes(10)


def test_they_end_as_well_while_they_are_still_starting(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path) as (server, _):
        [committer] = server.pids(COMMITTER)
        os.kill(committer, signal.SIGKILL)
        until(lambda: server.pids(COMMITTER) not in ([], [committer]))
        server.process.kill()
        server.process.wait()
        server.wait_for_no_processes(10)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("place", "is_stored"),
    [
        *(("change-received", False), ("batch-taken", False), ("repository-locked", False)),
        *(("pack-written", False), ("index-named", False), ("pack-durable", False), ("rows-written", False)),
        *(("committed", True), ("refs-locked", True), ("ref-moved", True), ("answer-ready", True)),
    ],
)
def test_death_in_the_middle_of_a_write_is_told_as_unknown_and_a_retry_tells_the_truth(
    standing: Standing, tmp_path: Path, place: str, is_stored: bool
) -> None:
    server = standing.server
    tenant = Tenant(server.url)
    with tenant.client(server.url) as client:
        made = workspace(client, "w")
        for number in (2, 3):
            save(client, made, number).raise_for_status()
        [before] = server.pids(COMMITTER)

        arm(standing.failpoint, f"{place}:kill")
        answer = save(client, made, 4, "once")

        assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
        assert int(answer.headers["retry-after"]) > 0
        until(lambda: server.pids(COMMITTER) not in ([], [before]))
        assert len(numbers(client, made)) == (5 if is_stored else 4)
        retried = save(client, made, 4, "once")
        assert (retried.status_code, retried.json()["version_number"]) == (201, 5)
        assert save(client, made, 4, "once").content == retried.content
        assert numbers(client, made) == [5, 4, 3, 2, 1]
        recorded = standing.database.value(
            "SELECT array_agg(version_number ORDER BY version_number) FROM data_change_history"
            " WHERE record_id = %s",
            made["resource_id"],
        )
        assert recorded == [1, 2, 3, 4, 5]
        clone = tenant.clone(server.url, tmp_path / "clone")
    log = subprocess.run(
        ["git", "-C", clone, "log", "--format=%H"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(log) == 5
    assert log[0] == retried.json()["git_commit_hash"]


@pytest.mark.parametrize(
    ("place", "answered", "is_stored", "logged"),
    [
        ("batch-taken", (500, "internal"), False, "a batch failed"),
        ("rows-written", (500, "internal"), False, "a change failed"),
        ("pack-written", (503, "store_unavailable"), False, "a store failed"),
        ("ref-moved", (503, "ref_not_moved"), True, "a ref could not follow its row"),
    ],
)
def test_what_fails_in_the_committer_is_answered_as_it_is_in_one_process_and_logged(
    standing: Standing, place: str, answered: tuple[int, str], is_stored: bool, logged: str
) -> None:
    server = standing.server
    said = len(log_of(server))
    with Tenant(server.url).client(server.url) as client:
        made = workspace(client, "w")
        arm(standing.failpoint, f"{place}:error")
        answer = save(client, made, 2, "once")
        assert (answer.status_code, answer.json()["code"]) == answered
        assert len(numbers(client, made)) == (3 if is_stored else 2)
        retried = save(client, made, 2, "once")
        assert (retried.status_code, retried.json()["version_number"]) == (201, 3)
        assert numbers(client, made) == [3, 2, 1]
    assert logged in log_of(server)[said:]
    assert f"the failpoint {place} was asked to fail" in log_of(server)[said:]


def test_death_under_load_loses_nothing_and_writes_nothing_twice(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, "--workers", "2", ANNALS_FAILPOINT="committed:kill:20") as (
        server,
        database,
    ):
        tenant = Tenant(server.url)
        with tenant.client(server.url) as client, ThreadPoolExecutor(8) as threads:
            made = [workspace(client, f"w{n}") for n in range(4)]

            def write(number: int) -> tuple[int, int, str]:
                resource = made[number % 4]
                for _ in range(20):
                    answer = save(client, resource, number + 10, f"key {number}")
                    if answer.status_code == 201:
                        found = answer.json()
                        return number % 4, found["version_number"], found["git_commit_hash"]
                    assert answer.status_code == 503, answer.text
                    assert answer.json()["code"] in (
                        "outcome_unknown",
                        "database_unavailable",
                        "request_in_flight",
                    )
                    time.sleep(0.2)
                raise AssertionError(answer.text)

            acknowledged = list(threads.map(write, range(120)))
        assert "the committer died" in log_of(server)
        for index, resource in enumerate(made):
            rows = database.rows(
                "SELECT version_number, git_commit_hash FROM versions WHERE resource_id = %s"
                " AND version_number > 2 ORDER BY version_number",
                resource["resource_id"],
            )
            mine = sorted((number, commit) for which, number, commit in acknowledged if which == index)
            assert rows == mine
            assert [number for number, _ in rows] == list(range(3, 33))


def test_of_a_committer_that_hangs_the_outcome_is_unknown_and_another_takes_its_place(
    cluster: Cluster, tmp_path: Path
) -> None:
    with serving(cluster, tmp_path) as (server, _), Tenant(server.url).client(server.url) as client:
        made = workspace(client, "w")
        [committer] = server.pids(COMMITTER)
        os.kill(committer, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as threads:
            sent = threads.submit(save, client, made, 2)
            # Reads are still served.
            assert numbers(client, made) == [2, 1]
            until(lambda: "no sign of life" in ready(server)[1]["checks"]["committer"]["detail"])
            answer = sent.result()
        assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
        assert re.search(r"has not answered for \d+ s", answer.json()["detail"])
        assert answer.headers["retry-after"].isdigit()
        status, body = ready(server)
        # The next committer may be there already.
        assert status == 200 or [name for name, check in body["checks"].items() if not check["ok"]] == [
            "committer"
        ]
        until(lambda: committer not in server.pids(COMMITTER))
        # The API may not have seen the end of the committer yet, and refuse.
        until(lambda: save(client, made, 3).status_code == 201)
        until(lambda: ready(server)[0] == 200)
        assert numbers(client, made) == [3, 2, 1]
        assert "the committer does not beat and is killed" in log_of(server)


def test_an_api_worker_that_is_stopped_does_not_hold_up_the_others(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, "--workers", "2") as (server, _):
        tenant = Tenant(server.url)
        with tenant.client(server.url) as client:
            made = workspace(client, "w")
        stopped = server.pids(WORKER)[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            began = time.monotonic()
            for number in range(2, 22):
                # Each on its own connection: only a running worker accepts it.
                with tenant.client(server.url) as client:
                    assert save(client, made, number).status_code == 201
            # A connection that the stopped worker had accepted would wait for 30 s.
            assert time.monotonic() - began < 30
            assert ready(server)[0] == 200
        finally:
            os.kill(stopped, signal.SIGCONT)


def test_what_is_under_way_when_the_server_is_stopped_is_answered(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, ANNALS_FAILPOINT="batch-planned:delay:800") as (server, database):
        with Tenant(server.url).client(server.url) as client, ThreadPoolExecutor(4) as threads:
            made = workspace(client, "w")
            sent = [threads.submit(save, client, made, number) for number in range(2, 6)]
            time.sleep(0.4)
            assert server.interrupt() == 0
            assert sorted(each.result().status_code for each in sent) == [201] * 4
        server.wait_for_no_processes(0)
        assert database.value("SELECT count(*) FROM versions") == 6
        assert "died" not in log_of(server)


def test_a_long_folder_for_temporary_files_is_no_obstacle(cluster: Cluster, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    with serving(cluster, tmp_path, TMPDIR=str(long)) as (server, _):
        with Tenant(server.url).client(server.url) as client:
            assert numbers(client, workspace(client, "w")) == [2, 1]
        # Kept open by the supervisor, as its lock.
        held = [each.readlink() for each in Path(f"/proc/{server.process.pid}/fd").iterdir()]
        [made] = {each for each in held if each.match("/tmp/annals-run-*")}
        assert made.stat().st_mode & 0o777 == 0o700
        assert server.interrupt() == 0
    assert not made.exists()


def test_a_failpoint_that_is_none_is_said_before_anything_is_served(tmp_path: Path) -> None:
    done = subprocess.run(
        [ANNALS, "serve", "--port", "0", "--data-dir", tmp_path / "data"],
        env=os.environ | {"ANNALS_FAILPOINT": "nowhere:kill"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "ANNALS_FAILPOINT: 'nowhere:kill' is not" in done.stderr
    assert not (tmp_path / "data").exists()
