"""Concurrent changes of names and parents: in one batch, in parallel, and against the database itself."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg

from service.committer.changes import Change, Result, Written
from service.domain.errors import FolderCycle, NameTaken, ResourceDeleted
from service.domain.resource_kinds import Kind
from tests.support.api import Caller, Json, Tenant, ok, refused
from tests.support.changes import amend, create, save, submit
from tests.support.databases import Database
from tests.support.events import events
from tests.support.histories import check_history
from tests.support.reconciled import told, verify
from tests.support.trees import folder, place_of
from tests.support.waiting import waits_for_a_lock


def kinds_of(outcomes: Sequence[Result | BaseException]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


# -- in one batch -----------------------------------------------------------------------------------


def test_names_pass_from_one_to_another_in_a_batch(tenant: Tenant) -> None:
    one, two = tenant.make("jobs", name="one"), tenant.make("jobs", name="two")
    folder_id = UUID(tenant.folder_id)
    changes: list[Change] = [
        amend(tenant, one, name="two"),
        create(tenant, "new", Kind.JOB, folder_id=folder_id),
        amend(tenant, one, name="new"),
        amend(tenant, one, name="aside"),
        amend(tenant, two, name="one"),
        create(tenant, "two", Kind.JOB, folder_id=folder_id),
        create(tenant, "one", Kind.JOB, folder_id=folder_id),
        amend(tenant, one, name="two"),
        amend(tenant, one, name="last"),
        create(tenant, "aside", Kind.JOB, folder_id=folder_id),
    ]
    outcomes = submit(tenant, changes)
    refusals = [
        NameTaken,
        Written,
        NameTaken,
        Written,
        Written,
        Written,
        NameTaken,
        NameTaken,
        Written,
        Written,
    ]
    assert kinds_of(outcomes) == refusals
    names = {item["name"] for item in tenant.ana.pages(f"{tenant.path}/jobs")}
    assert names == {"last", "one", "new", "two", "aside"}
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_moves_of_a_batch_close_no_circle(tenant: Tenant) -> None:
    one, two, three = (folder(tenant) for _ in range(3))
    changes = [
        amend(tenant, inner, parent_folder_id=outer["resource_id"])
        for inner, outer in ((one, two), (two, three), (three, one), (three, three))
    ]
    assert kinds_of(submit(tenant, changes)) == [Written, Written, FolderCycle, FolderCycle]
    changes = [
        amend(tenant, one, parent_folder_id=None),
        amend(tenant, three, parent_folder_id=one["resource_id"]),
    ]
    assert kinds_of(submit(tenant, changes)) == [Written, Written]
    assert place_of(tenant, two)[0] == three["resource_id"]
    check_history(tenant)


def test_what_follows_a_move_in_its_batch_knows_the_new_place(tenant: Tenant) -> None:
    workflow, job = tenant.workflow(), ok(tenant.ana.get(f"{tenant.path}/jobs/{tenant.job_id}"))
    other = tenant.make("folders", workspace_id=tenant.make("workspaces")["resource_id"])
    outcomes = submit(
        tenant,
        [
            save(tenant, workflow, {"n": 2}),
            amend(tenant, job, folder_id=other["resource_id"]),
            save(tenant, workflow, {"n": 3}),
            amend(tenant, workflow, name="renamed"),
            save(tenant, workflow, {"n": 4}),
        ],
    )
    assert kinds_of(outcomes) == [Written] * 5
    assert place_of(tenant, workflow) == (job["resource_id"], other["workspace_id"])
    found = events(tenant, resource_id=workflow["resource_id"], action="UPDATE")
    places = [(event["workspace_id"], event["folder_id"]) for event in found]
    there = (other["workspace_id"], other["resource_id"])
    assert places == [there] * 3 + [(tenant.workspace_id, tenant.folder_id)]
    history = tenant.ana.pages(f"{tenant.at(workflow)}/versions")
    assert [version["resource_name"] for version in history] == ["renamed"] * 2 + [workflow["name"]] * 3
    check_history(tenant)


# -- against rows that only the database has ----------------------------------------------------------


def test_a_name_that_comes_in_between_is_refused_by_the_database(tenant: Tenant) -> None:
    job, other = tenant.make("jobs"), tenant.make("jobs", name="was")
    database: Database = tenant.server.database
    with psycopg.connect(database.url) as blocker, ThreadPoolExecutor() as pool:
        blocker.execute("UPDATE jobs SET name = 'twin' WHERE job_id = %s", [other["resource_id"]])
        answer = pool.submit(tenant.ana.patch, tenant.at(job), {"name": "twin"})
        while not waits_for_a_lock(database):
            assert not answer.done(), answer.result().text
        blocker.commit()
        refused(answer.result(), 409, "name_taken")
    assert ok(tenant.ana.get(tenant.at(job))) == job


def test_a_parent_that_is_deleted_meanwhile_is_waited_for(tenant: Tenant) -> None:
    job, other = tenant.make("jobs"), folder(tenant)
    database: Database = tenant.server.database
    with psycopg.connect(database.url) as blocker, ThreadPoolExecutor() as pool:
        blocker.execute("UPDATE folders SET deleted_at = now() WHERE folder_id = %s", [other["resource_id"]])
        answer = pool.submit(tenant.ana.patch, tenant.at(job), {"folder_id": other["resource_id"]})
        while not waits_for_a_lock(database):
            assert not answer.done(), answer.result().text
        blocker.commit()
        refused(answer.result(), 409, ResourceDeleted.code)


# -- in parallel ------------------------------------------------------------------------------------


def test_of_many_that_take_one_name_at_once_one_succeeds(tenant: Tenant) -> None:
    jobs = [tenant.make("jobs") for _ in range(8)]
    made = [({"name": "twin", **tenant.parent("jobs")}, None)] * 4
    calls = [({"name": "twin"}, job) for job in jobs] + made

    def call(what: tuple[Json, Json | None]) -> int:
        body, job = what
        if job is None:
            return tenant.ben.post(f"{tenant.path}/jobs", body).status_code
        return tenant.ana.patch(tenant.at(job), body).status_code

    with ThreadPoolExecutor(len(calls)) as pool:
        statuses = sorted(pool.map(call, calls))
    assert statuses[0] in (200, 201)
    assert statuses[1:] == [409] * 11
    assert len(tenant.ana.pages(f"{tenant.path}/jobs", name="twin")) == 1
    check_history(tenant)


def test_of_moves_that_would_close_a_circle_one_is_refused(tenant: Tenant) -> None:
    ring = [folder(tenant) for _ in range(4)]

    def move(pair: tuple[Json, Json, Caller]) -> int:
        inner, outer, by = pair
        patch = {"parent_folder_id": outer["resource_id"]}
        return by.patch(tenant.at(inner), patch).status_code

    for _ in range(5):
        callers = [tenant.ana, tenant.ben] * 2
        pairs = list(zip(ring, [*ring[1:], ring[0]], callers, strict=True))
        with ThreadPoolExecutor(len(pairs)) as pool:
            assert sorted(pool.map(move, pairs)) == [200, 200, 200, 409]
        for each in ring:
            tenant.amend(each, parent_folder_id=None)
    check_history(tenant)


def test_check_outs_and_saves_below_go_on_while_a_folder_is_moved(tenant: Tenant) -> None:
    top = folder(tenant)
    job = tenant.make("jobs", folder_id=top["resource_id"])
    workflows = [tenant.workflow(job_id=job["resource_id"]) for _ in range(4)]
    workspaces = [tenant.workspace_id, tenant.make("workspaces")["resource_id"]]

    def work(number: int) -> None:
        if number == 0:
            for turn in range(1, 9):
                tenant.amend(top, workspace_id=workspaces[turn % 2])
            return
        workflow = workflows[number % 4]
        for turn in range(6):
            tenant.save(workflow, {"turn": turn, "by": number})
            if number < 4:
                tenant.check_out(workflow)

    with ThreadPoolExecutor(7) as pool:
        list(pool.map(work, range(7)))
    assert {place_of(tenant, each)[1] for each in (top, job, *workflows)} == {workspaces[0]}
    check_history(tenant)
    assert told(verify(tenant)) == []
