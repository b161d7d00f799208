"""`annals serve` as an operator meets it: started, stopped, killed, started again."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from sql.embedded.server import EmbeddedPostgres
from tests.support import pkt_lines
from tests.support.process_table import children, lives, name_of, starters
from tests.support.project import ROOT
from tests.support.running_server import (
    COMMITTER,
    OPERATOR_KEY,
    SCHEDULER,
    WORKER,
    Server,
    failed_start,
    running,
)
from tests.support.standing_server import Tenant
from tests.support.waiting import until

pytestmark = pytest.mark.embedded
KILLS = int(os.environ.get("ANNALS_TEST_KILLS", "8"))


def pasted(server: Server, program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line that the server printed in a shell."""
    line = next(line.strip() for line in server.printed.splitlines() if line.strip().startswith(program))
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False)


def test_the_first_start_prints_the_key_once_and_commands_that_work(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    # The installed program, where other tests have forks.
    with running(data_dir, under=["env"]) as server:
        assert server.printed.startswith("Operator key, shown this once: annals_")
        curl = pasted(server, "curl", tmp_path)
        assert curl.returncode == 0, curl.stderr
        assert '"username":"admin"' in curl.stdout
        clone = pasted(server, "git clone", tmp_path)
        assert clone.returncode == 0, clone.stderr
        assert list((tmp_path / "first-steps").glob("workspaces/*/*.json"))
        assert server.interrupt() == 0
        server.wait_for_no_processes(0)
    with running(data_dir) as server:
        assert "Operator key" not in server.printed
        assert pasted(server, "curl", tmp_path).returncode == 0
        (tmp_path / "again").mkdir()
        again = pasted(server, "git clone", tmp_path / "again")
        assert again.returncode == 0, again.stderr


def test_no_process_has_a_secret_in_its_environment(tmp_path: Path) -> None:
    secrets = {"ANNALS_OPERATOR_KEY": OPERATOR_KEY, "ANNALS_METRICS_KEY": "a-metrics-key-of-the-tests"}
    # The installed program: that of a fork is the environment of the process that it is forked from.
    with running(tmp_path / "data", under=["env"], ANNALS_PORTT="1", ANNALS_JOBS="true", **secrets) as server:
        assert pasted(server, "git clone", tmp_path).returncode == 0
        pids = {server.process.pid, *server.processes()}
        names = {name_of(pid) for pid in pids}
        assert {COMMITTER, WORKER, SCHEDULER} < names
        assert any("postgres" in name for name in names)
        for pid in pids:
            environment = (Path("/proc") / str(pid) / "environ").read_bytes()
            for secret in secrets.values():
                assert secret.encode() not in environment, name_of(pid)
        # They count nevertheless.
        for path, key in zip(("/v1/subscriptions", "/metrics"), secrets.values(), strict=True):
            answer = httpx.get(server.url + path, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200
    said = (tmp_path / "data.log").read_text()
    assert "ANNALS_PORTT is no setting and is ignored: is ANNALS_PORT meant?" in said


def test_a_forgotten_variable_is_gone_for_the_process_and_its_children() -> None:
    program = (
        "import os, subprocess; from pathlib import Path; from service.runtime import environment\n"
        "environment.forget(['DATABASE_URL', 'ABSENT'])\n"
        "print(Path('/proc/self/environ').read_bytes(), os.environ.get('DATABASE_URL'))\n"
        "print(subprocess.run(['env'], capture_output=True, text=True, check=True).stdout)"
    )
    given = {"DATABASE_URL": "postgresql://u:hunter2@h/d", "ELSE": "stays"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=os.environ | given, capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "hunter2" not in done.stdout
    assert "DATABASE_URL=\\x00" in done.stdout
    assert done.stdout.count("ELSE=stays") == 2


def test_an_interrupt_before_anything_was_started_ends_it_without_a_word(tmp_path: Path) -> None:
    program = "from service.cli.entry import run; run()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--data-dir", tmp_path / "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # It imports its modules.
    maps = Path(f"/proc/{process.pid}/maps")
    until(lambda: "pydantic_core" in maps.read_text())
    process.send_signal(signal.SIGINT)
    assert process.communicate() == (b"", b"")
    assert process.returncode == -signal.SIGINT
    assert not (tmp_path / "data").exists()


def test_the_key_of_the_first_start_opens_the_door_for_the_operator(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        found = re.search(r"shown this once: (\S+)", server.printed)
        assert found
        answer = httpx.get(f"{server.url}/v1/whoami", headers={"Authorization": f"Bearer {found[1]}"})
        assert answer.json()["role"] == "operator"


def test_the_chosen_operators_key_is_known_as_soon_as_the_server_is_ready(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    roles: list[str] = []

    def ask() -> None:
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        deadline = time.monotonic() + 60
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            while not roles and time.monotonic() < deadline:
                with suppress(httpx.TransportError):
                    if client.get("/readyz").status_code == 200:
                        roles.append(client.get("/v1/whoami").json()["role"])

    asking = threading.Thread(target=ask)
    asking.start()
    with running(tmp_path / "data", "--port", str(port), ANNALS_OPERATOR_KEY=OPERATOR_KEY):
        asking.join()
    assert roles == ["operator"]


def test_a_supervisor_killed_leaves_a_postgresql_that_the_next_start_takes_over(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running(data_dir, ANNALS_OPERATOR_KEY=OPERATOR_KEY) as server:
        tenant = Tenant(server.url)
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 20
        while any("postgres" not in command for command in server.processes().values()):
            assert time.monotonic() < deadline, server.processes()
            time.sleep(0.1)
        orphans = {pid for pid, command in server.processes().items() if "bin/postgres -D" in command}
        assert orphans
        with running(data_dir, ANNALS_OPERATOR_KEY=OPERATOR_KEY) as second:
            assert orphans <= second.processes().keys()
            with tenant.client(second.url) as client:
                assert client.get("/workspaces").status_code == 200
            assert second.interrupt() == 0
            second.wait_for_no_processes(0)


def test_a_worker_or_scheduler_that_dies_is_replaced(tmp_path: Path) -> None:
    chosen = {"ANNALS_OPERATOR_KEY": OPERATOR_KEY, "ANNALS_JOBS": "true"}
    with running(tmp_path / "data", "--workers", "2", **chosen) as server:
        tenant = Tenant(server.url)
        workers = server.pids(WORKER)
        assert len(workers) == 2
        [scheduler] = server.pids(SCHEDULER)
        # A process that forks must be alone.
        assert [each.name for each in Path(f"/proc/{server.process.pid}/task").iterdir()] == [
            str(server.process.pid)
        ]
        os.kill(workers[0], signal.SIGKILL)
        os.kill(scheduler, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while True:
            now = server.pids(WORKER)
            if len(now) == 2 and workers[0] not in now:
                break
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
        with tenant.client(server.url) as client:
            assert client.post("/workspaces", json={"name": "after"}).status_code == 201
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as operator:
            run = operator.post("/v1/maintenance/jobs/reconcile/run").raise_for_status().json()
            while run["ended_at"] is None:
                assert time.monotonic() < deadline, run
                time.sleep(0.2)
                run = operator.get(f"/v1/maintenance/runs/{run['run_id']}").raise_for_status().json()
            assert run["state"] == "succeeded"
            assert int(run["process"].rpartition(":")[2]) not in (scheduler, os.getpid())


def test_a_worker_that_is_killed_takes_its_git_along(tmp_path: Path) -> None:
    with running(tmp_path / "data", ANNALS_OPERATOR_KEY=OPERATOR_KEY) as server:
        tenant = Tenant(server.url)
        # Linux lets an unbounded receive buffer grow to all that git sends.
        with tenant.client(server.url, receive_bytes=64 * 1024) as client:
            # More than sockets and pipes hold, so that git is still writing.
            for number in range(8):
                large = {"name": f"{number}", "definition": {"noise": os.urandom(3_500_000).hex()}}
                head = client.post("/workspaces", json=large).raise_for_status().json()["git_commit_hash"]
            [worker] = server.pids(WORKER)
            upload_pack = f"{server.url}/git/{tenant.subscription_id}.git/git-upload-pack"
            body = pkt_lines.line(f"want {head}\n") + pkt_lines.FLUSH + pkt_lines.line("done\n")
            with client.stream("POST", upload_pack, content=body) as answer:
                assert answer.status_code == 200
                # Kept, since the end of the iterator would end the connection.
                parts = answer.iter_bytes()
                assert next(parts)
                [starter] = starters(worker)
                [git] = children(starter)
                serving = [starter, git, *children(git)]
                for pid in children(git):
                    # Stopped, it would not notice that nobody reads from it.
                    os.kill(pid, signal.SIGSTOP)
                os.kill(worker, signal.SIGKILL)
                deadline = time.monotonic() + 2
                while any(map(lives, serving)):
                    assert time.monotonic() < deadline, server.processes()
                    time.sleep(0.02)


def test_a_postgresql_that_dies_is_started_again_without_a_restart(tmp_path: Path) -> None:
    with running(tmp_path / "data", ANNALS_OPERATOR_KEY=OPERATOR_KEY) as server:
        tenant = Tenant(server.url)
        with tenant.client(server.url) as client:
            assert client.post("/workspaces", json={"name": "before"}).status_code == 201
            postmaster = (server.data_dir / "postgres" / "postmaster.pid").read_text().split()[0]
            os.kill(int(postmaster), signal.SIGKILL)
            deadline = time.monotonic() + 60
            seen: set[int] = set()
            while (status := client.get("/workspaces").status_code) != 200 or not seen:
                seen.add(status)
                assert time.monotonic() < deadline, seen
                time.sleep(0.1)
            assert seen <= {200, 503}
            names = [item["name"] for item in client.get("/workspaces").json()["items"]]
            assert names == ["before"]


@pytest.mark.long
def test_what_was_acknowledged_survives_kills_of_everything(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    tenant: Tenant | None = None
    acknowledged: dict[str, str] = {}
    for round_number in range(KILLS + 1):
        with running(data_dir, ANNALS_OPERATOR_KEY=OPERATOR_KEY) as server:
            tenant = tenant or Tenant(server.url)
            with tenant.client(server.url) as client:
                events = client.get("/audit-logs", params={"action": "CREATE", "limit": 200}).json()["items"]
                audited = {event["resource_id"] for event in events}
                for resource_id, commit in acknowledged.items():
                    version = client.get(f"/workspaces/{resource_id}/versions/1").json()
                    assert version["git_commit_hash"] == commit
                    assert version["data"] == {"round": version["resource_name"]}
                    assert resource_id in audited
                clone = tenant.clone(server.url, tmp_path / f"clone-{round_number}")
                log = subprocess.run(
                    ["git", "-C", clone, "log", "--format=%H"], capture_output=True, text=True, check=False
                )
                assert set(log.stdout.split()) >= set(acknowledged.values())
                name = f"round {round_number}"
                body = {"name": name, "definition": {"round": name}}
                answer = client.post("/workspaces", json=body)
            server.kill_everything()
            assert answer.status_code == 201
            acknowledged[answer.json()["resource_id"]] = answer.json()["git_commit_hash"]
    assert len(acknowledged) == KILLS + 1


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        (["--port", "1"], {"ANNALS_HOST": "203.0.113.1"}, "can't listen on 203.0.113.1"),
        ([], {"ANNALS_OPERATOR_KEY": "short"}, "operator_key (from the environment; ANNALS_OPERATOR_KEY)"),
        ([], {"ANNALS_WORKERS": "none"}, "workers (from the environment; ANNALS_WORKERS)"),
        ([], {"DATABASE_URL": "mysql://localhost/annals"}, "not a PostgreSQL URL"),
        ([], {"DATABASE_URL": "postgresql://127.0.0.1:1/annals"}, "the database can't be reached"),
    ],
)
def test_what_can_not_start_says_why(
    tmp_path: Path, options: list[str], environment: dict[str, str], said: str
) -> None:
    done = failed_start(tmp_path / "data", *options, **environment)
    assert done.code == 1
    assert said in done.errors
    assert "Traceback" not in done.errors


def test_a_start_right_after_a_kill_gets_the_port_that_was_held(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--workers", "2") as server:
        port = server.url.rpartition(":")[2]
        server.process.kill()
        with running(tmp_path / "data", "--port", port) as second:
            assert second.url == server.url


def test_a_port_that_stays_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = failed_start(tmp_path / "data", "--port", port)
    assert done.code == 1
    assert f"can't listen on 127.0.0.1 port {port}" in done.errors


def test_a_second_server_on_the_same_data_directory_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data", ANNALS_OPERATOR_KEY=OPERATOR_KEY) as server:
        done = failed_start(server.data_dir)
        assert done.code == 1
        assert str(server.process.pid) in done.errors
        assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_a_database_without_timescaledb_is_used_only_where_that_is_said(tmp_path: Path) -> None:
    plain = EmbeddedPostgres(tmp_path / "plain", lambda _: None)
    plain.start()
    try:
        refused = failed_start(tmp_path / "data", DATABASE_URL=plain.url)
        assert refused.code == 1
        assert "has no TimescaleDB" in refused.errors
        said = {"DATABASE_URL": plain.url, "ANNALS_REQUIRE_TIMESCALEDB": "false"}
        with running(tmp_path / "data", ANNALS_OPERATOR_KEY=OPERATOR_KEY, **said) as server:
            ready = httpx.get(f"{server.url}/readyz").json()
            assert ready["ready"]
            assert "no TimescaleDB" in ready["warnings"][0]
    finally:
        plain.stop()
