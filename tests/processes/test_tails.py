"""Live tails of a real server: workers that stop, and readers who go on with another."""

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import httpx

from tests.support.databases import Cluster
from tests.support.running_server import WORKER
from tests.support.standing_server import Tenant, serving
from tests.support.tails import tail
from tests.support.web import SAME_ORIGIN


def session_of(tenant: Tenant, url: str) -> httpx.Client:
    """Sign in as the admin of a tenant."""
    client = httpx.Client(base_url=url, timeout=30)
    answer = client.post("/sign-in", data={"key": tenant.key}, headers=SAME_ORIGIN)
    assert answer.status_code == 303, answer.text
    return client


def send(client: httpx.Client, text: str) -> None:
    about = {"execution_id": "run", "execution_type": "workflow", "log_level": "INFO"}
    client.post("/execution-logs", json=[{**about, "log_message": text}]).raise_for_status()


def test_a_reader_goes_on_with_another_worker_and_a_stop_ends_all_at_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    with serving(cluster, tmp_path, "--workers", "2", ANNALS_JOBS="true") as (server, _):
        tenant = Tenant(server.url)
        path = f"/s/{tenant.subscription_id}/executions/tail/lines"
        with closing(session_of(tenant, server.url)) as session, tenant.client(server.url) as ana:
            with tail(session, path) as reader:
                send(ana, "first.")
                assert reader.wait_for("first.", 2) < 2
                for pid in server.pids(WORKER)[:1]:
                    os.kill(pid, signal.SIGKILL)
                for pid in server.pids(WORKER)[:1]:
                    os.kill(pid, signal.SIGKILL)
                reader.wait_for_end()
                assert reader.words
            for number in range(200):
                try:
                    send(ana, f"meanwhile {number}.")
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            with tail(session, path, reader.place) as again:
                again.wait_for("meanwhile")
                send(ana, "last.")
                again.wait_for("last.", 2)
                assert len(again.words) == 2
                began = time.monotonic()
                server.process.send_signal(signal.SIGINT)
                assert again.wait_for_end() == ""
                ended_after = time.monotonic() - began
                assert server.process.wait(60) == 0
                stopped_after = time.monotonic() - began
    assert ended_after < 3
    # Less than the time of grace, which an open answer would take.
    assert stopped_after < 9
