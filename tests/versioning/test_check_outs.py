"""Check-out, check-in, cancel: one holder at a time, by a lease."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

import httpx
import pytest

from service.domain.errors import Unauthenticated
from service.domain.resource_kinds import Kind
from service.usecases.check_outs import check_out
from tests.support.answers import CHECK_OUT_FIELDS
from tests.support.api import Caller, Json, Server, Tenant, ok, pointers, refused
from tests.support.authors import late_author
from tests.support.databases import Database

RACES = 200


def life(check_out: Json) -> timedelta:
    """The record of a check-out from its beginning to its end."""
    return datetime.fromisoformat(check_out["expires_at"]) - datetime.fromisoformat(
        check_out["checked_out_at"]
    )


def states(tenant: Tenant, resource: Json) -> list[Json]:
    """The versions of a resource, newest first."""
    return tenant.ana.pages(f"{tenant.at(resource)}/versions")


def test_a_check_out_gives_the_document_and_a_lease(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    current = states(tenant, workflow)[0]
    response = tenant.ben.post(f"{tenant.at(workflow)}/check-out", {"reason": "faster"})
    answer = ok(response)
    assert set(answer) == {"check_out", "data"}
    assert answer["data"] == {"n": 1}
    held = answer["check_out"]
    assert set(held) == CHECK_OUT_FIELDS
    expected = {
        "version_id": current["version_id"],
        "version_number": 1,
        "commit": current["git_commit_hash"],
        "checked_out_by": tenant.ben.user_id,
        "checked_out_by_username": "ben",
        "reason": "faster",
    }
    assert held | expected == held
    assert life(held) == timedelta(hours=8)
    assert response.headers["etag"] == f'"{current["git_commit_hash"]}"'


def test_a_check_out_needs_no_body(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    assert ok(tenant.ben.post(f"{tenant.at(workflow)}/check-out"))["check_out"]["reason"] is None


def test_the_holder_is_shown_in_resource_list_and_version(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 2})
    held = tenant.check_out(workflow, tenant.ben)["check_out"]
    assert ok(tenant.vera.get(tenant.at(workflow)))["checked_out_by"] == tenant.ben.user_id
    [listed] = tenant.vera.pages(f"{tenant.path}/workflows")
    assert listed["checked_out_by"] == tenant.ben.user_id
    shown = ok(tenant.vera.get(f"{tenant.at(workflow)}/versions/current"))
    assert (shown["checked_out_by"], shown["checked_out_at"]) == (
        tenant.ben.user_id,
        held["checked_out_at"],
    )
    assert [state["checked_out_by"] for state in states(tenant, workflow)] == [tenant.ben.user_id, None]
    mirrored = tenant.server.database.rows(
        "SELECT version_number, checked_out_by::text FROM versions WHERE resource_id = %s"
        " AND checked_out_by IS NOT NULL",
        workflow["resource_id"],
    )
    assert mirrored == [(2, tenant.ben.user_id)]


def test_another_is_told_who_holds_it_and_until_when(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    held = tenant.check_out(workflow, tenant.ben)["check_out"]
    before = tenant.footprint()
    for call, body in (
        ("check-out", {}),
        ("versions", {"data": {"n": 2}}),
        ("versions", {"data": {}}),
        ("rollback", {"to": 1}),
    ):
        problem = refused(tenant.ana.post(f"{tenant.at(workflow)}/{call}", body), 423, "checked_out")
        assert problem["checked_out_by"] == tenant.ben.user_id
        assert problem["checked_out_by_username"] == "ben"
        assert problem["checked_out_at"] == held["checked_out_at"]
        assert problem["expires_at"] == held["expires_at"]
        assert "ben" in problem["detail"]
    assert tenant.footprint() == before


def test_the_holder_renews_the_lease(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    first = tenant.check_out(workflow, tenant.ben, reason="faster", ttl_seconds=60)["check_out"]
    with tenant.server.clock.moved(seconds=30):
        second = tenant.check_out(workflow, tenant.ben, ttl_seconds=120)["check_out"]
    assert second | {"expires_at": ""} == first | {"expires_at": ""}
    longer = datetime.fromisoformat(second["expires_at"]) - datetime.fromisoformat(first["expires_at"])
    assert timedelta(seconds=89) < longer < timedelta(seconds=95)
    third = tenant.check_out(workflow, tenant.ben, reason="shorter", ttl_seconds=5)["check_out"]
    assert third["reason"] == "shorter"
    assert third["expires_at"] < second["expires_at"]
    rows = tenant.server.database.rows(
        "SELECT 1 FROM check_outs WHERE resource_id = %s", workflow["resource_id"]
    )
    assert len(rows) == 1


@pytest.mark.parametrize("ttl_seconds", [1, 7 * 24 * 3600])
def test_a_lease_may_be_chosen(shared: Tenant, ttl_seconds: int) -> None:
    held = shared.check_out(shared.workflow(), shared.ben, ttl_seconds=ttl_seconds)["check_out"]
    assert life(held) == timedelta(seconds=ttl_seconds)


@pytest.mark.parametrize("ttl_seconds", [0, -1, 7 * 24 * 3600 + 1, 1.5, "60", True])
def test_a_lease_that_breaks_a_rule_is_refused(shared: Tenant, ttl_seconds: object) -> None:
    path = f"{shared.at(shared.workflow())}/check-out"
    problem = refused(shared.ben.post(path, {"ttl_seconds": ttl_seconds}), 422, "invalid")
    assert pointers(problem) == ["/ttl_seconds"]


def test_a_lease_that_ran_out_counts_as_none(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben, ttl_seconds=60)
    path = tenant.at(workflow)
    with tenant.server.clock.moved(seconds=61):
        assert ok(tenant.ana.get(path))["checked_out_by"] is None
        assert tenant.ana.pages(f"{tenant.path}/workflows")[0]["checked_out_by"] is None
        shown = ok(tenant.ana.get(f"{path}/versions/1"))
        assert (shown["checked_out_by"], shown["checked_out_at"]) == (None, None)
        refused(tenant.ben.post(f"{path}/check-in", {"data": {"n": 2}}), 409, "not_checked_out")
        refused(tenant.ben.delete(f"{path}/check-out"), 409, "not_checked_out")
        assert tenant.save(workflow, {"n": 2})["checked_out_by"] is None
        held = tenant.check_out(workflow, tenant.ana)["check_out"]
        assert held["version_number"] == 2
        refused(tenant.ben.post(f"{path}/check-out", {}), 423, "checked_out")
    kinds = tenant.server.database.rows(
        "SELECT release_kind, released_at = expires_at FROM check_outs WHERE resource_id = %s"
        " ORDER BY checked_out_at",
        workflow["resource_id"],
    )
    assert kinds == [("expired", True), (None, None)]


def test_who_let_the_lease_run_out_checks_out_anew(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    first = tenant.check_out(workflow, tenant.ben, ttl_seconds=60, reason="old")["check_out"]
    with tenant.server.clock.moved(seconds=61):
        second = tenant.check_out(workflow, tenant.ben)["check_out"]
    assert second["checked_out_at"] > first["checked_out_at"]
    assert second["reason"] is None


def test_a_check_in_makes_a_version_and_unlocks(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    response = tenant.ben.post(
        f"{tenant.at(workflow)}/check-in", {"data": {"n": 2}, "comment": "faster", "tag": "v2"}
    )
    made = ok(response, 201)
    assert (made["version_number"], made["version_tag"], made["unchanged"]) == (2, "v2", False)
    assert made["checked_out_by"] is None
    assert made["checked_in_at"] == made["created_at"]
    assert response.headers["etag"] == f'"{made["git_commit_hash"]}"'
    now = ok(tenant.ana.get(tenant.at(workflow)))
    assert (now["current_version"], now["checked_out_by"]) == (2, None)
    assert now["definition"] == {"n": 2}
    assert [state["checked_out_by"] for state in states(tenant, workflow)] == [None, None]
    rows = tenant.server.database.rows(
        "SELECT comment_text, commented_by::text FROM version_comments WHERE version_id = %s",
        made["version_id"],
    )
    assert rows == [("faster", tenant.ben.user_id)]
    assert tenant.git("log", "-1", "--format=%an%n%b", "main").startswith("ben\nfaster\n")
    tenant.check_out(workflow, tenant.ana)


@pytest.mark.parametrize(
    "body", [None, {}, {"data": None}, {"data": {"n": 1}}, {"tag": "v1", "comment": "c"}]
)
def test_a_check_in_of_nothing_new_only_unlocks(tenant: Tenant, body: Json | None) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.check_out(workflow, tenant.ben)
    head = tenant.main()
    answer = ok(tenant.ben.post(f"{tenant.at(workflow)}/check-in", body))
    assert (answer["unchanged"], answer["version_number"], answer["checked_out_by"]) == (True, 1, None)
    assert answer["checked_in_at"] is not None
    assert tenant.main() == head
    [state] = states(tenant, workflow)
    assert state["version_tag"] == (body or {}).get("tag")
    assert state["checked_in_at"] == answer["checked_in_at"]
    comments = tenant.server.database.rows(
        "SELECT comment_text FROM version_comments WHERE version_id = %s", state["version_id"]
    )
    assert comments == ([("c",)] if body and "comment" in body else [])
    tenant.check_out(workflow, tenant.ana)


def test_a_check_in_with_a_taken_tag_keeps_the_check_out(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 1}, tag="v1")
    tenant.check_out(workflow, tenant.ben)
    path = f"{tenant.at(workflow)}/check-in"
    refused(tenant.ben.post(path, {"data": {"n": 2}, "tag": "v1"}), 409, "tag_taken")
    assert ok(tenant.ana.get(tenant.at(workflow)))["checked_out_by"] == tenant.ben.user_id
    ok(tenant.ben.post(path, {"data": {"n": 2}}), 201)


@pytest.mark.parametrize(("method", "call"), [("POST", "check-in"), ("DELETE", "check-out")])
def test_what_nobody_holds_can_be_neither_checked_in_nor_cancelled(
    shared: Tenant, method: str, call: str
) -> None:
    response = shared.ben.request(method, f"{shared.at(shared.workflow())}/{call}")
    refused(response, 409, "not_checked_out")


@pytest.mark.parametrize("name", ["ana", "ben"])
@pytest.mark.parametrize(("method", "call"), [("POST", "check-in"), ("DELETE", "check-out")])
def test_what_another_holds_can_be_neither_checked_in_nor_cancelled(
    shared: Tenant, method: str, call: str, name: str
) -> None:
    workflow = shared.workflow()
    holder, other = (shared.ben, shared.ana) if name == "ana" else (shared.ana, shared.ben)
    shared.check_out(workflow, holder)
    body = {"data": {"n": 2}} if method == "POST" else None
    problem = refused(other.request(method, f"{shared.at(workflow)}/{call}", body), 409, "not_holder")
    assert problem["checked_out_by_username"] == holder.username
    assert ok(shared.vera.get(shared.at(workflow)))["checked_out_by"] == holder.user_id


def test_a_cancelled_check_out_leaves_no_version(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    response = tenant.ben.delete(f"{tenant.at(workflow)}/check-out")
    assert (response.status_code, response.content) == (204, b"")
    [state] = states(tenant, workflow)
    assert (state["checked_out_by"], state["checked_in_at"]) == (None, None)
    refused(tenant.ben.delete(f"{tenant.at(workflow)}/check-out"), 409, "not_checked_out")
    tenant.check_out(workflow, tenant.ana)


def test_the_holder_saves_and_keeps_the_check_out(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    for number in (2, 3):
        saved = tenant.save(workflow, {"n": number}, by=tenant.ben)
        assert saved["checked_out_by"] == tenant.ben.user_id
    held = [state["checked_out_by"] for state in states(tenant, workflow)]
    assert held == [tenant.ben.user_id, None, None]
    renewed = tenant.check_out(workflow, tenant.ben)
    assert (renewed["check_out"]["version_number"], renewed["data"]) == (3, {"n": 3})
    rows = tenant.server.database.rows(
        "SELECT v.version_number FROM check_outs c JOIN versions v USING (version_id)"
        " WHERE c.resource_id = %s AND released_at IS NULL",
        workflow["resource_id"],
    )
    assert rows == [(3,)]
    made = tenant.check_in(workflow, tenant.ben, data={"n": 4})
    assert made["version_number"] == 4
    assert {state["checked_out_by"] for state in states(tenant, workflow)} == {None}


def test_a_save_of_equal_content_keeps_the_check_out_too(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.check_out(workflow, tenant.ben)
    saved = ok(tenant.ben.post(f"{tenant.at(workflow)}/versions", {"data": {"n": 1}}))
    assert (saved["unchanged"], saved["checked_out_by"]) == (True, tenant.ben.user_id)
    assert states(tenant, workflow)[0]["checked_out_by"] == tenant.ben.user_id


@pytest.mark.parametrize("collection", ["workspaces", "folders", "jobs", "jobpackages", "connectors"])
def test_every_kind_is_checked_out_and_in(shared: Tenant, collection: str) -> None:
    resource = shared.make(collection)
    shared.check_out(resource, shared.ben)
    refused(shared.ana.post(f"{shared.at(resource)}/check-out", {}), 423, "checked_out")
    assert shared.check_in(resource, shared.ben, data={"n": 2})["version_number"] == 2


def test_of_two_that_check_out_at_the_same_moment_one_gets_it(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    path = f"{tenant.at(workflow)}/check-out"
    barrier = threading.Barrier(2, timeout=30)

    def race(caller: Caller) -> int:
        barrier.wait()
        return caller.post(path).status_code

    with ThreadPoolExecutor(2) as pool:
        for _ in range(RACES):
            answers = list(pool.map(race, (tenant.ana, tenant.ben)))
            assert sorted(answers) == [200, 423]
            winner = (tenant.ana, tenant.ben)[answers.index(200)]
            ok(winner.delete(path), 204)


def test_of_many_that_check_in_at_once_one_does(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    path = f"{tenant.at(workflow)}/check-in"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: tenant.ben.post(path, {"data": {"n": number}}), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert len(states(tenant, workflow)) == 2


def test_a_save_and_a_check_out_by_others_leave_no_hole(tenant: Tenant) -> None:
    # In either order: the check-out is of the newest version, or the save is refused.
    workflow = tenant.workflow()
    path = tenant.at(workflow)
    barrier = threading.Barrier(2, timeout=30)

    def save(number: int) -> int:
        barrier.wait()
        return tenant.ana.post(f"{path}/versions", {"data": {"n": number}}).status_code

    def check_out(_: int) -> Json:
        barrier.wait()
        return ok(tenant.ben.post(f"{path}/check-out"))

    with ThreadPoolExecutor(2) as pool:
        for number in range(25):
            saved, taken = pool.submit(save, number), pool.submit(check_out, number)
            assert saved.result() in (201, 423)
            held = taken.result()["check_out"]
            assert held["version_number"] == ok(tenant.ana.get(path))["current_version"]
            assert taken.result()["data"] == ok(tenant.ana.get(path))["definition"]
            ok(tenant.ben.delete(f"{path}/check-out"), 204)


def test_a_user_deleted_since_its_key_was_verified_takes_no_check_out(server: Server, tenant: Tenant) -> None:
    workflow = tenant.workflow()
    author = late_author(tenant, tenant.ben)
    assert tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}").status_code == 204
    with pytest.raises(Unauthenticated):
        check_out(
            server.context, author, Kind.WORKFLOW, UUID(workflow["resource_id"]), reason=None, lease=None
        )
    assert ok(tenant.ana.get(tenant.at(workflow)))["checked_out_by"] is None


def test_the_end_of_a_deleted_users_check_outs_is_recorded(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    ben = tenant.ben
    tenant.check_out(workflow, ben)
    tenant.ana.delete(f"{tenant.path}/users/{ben.user_id}")
    [event] = tenant.aud.pages(
        f"{tenant.path}/audit-logs", action="CANCEL_CHECK_OUT", resource_id=workflow["resource_id"]
    )
    assert event["username"] == "ana"
    assert event["old_values"]["checked_out_by"] == ben.user_id


@pytest.mark.parametrize("blank", ["", "  \n"])
def test_a_blank_comment_is_none(tenant: Tenant, database: Database, blank: str) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, reason=blank)
    saved = tenant.check_in(workflow, data={"n": 2}, comment=blank)
    query = "SELECT count(*) FROM version_comments WHERE version_id = %s"
    assert database.value(query, saved["version_id"]) == 0


def test_a_blank_reason_leaves_that_of_the_check_out(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.check_out(workflow, shared.ben, reason="faster")
    for reason in (None, "", " "):
        assert shared.check_out(workflow, shared.ben, reason=reason)["check_out"]["reason"] == "faster"


def test_a_renewal_is_recorded_with_both_ends(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    first = tenant.check_out(workflow, tenant.ben, reason="faster", ttl_seconds=60)["check_out"]
    second = tenant.check_out(workflow, tenant.ben, ttl_seconds=120)["check_out"]
    [event, _] = tenant.aud.pages(f"{tenant.path}/audit-logs", action="CHECK_OUT")
    assert event["old_values"]["expires_at"] == first["expires_at"]
    assert event["new_values"]["expires_at"] == second["expires_at"]
    assert event["new_values"]["reason"] == "faster"


# -- forced releases --------------------------------------------------------------------------------


def force(tenant: Tenant, resource: Json, name: str) -> httpx.Response:
    """The answer to a forced release."""
    return tenant.caller(name).delete(f"{tenant.at(resource)}/check-out?force=true")


def test_an_admin_takes_anothers_check_out_away(tenant: Tenant, database: Database) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    held = tenant.check_out(workflow, tenant.ben, reason="faster")["check_out"]
    head = tenant.main()
    response = force(tenant, workflow, "ana")
    assert (response.status_code, response.content) == (204, b"")
    assert tenant.main() == head
    [state] = states(tenant, workflow)
    assert (state["checked_out_by"], state["checked_out_at"], state["checked_in_at"]) == (None, None, None)
    assert ok(tenant.vera.get(tenant.at(workflow)))["checked_out_by"] is None
    rows = database.rows(
        "SELECT release_kind, released_by::text, checked_out_by::text FROM check_outs WHERE resource_id = %s",
        workflow["resource_id"],
    )
    assert rows == [("forced", tenant.ana.user_id, tenant.ben.user_id)]
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", action="FORCE_CANCEL")
    assert (event["username"], event["user_id"]) == ("ana", tenant.ana.user_id)
    assert (event["resource_type"], event["resource_id"]) == ("workflow", workflow["resource_id"])
    assert (event["old_values"], event["new_values"]) == (
        {
            "checked_out_by": tenant.ben.user_id,
            "checked_out_by_username": "ben",
            "version_id": held["version_id"],
            "expires_at": held["expires_at"],
            "reason": "faster",
        },
        None,
    )


def test_who_lost_a_check_out_has_to_take_another(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.check_out(workflow, shared.ben)
    assert force(shared, workflow, "ana").status_code == 204
    path = shared.at(workflow)
    refused(shared.ben.post(f"{path}/check-in", {"data": {"n": 2}}), 409, "not_checked_out")
    refused(shared.ben.delete(f"{path}/check-out"), 409, "not_checked_out")
    assert shared.save(workflow, {"n": 3})["version_number"] == 2
    assert shared.check_out(workflow, shared.ben)["data"] == {"n": 3}
    assert shared.check_in(workflow, shared.ben, data={"n": 4})["version_number"] == 3


@pytest.mark.parametrize("name", ["vera", "aud", "ben", "operator"])
@pytest.mark.parametrize("holder", ["ana", "ben", None])
def test_none_but_an_admin_forces_a_release(shared: Tenant, name: str, holder: str | None) -> None:
    # Not even of one's own check-out, nor without one: the role is checked first.
    workflow = shared.workflow()
    if holder is not None:
        shared.check_out(workflow, shared.caller(holder))
    _ = shared.caller(name)
    before = shared.footprint()
    refused(force(shared, workflow, name), 403, "forbidden")
    assert shared.footprint() == before
    expected = None if holder is None else shared.caller(holder).user_id
    assert ok(shared.vera.get(shared.at(workflow)))["checked_out_by"] == expected


def test_an_admins_own_check_out_is_cancelled_as_ever(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ana)
    assert force(tenant, workflow, "ana").status_code == 204
    actions = [event["action"] for event in tenant.aud.pages(f"{tenant.path}/audit-logs")]
    assert "CANCEL_CHECK_OUT" in actions
    assert "FORCE_CANCEL" not in actions


def test_an_admin_without_force_is_told_whose_it_is(shared: Tenant) -> None:
    workflow = shared.workflow()
    held = shared.check_out(workflow, shared.ben)["check_out"]
    for query in ("", "?force=false"):
        response = shared.ana.delete(f"{shared.at(workflow)}/check-out{query}")
        problem = refused(response, 409, "not_holder")
        assert problem["checked_out_by"] == shared.ben.user_id
        assert problem["checked_out_by_username"] == "ben"
        assert problem["expires_at"] == held["expires_at"]


def test_what_nobody_holds_is_not_taken_away(shared: Tenant) -> None:
    free, expired, gone = (shared.workflow() for _ in range(3))
    refused(force(shared, free, "ana"), 409, "not_checked_out")
    shared.check_out(expired, shared.ben, ttl_seconds=60)
    with shared.server.clock.moved(seconds=61):
        refused(force(shared, expired, "ana"), 409, "not_checked_out")
    shared.remove(gone)
    refused(force(shared, gone, "ana"), 409, "resource_deleted")
    free["resource_id"] = "019a0000-0000-7000-8000-000000000000"
    refused(force(shared, free, "ana"), 404, "resource_not_found")


@pytest.mark.parametrize("query", ["force=maybe", "force=", "force=2", "forced=true"])
def test_a_force_that_is_neither_true_nor_false_is_422(shared: Tenant, query: str) -> None:
    workflow = shared.workflow()
    shared.check_out(workflow, shared.ben)
    response = shared.ana.delete(f"{shared.at(workflow)}/check-out?{query}")
    assert pointers(refused(response, 422, "invalid")) == [query.partition("=")[0]]
    assert ok(shared.ana.get(shared.at(workflow)))["checked_out_by"] == shared.ben.user_id


@pytest.mark.parametrize(
    "query",
    [
        *("force=True", "force=TRUE", "force=1", "force=on", "force=yes", "force=t", "force=%20true"),
        *("force=true&force=true", "force=false&force=true", "force=true&force=false", "FORCE=true"),
    ],
)
def test_no_spelling_of_force_is_for_an_editor(shared: Tenant, query: str) -> None:
    workflow = shared.workflow()
    shared.check_out(workflow, shared.ana)
    response = shared.ben.delete(f"{shared.at(workflow)}/check-out?{query}")
    assert response.status_code in (403, 409, 422), response.text
    assert ok(shared.ana.get(shared.at(workflow)))["checked_out_by"] == shared.ana.user_id
