"""`annals logs tail` prints each row of a log once, in the order of commits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.api import Server, Tenant, ok
from tests.support.commands import annals, environment
from tests.support.following import sequence, sequencing


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return Tenant(server, "tailed")


def post(tenant: Tenant, *resource_ids: str) -> None:
    sent = [{"action": "VISIT", "resource_type": "page", "resource_id": each} for each in resource_ids]
    ok(tenant.ana.post(f"{tenant.path}/audit-logs", sent), 201)


def tailed(tenant: Tenant, *arguments: object) -> list[str]:
    """Return the ids of the resources that the command prints."""
    options = ("--no-follow", "--json", "--where", "action=VISIT", *arguments)
    lines = annals(tenant.aud, "logs", "tail", *options).stdout.decode().splitlines()
    return [json.loads(line)["resource_id"] for line in lines]


def test_it_goes_on_from_the_place_in_the_file(server: Server, tenant: Tenant, tmp_path: Path) -> None:
    place = tmp_path / "place"
    post(tenant, "a", "b")
    sequence(server)
    assert tailed(tenant, "--cursor-file", place) == ["a", "b"]
    post(tenant, "c")
    sequence(server)
    assert tailed(tenant, "--cursor-file", place) == ["c"]
    assert tailed(tenant, "--cursor-file", place) == []
    assert [file.name for file in tmp_path.iterdir()] == ["place"]


def test_a_filter_takes_several_values(server: Server, tenant: Tenant) -> None:
    kinds = [
        {"action": "TOUR", "resource_type": kind, "resource_id": kind} for kind in ("hall", "tower", "yard")
    ]
    ok(tenant.ana.post(f"{tenant.path}/audit-logs", kinds), 201)
    sequence(server)
    options = ("--no-follow", "--json", "--where", "action=TOUR", "--where", "resource_type=hall")
    lines = annals(tenant.aud, "logs", "tail", *options, "--where", "resource_type=yard").stdout.decode()
    assert [json.loads(line)["resource_id"] for line in lines.splitlines()] == ["hall", "yard"]
    without = (*options, "--where", "without=tour")
    assert annals(tenant.aud, "logs", "tail", *without).stdout == b""


def test_each_log_has_lines_for_people(server: Server, tenant: Tenant) -> None:
    tenant.workflow(name="Order ETL")
    event = {"execution_id": "run-7", "execution_type": "job", "log_level": "INFO", "log_message": "begins"}
    ok(tenant.ana.post(f"{tenant.path}/execution-logs", event), 201)
    server.flush_log()
    sequence(server)
    for log, words in (
        ("audit", ("CREATE", "Order ETL")),
        ("changes", ("INSERT", "Order ETL")),
        ("executions", ("run-7", "begins")),
        ("server", ("POST", "201")),
    ):
        lines = annals(tenant.aud, "logs", "tail", "--no-follow", "--log", log).stdout.decode().splitlines()
        assert any(all(word in line for word in words) for line in lines), (log, lines)


def test_it_waits_for_rows_to_come(server: Server, tenant: Tenant) -> None:
    program = [str(Path(sys.executable).with_name("annals")), "logs", "tail", "--json"]
    with sequencing(server):
        follower = subprocess.Popen(
            [*program, "--where", "action=VISIT"],
            env=environment(tenant.aud),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        reading = "SELECT count(*) FROM audit_logs WHERE action = 'READ' AND subscription_id = %s"
        before = server.database.value(reading, tenant.subscription_id)
        while server.database.value(reading, tenant.subscription_id) == before:
            assert follower.poll() is None
        post(tenant, "to come")
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["resource_id"] == "to come"
        follower.kill()
        follower.wait()
        follower.stdout.close()


@pytest.mark.parametrize("where", ["action", "order=time", "cursor=x", "nothing=x"])
def test_no_filter_is_refused(tenant: Tenant, where: str) -> None:
    annals(tenant.aud, "logs", "tail", "--no-follow", "--where", where, code=2)
