"""Reconcile beside writers: no false alarm, and its repairs do them no harm."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.recovery.reconcile import GRACE_SECONDS, VerifyDepth
from tests.support.api import Caller, Json, Tenant, ok, run_git
from tests.support.histories import check_history
from tests.support.reconciled import audited, told, verify

CLIENTS = 8
SECONDS = 8.0


def work(tenant: Tenant, resources: list[Json], caller: Caller, seed: int, until: Callable[[], bool]) -> int:
    """Save, tag, untag, publish and unpublish until stopped; returns how many versions were made."""
    chance = random.Random(seed)
    made = 0
    while not until():
        at = tenant.at(chance.choice(resources))
        match chance.randrange(8):
            case 0:
                name = f"t{seed}-{made}-{chance.randrange(10**9)}"
                assert caller.put(f"{at}/versions/current/tag", {"tag": name}).status_code == 200
            case 1:
                assert caller.delete(f"{at}/versions/current/tag").status_code == 200
            case 2:
                assert caller.post(f"{at}/versions/current/publish").status_code == 200
            case 3:
                assert caller.post(f"{at}/versions/current/unpublish").status_code == 200
            case _:
                ok(caller.post(f"{at}/versions", {"data": {"n": chance.random()}}), 201)
                made += 1
    return made


@pytest.mark.parametrize("repair", [False, True])
def test_beside_eight_clients_there_is_no_false_alarm(tenant: Tenant, repair: bool) -> None:
    resources = [tenant.workflow() for _ in range(5)]
    callers = [tenant.ana, tenant.ben]
    stopped = threading.Event()
    runs = 0
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [
            pool.submit(work, tenant, resources, callers[number % 2], number, stopped.is_set)
            for number in range(CLIENTS)
        ]
        try:
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                depth = VerifyDepth.OBJECTS if runs == 0 else VerifyDepth.HISTORY
                assert told(verify(tenant, repair=repair, grace=GRACE_SECONDS, depth=depth)) == []
                runs += 1
        finally:
            stopped.set()
        made = sum(client.result() for client in clients)
    assert runs >= 2
    assert made >= 50
    assert audited(tenant) == []
    check_history(tenant)


def test_beside_writers_what_is_wrong_is_still_found_and_mended(tenant: Tenant) -> None:
    resources = [tenant.workflow() for _ in range(3)]
    tagged = tenant.workflow()
    ok(tenant.ana.put(f"{tenant.at(tagged)}/versions/1/tag", {"tag": "v1"}))
    ref = f"refs/tags/workflows/{tagged['resource_id']}/v1"
    stopped = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [
            pool.submit(work, tenant, resources, tenant.ben, number, stopped.is_set)
            for number in range(CLIENTS)
        ]
        try:
            run_git(tenant.repository, "update-ref", "-d", ref)
            tenant.server.database.rows(
                "UPDATE versions SET is_current = false, version_data = '{}' WHERE resource_id = %s"
                " RETURNING version_id",
                tagged["resource_id"],
            )
            report = verify(tenant, repair=True, grace=GRACE_SECONDS)
        finally:
            stopped.set()
        for client in clients:
            client.result()
    name = f"workflows/{tagged['resource_id']}@1"
    assert told(report) == [("ref_missing", ref), ("current_differs", name), ("data_differs", name)]
    assert report.left == ()
    assert told(verify(tenant)) == []
    check_history(tenant)
