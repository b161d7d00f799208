"""Check-out of another version than the current one."""

import pytest

from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.histories import check_history


@pytest.fixture
def workflow(tenant: Tenant) -> Json:
    """A workflow with three versions, of which the first is tagged and the second published."""
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2})
    tenant.save(workflow, {"n": 3})
    ok(tenant.ana.put(f"{tenant.at(workflow)}/versions/1/tag", {"tag": "v1.0"}))
    ok(tenant.ana.post(f"{tenant.at(workflow)}/versions/2/publish"))
    return workflow


def version(tenant: Tenant, workflow: Json, ref: object) -> Json:
    return ok(tenant.vera.get(f"{tenant.at(workflow)}/versions/{ref}"))


@pytest.mark.parametrize(
    ("ref", "number"),
    [(1, 1), ("1", 1), ("v1.0", 1), ("published", 2), ("previous", 2), ("current", 3), (3, 3), (None, 3)],
)
def test_a_check_out_answers_the_content_of_any_version(
    tenant: Tenant, workflow: Json, ref: object, number: int
) -> None:
    response = tenant.ben.post(f"{tenant.at(workflow)}/check-out", {"from": ref})
    answer, started = ok(response), version(tenant, workflow, number)
    assert answer["data"] == {"n": number}
    held = answer["check_out"]
    assert (held["version_number"], held["version_id"], held["commit"]) == (
        number,
        started["version_id"],
        started["git_commit_hash"],
    )
    # The tag is for If-Match, which names the current version.
    assert response.headers["etag"] == f'"{version(tenant, workflow, 3)["git_commit_hash"]}"'
    assert started["checked_out_by"] == tenant.ben.user_id
    assert ok(tenant.vera.get(tenant.at(workflow)))["checked_out_by"] == tenant.ben.user_id
    [listed] = ok(tenant.ben.get(f"{tenant.path}/check-outs"))["ours"]
    assert listed["version_number"] == number


def test_a_commit_names_a_version_too(tenant: Tenant, workflow: Json) -> None:
    commit = version(tenant, workflow, 2)["git_commit_hash"]
    assert tenant.check_out(workflow, tenant.ben, **{"from": commit[:12]})["data"] == {"n": 2}


def test_its_check_in_is_the_next_version_on_top_of_the_current_one(tenant: Tenant, workflow: Json) -> None:
    head = tenant.main()
    path = tenant.at(workflow)
    etag = tenant.ben.post(f"{path}/check-out", {"from": 1}).headers["etag"]
    saved = ok(tenant.ben.post(f"{path}/check-in", {"data": {"n": 1}}, headers={"if-match": etag}), 201)
    assert (saved["version_number"], saved["unchanged"]) == (4, False)
    assert tenant.git("rev-parse", "main~1").strip() == head
    history = tenant.vera.pages(f"{path}/versions")
    assert [each["version_number"] for each in history] == [4, 3, 2, 1]
    assert {each["checked_out_by"] for each in history} == {None}
    assert [version(tenant, workflow, number)["data"]["n"] for number in (1, 2, 3, 4)] == [1, 2, 3, 1]
    check_history(tenant)


def test_a_check_in_without_content_makes_no_version(tenant: Tenant, workflow: Json) -> None:
    tenant.check_out(workflow, tenant.ben, **{"from": 1})
    done = ok(tenant.ben.post(f"{tenant.at(workflow)}/check-in"))
    assert (done["version_number"], done["unchanged"]) == (3, True)
    assert version(tenant, workflow, 1)["checked_out_by"] is None
    check_history(tenant)


def test_the_holder_moves_to_another_version_and_stays_there(tenant: Tenant, workflow: Json) -> None:
    first = tenant.check_out(workflow, tenant.ben)["check_out"]
    moved = tenant.check_out(workflow, tenant.ben, **{"from": "v1.0"})
    assert (moved["data"], moved["check_out"]["version_number"]) == ({"n": 1}, 1)
    assert moved["check_out"]["checked_out_at"] == first["checked_out_at"]
    renewed = tenant.check_out(workflow, tenant.ben, ttl_seconds=60)
    assert (renewed["data"], renewed["check_out"]["version_number"]) == ({"n": 1}, 1)
    holders = [version(tenant, workflow, number)["checked_out_by"] for number in (1, 2, 3)]
    assert holders == [tenant.ben.user_id, None, None]
    back = tenant.check_out(workflow, tenant.ben, **{"from": "current"})
    assert (back["data"], back["check_out"]["version_number"]) == ({"n": 3}, 3)
    rows = tenant.server.database.rows(
        "SELECT 1 FROM check_outs WHERE resource_id = %s", workflow["resource_id"]
    )
    assert len(rows) == 1


def test_a_save_moves_the_check_out_to_the_new_version(tenant: Tenant, workflow: Json) -> None:
    tenant.check_out(workflow, tenant.ben, **{"from": 1})
    tenant.save(workflow, {"n": 4}, by=tenant.ben)
    assert tenant.check_out(workflow, tenant.ben)["check_out"]["version_number"] == 4
    assert version(tenant, workflow, 1)["checked_out_by"] is None
    check_history(tenant)


@pytest.mark.parametrize("ref", [9, "v9", "0123456789", 0, -1, 10**18])
def test_an_unknown_version_is_not_found_and_nothing_is_taken(
    tenant: Tenant, workflow: Json, ref: object
) -> None:
    refused(tenant.ben.post(f"{tenant.at(workflow)}/check-out", {"from": ref}), 404, "version_not_found")
    assert ok(tenant.vera.get(tenant.at(workflow)))["checked_out_by"] is None


@pytest.mark.parametrize("ref", [True, 1.5, "", [], {}, "x" * 101])
def test_a_ref_that_breaks_a_rule_is_refused(shared: Tenant, ref: object) -> None:
    path = f"{shared.at(shared.workflow())}/check-out"
    assert pointers(refused(shared.ben.post(path, {"from": ref}), 422, "invalid")) == ["/from"]


def test_the_field_has_no_other_name(shared: Tenant) -> None:
    path = f"{shared.at(shared.workflow())}/check-out"
    assert pointers(refused(shared.ben.post(path, {"from_ref": 1}), 422, "invalid")) == ["/from_ref"]


def test_another_user_is_refused_whatever_the_version(tenant: Tenant, workflow: Json) -> None:
    tenant.check_out(workflow, tenant.ben, **{"from": 1})
    for ref in (1, 2, "current"):
        refused(tenant.ana.post(f"{tenant.at(workflow)}/check-out", {"from": ref}), 423, "checked_out")
    refused(tenant.ana.post(f"{tenant.at(workflow)}/check-out", {"from": 9}), 404, "version_not_found")


def test_a_lease_from_an_old_version_ends_like_any_other(tenant: Tenant, workflow: Json) -> None:
    tenant.check_out(workflow, tenant.ben, ttl_seconds=60, **{"from": 1})
    with tenant.server.clock.moved(seconds=61):
        assert version(tenant, workflow, 1)["checked_out_by"] is None
        assert tenant.check_out(workflow, tenant.ana)["check_out"]["version_number"] == 3
    ok(tenant.ana.delete(f"{tenant.at(workflow)}/check-out"), 204)
    tenant.check_out(workflow, tenant.ben, **{"from": 2})
    ok(tenant.ben.delete(f"{tenant.at(workflow)}/check-out"), 204)
    assert version(tenant, workflow, 2)["checked_out_by"] is None


def test_a_retry_gets_the_same_content_and_tag(tenant: Tenant, workflow: Json) -> None:
    path, headers = f"{tenant.at(workflow)}/check-out", {"idempotency-key": "once"}
    first = tenant.ben.post(path, {"from": 1}, headers=headers)
    again = tenant.ben.post(path, {"from": 1}, headers=headers)
    assert (ok(again), again.headers["etag"]) == (ok(first), first.headers["etag"])


def test_the_audit_log_names_the_version(tenant: Tenant, workflow: Json) -> None:
    tenant.check_out(workflow, tenant.ben, **{"from": 1})
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", action="CHECK_OUT")
    assert event["new_values"]["version_id"] == version(tenant, workflow, 1)["version_id"]
