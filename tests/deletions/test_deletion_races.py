"""Deletion and restore in parallel with the other calls of many clients."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from tests.support.api import Json, Tenant, ok
from tests.support.histories import check_history
from tests.support.reconciled import told, verify
from tests.support.trees import DELETED_WITH, in_git, live, records_of, restoring, tree

CLIENTS = 8
ROUNDS = 6
# Refusals of a write below a resource that is being deleted.
REFUSALS = {
    (404, "resource_not_found"),
    (409, "resource_deleted"),
    (409, "not_checked_out"),
    (412, "stale_version"),
    (423, "checked_out"),
}


def at_once(*calls: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """The answers to calls that begin together."""
    ready = threading.Barrier(len(calls))

    def call(one: Callable[[], httpx.Response]) -> httpx.Response:
        ready.wait()
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def said(response: httpx.Response) -> tuple[int, str]:
    """The status and code of an answer."""
    return response.status_code, response.json().get("code", "")


# -- check-ins below a deletion ---------------------------------------------------------------------


class Client:
    """A client that checks out and in, or saves, a workflow of the tree until it is deleted."""

    def __init__(self, tenant: Tenant, number: int, workflow: Json) -> None:
        self.caller = tenant.user(f"client{number}", "editor")
        self.workflow = workflow
        self.at = tenant.at(workflow)
        self.number = number
        self.acknowledged: list[Json] = []
        self.refused: list[tuple[int, str]] = []
        self.is_warm = threading.Event()

    def work(self) -> None:
        """Write until the workflow is deleted; all versions differ."""
        based = f'"{self.workflow["git_commit_hash"]}"'
        while (409, "resource_deleted") not in self.refused:
            data = {"by": self.number, "n": len(self.acknowledged) + 2}
            turn = len(self.acknowledged) % 3
            if turn == 0:
                taken = self.caller.post(f"{self.at}/check-out", {})
                if not self.is_done(taken, 200):
                    continue
            end = "check-in" if turn == 0 else "versions"
            headers = {"if-match": based} if turn == 1 else {}
            stored = self.caller.post(f"{self.at}/{end}", {"data": data}, headers=headers)
            if self.is_done(stored, 201):
                based = stored.headers["etag"]
                self.acknowledged.append(stored.json() | {"data": data})
            if len(self.acknowledged) > 2:
                self.is_warm.set()

    def is_done(self, response: httpx.Response, status: int) -> bool:
        if response.status_code == status:
            return True
        self.refused.append(said(response))
        assert self.refused[-1] in REFUSALS, response.text
        return False


@pytest.mark.parametrize("force", [True, False])
def test_a_check_in_beside_the_deletion_of_its_workspace_is_in_the_record_or_was_refused(
    tenant: Tenant, force: bool
) -> None:
    made = tree(tenant)
    jobs = [made["jobs"], made["inner jobs"]]
    workflows = [tenant.workflow(job_id=jobs[n % 2]["resource_id"]) for n in range(CLIENTS)]
    clients = [Client(tenant, number, workflow) for number, workflow in enumerate(workflows)]
    by = tenant.ana if force else tenant.ben

    def delete() -> Json:
        for client in clients:
            client.is_warm.wait(30)
        while True:
            answer = by.delete(tenant.at(made["workspaces"]), params={"force": force})
            if answer.is_success:
                return ok(answer)
            assert said(answer) == (423, "checked_out")

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        working = [pool.submit(client.work) for client in clients]
        deletion = pool.submit(delete).result()
        for each in working:
            each.result()
    records = {each["resource_id"]: each for each in records_of(tenant, deletion)}
    assert len(records) == CLIENTS + len(made)
    commits = tenant.git("rev-list", "--reverse", "main").split()
    deleted_at = commits.index(deletion["git_commit_hash"])
    assert deleted_at == len(commits) - 1
    for client in clients:
        assert len(client.acknowledged) > 2
        assert client.refused[-1] == (409, "resource_deleted")
        versions = tenant.vera.pages(f"{client.at}/versions")[::-1]
        expected = [(1, client.workflow["git_commit_hash"])]
        expected += [(each["version_number"], each["git_commit_hash"]) for each in client.acknowledged]
        # Exactly the acknowledged versions, in the history before the deletion.
        assert [(each["version_number"], each["git_commit_hash"]) for each in versions] == expected
        assert all(commits.index(commit) < deleted_at for _, commit in expected)
        record = records[client.workflow["resource_id"]]["deletion_id"]
        shown = ok(tenant.vera.get(f"{tenant.path}/deletions/{record}"))
        assert shown["resource_data"]["definition"] == client.acknowledged[-1]["data"]
    assert ok(tenant.vera.get(f"{tenant.path}/check-outs"))["theirs"] == []
    check_history(tenant)
    # The restore brings the same.
    tenant.restore(deletion)
    for client in clients:
        current = ok(tenant.vera.get(f"{client.at}/versions/current"))
        assert current["data"] == client.acknowledged[-1]["data"]
    check_history(tenant)
    assert told(verify(tenant)) == []


# -- deletions and restores in parallel --------------------------------------------------------------


def test_of_two_deletions_of_one_tree_at_once_one_takes_it(tenant: Tenant) -> None:
    for _ in range(ROUNDS):
        made = tree(tenant)
        at = tenant.at(made["workspaces"])
        answers = at_once(*[partial(by.delete, at) for by in (tenant.ana, tenant.ben) * 2])
        assert sorted(map(said, answers)) == [(200, ""), *[(409, "resource_deleted")] * 3]
        [deletion] = [ok(answer) for answer in answers if answer.is_success]
        assert len(records_of(tenant, deletion)) == len(made)
    assert live(tenant) == in_git(tenant) == set()
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_of_deletions_that_overlap_each_takes_what_is_left(tenant: Tenant) -> None:
    names = ["workspaces", "folders", "inner folders", "jobs", "inner workflows"]
    for number in range(ROUNDS):
        made = tree(tenant)
        by = [tenant.ana, tenant.ben]
        order = names[number % len(names) :] + names[: number % len(names)]
        answers = at_once(*[partial(by[n % 2].delete, tenant.at(made[name])) for n, name in enumerate(order)])
        assert {said(answer) for answer in answers} <= {(200, ""), (409, "resource_deleted")}
        taken = [ok(answer) for answer in answers if answer.is_success]
        assert sum(sum(each["counts"].values()) for each in taken) == len(made)
        # Newest first, by their commits: the deletions of one batch have one time.
        newest = tenant.git("rev-list", "main").split()
        for each in sorted(taken, key=lambda each: newest.index(each["git_commit_hash"])):
            tenant.restore(each)
        assert live(tenant) == in_git(tenant) == {each["resource_id"] for each in made.values()}
        check_history(tenant)
        tenant.remove(made["workspaces"])


def test_of_two_restores_at_once_one_brings_it_back(tenant: Tenant) -> None:
    made = tree(tenant)
    for _ in range(ROUNDS):
        path = restoring(tenant, tenant.remove(made["folders"]))
        answers = at_once(*[partial(by.post, path) for by in (tenant.ana, tenant.ben) * 2])
        assert sorted(map(said, answers)) == [(200, ""), *[(409, "restore_conflict")] * 3]
        for answer in answers:
            if not answer.is_success:
                [conflict] = answer.json()["conflicts"]
                assert (conflict["reason"], conflict["resource_id"]) == (
                    "already_restored",
                    made["folders"]["resource_id"],
                )
        assert live(tenant) == in_git(tenant) == {each["resource_id"] for each in made.values()}
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_a_part_restored_beside_the_whole_comes_back_once(tenant: Tenant) -> None:
    elsewhere = tenant.make("folders")
    for _ in range(ROUNDS):
        made = tree(tenant)
        deletion = tenant.remove(made["workspaces"])
        job = made["inner jobs"]["resource_id"]
        [part] = [each for each in records_of(tenant, deletion) if each["resource_id"] == job]
        resolve = {"new_parent_id": elsewhere["resource_id"], "rename": f"job {job}"}
        answers = at_once(
            partial(tenant.ana.post, restoring(tenant, deletion)),
            partial(tenant.ben.post, restoring(tenant, part), {"resolve": resolve}),
        )
        assert sorted(map(said, answers)) == [(200, ""), (409, "restore_conflict")]
        is_whole = answers[0].is_success
        assert (ok(tenant.vera.get(tenant.at(made["inner jobs"])))["name"] == f"job {job}") != is_whole
        assert len(live(tenant) & {each["resource_id"] for each in made.values()}) == (9 if is_whole else 2)
        check_history(tenant)
        if not is_whole:
            tenant.restore(deletion, resolve={"keep_restored": True})
        tenant.remove(made["workspaces"])


def test_a_deletion_beside_a_restore_leaves_it_deleted_or_alive_and_never_half(tenant: Tenant) -> None:
    made = tree(tenant)
    everything = {each["resource_id"] for each in made.values()}
    at = tenant.at(made["folders"])
    deletion = tenant.remove(made["folders"])
    for _ in range(ROUNDS):
        deleted, restored = at_once(
            partial(tenant.ana.delete, at),
            partial(tenant.ben.post, restoring(tenant, deletion)),
        )
        ok(restored)
        assert said(deleted) in [(200, ""), (409, "resource_deleted")]
        gone = {made[name]["resource_id"] for name in DELETED_WITH["folders"]}
        assert live(tenant) == in_git(tenant) == (everything - gone if deleted.is_success else everything)
        check_history(tenant)
        deletion = ok(deleted) if deleted.is_success else tenant.remove(made["folders"])


def test_what_is_purged_beside_its_restore_is_one_or_the_other(tenant: Tenant) -> None:
    for _ in range(ROUNDS):
        made = tree(tenant)
        deletion = tenant.remove(made["workspaces"])
        purged, restored = at_once(
            partial(tenant.ana.delete, tenant.at(made["workspaces"]), params={"permanent": True}),
            partial(tenant.ben.post, restoring(tenant, deletion)),
        )
        assert (said(purged), said(restored)) in [
            ((200, ""), (410, "not_restorable")),
            ((409, "not_deleted"), (200, "")),
        ]
        assert len(live(tenant)) == len(in_git(tenant)) == (0 if purged.is_success else len(made))
        check_history(tenant)
        if restored.is_success:
            tenant.remove(made["workspaces"])


def test_a_name_taken_beside_a_restore_is_one_ones(tenant: Tenant) -> None:
    for number in range(ROUNDS):
        old = tenant.workflow(name=f"report {number}")
        deletion = tenant.remove(old)
        body = {"name": old["name"], "job_id": tenant.job_id}
        made, restored = at_once(
            partial(tenant.ana.post, f"{tenant.path}/workflows", body),
            partial(tenant.ben.post, restoring(tenant, deletion)),
        )
        assert (said(made), said(restored)) in [
            ((201, ""), (409, "restore_conflict")),
            ((409, "name_taken"), (200, "")),
        ]
        [found] = tenant.vera.pages(f"{tenant.path}/workflows", name=old["name"])
        assert (found["resource_id"] == old["resource_id"]) == restored.is_success
        if not restored.is_success:
            [conflict] = restored.json()["conflicts"]
            assert (conflict["reason"], conflict["other_id"]) == ("name_taken", found["resource_id"])
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_what_moves_in_or_out_beside_a_deletion_falls_or_is_outside(tenant: Tenant) -> None:
    made, other = tree(tenant), tenant.make("folders", name="outside")
    inside, outside = made["inner folders"]["resource_id"], other["resource_id"]
    movers = [tenant.make("jobs", folder_id=place) for place in (inside, outside) * 3]
    flows = [tenant.workflow(job_id=job["resource_id"]) for job in movers]
    stop = threading.Event()

    def move(job: Json) -> set[tuple[int, str]]:
        seen, turn = set(), 0
        while not stop.is_set():
            turn += 1
            answer = tenant.ana.patch(tenant.at(job), {"folder_id": (inside, outside)[turn % 2]})
            seen.add(said(answer))
        return seen

    with ThreadPoolExecutor(len(movers)) as pool:
        moving = [pool.submit(move, job) for job in movers]
        try:
            for number in range(2 * ROUNDS):
                deletion = tenant.remove(made["folders" if number % 2 else "workspaces"], tenant.ben)
                taken = {each["resource_id"] for each in records_of(tenant, deletion)}
                for job, flow in zip(movers, flows, strict=True):
                    assert (job["resource_id"] in taken) == (flow["resource_id"] in taken)
                done = tenant.restore(deletion)
                assert sum(done["restored"].values()) == len(taken)
        finally:
            stop.set()
        seen = set().union(*(each.result() for each in moving))
    assert seen <= {(200, ""), (409, "resource_deleted")}
    check_history(tenant)
    assert told(verify(tenant)) == []
