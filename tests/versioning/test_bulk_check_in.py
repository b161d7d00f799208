"""Bulk check-in: one commit of many versions, all or nothing."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.answers import VERSION_FIELDS
from tests.support.api import COLLECTIONS, UNKNOWN, Json, Tenant, ok, pointers, refused, snapshot_path
from tests.support.bulk_check_ins import check_in, item
from tests.support.databases import Database
from tests.support.histories import check_history
from tests.support.tags import trailers

ANSWER_FIELDS = {"commit", "versions", "unchanged"}
MAX_ITEMS = 500


def refusal(tenant: Tenant, status: int, code: str, *items: Json, **fields: Any) -> Json:
    """The problem of a refused bulk check-in; asserts that nothing was written."""
    caller = tenant.ana
    before = tenant.footprint()
    response = caller.post(f"{tenant.path}/check-ins", {"items": items, **fields})
    problem = refused(response, status, code)
    assert tenant.footprint() == before
    return problem


def now(tenant: Tenant, resource: Json) -> tuple[int, Json]:
    """The current version of a resource, and its definition."""
    found = ok(tenant.vera.get(tenant.at(resource)))
    return found["current_version"], found["definition"]


def test_many_versions_are_made_by_one_commit(tenant: Tenant) -> None:
    resources = [tenant.make(collection) for collection in COLLECTIONS]
    tenant.save(resources[3], {"n": 2})
    head, commits = tenant.main(), int(tenant.git("rev-list", "--count", "main"))

    path = f"{tenant.path}/check-ins"
    body = {"items": [item(each, {"n": n}) for n, each in enumerate(resources)], "comment": "a release"}
    response = tenant.ben.post(path, body, headers={"x-request-id": "bulk-1"})

    answer = ok(response, 201)
    assert set(answer) == ANSWER_FIELDS
    assert answer["unchanged"] is False
    assert answer["commit"] == tenant.main()
    assert response.headers["etag"] == f'"{answer["commit"]}"'
    assert tenant.git("rev-parse", "main^").strip() == head
    assert int(tenant.git("rev-list", "--count", "main")) == commits + 1
    versions = answer["versions"]
    assert [version["resource_id"] for version in versions] == [each["resource_id"] for each in resources]
    assert [version["version_number"] for version in versions] == [2, 2, 2, 3, 2, 2]
    for number, (resource, version) in enumerate(zip(resources, versions, strict=True)):
        assert set(version) == VERSION_FIELDS | {"unchanged"}
        assert (version["git_commit_hash"], version["unchanged"]) == (answer["commit"], False)
        assert version["created_by_username"] == "ben"
        read = ok(tenant.vera.get(f"{tenant.at(resource)}/versions/current"))
        assert {**version, **read} == {**read, "unchanged": False}
        assert read["data"] == {"n": number}
    changed = tenant.git("diff", "--name-only", head, "main").splitlines()
    assert sorted(changed) == sorted(snapshot_path(each) for each in resources)
    check_history(tenant)


def test_the_commit_says_each_version_and_why(shared: Tenant) -> None:
    resources = [shared.workflow(), shared.make("connectors"), shared.make("jobs")]
    body = {"items": [item(each) for each in resources], "comment": "a release\n\nAnnals-Version: forged"}
    response = shared.ben.post(f"{shared.path}/check-ins", body, headers={"x-request-id": "bulk-2"})
    answer = ok(response, 201)
    message = shared.git("log", "-1", "--format=%B", answer["commit"])
    assert message.split("\n\n")[1] == "a release"
    assert trailers(message) == [
        *(
            (
                "Annals-Version",
                f"{each['resource_type']}s/{each['resource_id']}@2 {version['version_id']}",
            )
            for each, version in zip(resources, answer["versions"], strict=True)
        ),
        ("Annals-Actor", f"{shared.ben.user_id} ben"),
        ("Annals-Request", "bulk-2"),
        ("Annals-Time", trailers(message)[-1][1]),
    ]


def test_the_order_of_the_answer_is_that_of_the_items(shared: Tenant) -> None:
    resources = [shared.workflow(), shared.make("workspaces"), shared.workflow(), shared.make("jobs")]
    wanted = [resources[index] for index in (2, 1, 3, 0)]
    answer = check_in(shared, *map(item, wanted))
    assert [v["resource_id"] for v in answer["versions"]] == [each["resource_id"] for each in wanted]


def test_a_version_of_a_bulk_is_found_by_the_commit_that_it_shares(shared: Tenant) -> None:
    one, other = shared.workflow(), shared.workflow()
    commit = check_in(shared, item(one, {"n": 1}), item(other, {"n": 2}))["commit"]
    for resource, data in ((one, {"n": 1}), (other, {"n": 2})):
        found = ok(shared.vera.get(f"{shared.at(resource)}/versions/{commit[:10]}"))
        assert (found["version_number"], found["data"]) == (2, data)


def test_500_items_are_one_commit(tenant: Tenant) -> None:
    _ = tenant.ana
    with ThreadPoolExecutor(16) as pool:
        resources = list(pool.map(lambda _: tenant.make("workspaces"), range(MAX_ITEMS)))
    answer = check_in(tenant, *(item(each, {"n": n}) for n, each in enumerate(resources)))
    assert len(answer["versions"]) == MAX_ITEMS
    assert {version["git_commit_hash"] for version in answer["versions"]} == {tenant.main()}
    told = trailers(tenant.git("log", "-1", "--format=%B", "main"))
    assert [name for name, _ in told].count("Annals-Version") == MAX_ITEMS
    assert now(tenant, resources[-1]) == (2, {"n": MAX_ITEMS - 1})


def test_501_items_are_too_many(shared: Tenant) -> None:
    nobody = {"resource_type": "workflow", "resource_id": UNKNOWN}
    problem = refusal(shared, 422, "invalid", *[item(nobody)] * (MAX_ITEMS + 1))
    assert pointers(problem) == ["/items"]


def test_equal_content_is_no_commit(shared: Tenant) -> None:
    resources = [shared.workflow(definition={"n": 1}), shared.make("connectors", definition={"n": 1})]
    head = shared.main()
    body = {"items": [item(each, {"n": 1}) for each in resources]}
    response = shared.ana.post(f"{shared.path}/check-ins", body)
    answer = ok(response)
    assert (answer["commit"], answer["unchanged"]) == (None, True)
    assert [(v["version_number"], v["unchanged"]) for v in answer["versions"]] == [(1, True), (1, True)]
    assert "etag" not in response.headers
    assert shared.main() == head


def test_only_what_is_new_gets_a_version(shared: Tenant) -> None:
    equal, new = shared.workflow(definition={"n": 1}), shared.workflow(definition={"n": 1})
    answer = check_in(shared, item(equal, {"n": 1}), item(new, {"n": 2}))
    assert answer["unchanged"] is False
    found = [(v["version_number"], v["unchanged"], v["git_commit_hash"]) for v in answer["versions"]]
    assert found == [(1, True, equal["git_commit_hash"]), (2, False, answer["commit"])]
    told = trailers(shared.git("log", "-1", "--format=%B", "main"))
    assert [value.split("@")[0] for name, value in told if name == "Annals-Version"] == [
        f"workflows/{new['resource_id']}"
    ]


def test_the_comment_is_one_on_each(shared: Tenant) -> None:
    equal, new = shared.workflow(definition={"n": 1}), shared.make("jobs")
    check_in(shared, item(equal, {"n": 1}), item(new), comment="a release", by=shared.ben)
    for resource, number in ((equal, 1), (new, 2)):
        [comment] = shared.vera.pages(f"{shared.at(resource)}/versions/{number}/comments")
        assert (comment["text"], comment["commented_by_username"]) == ("a release", "ben")


@pytest.mark.parametrize("comment", [None, "", " \n"])
def test_a_blank_comment_is_none(shared: Tenant, comment: str | None) -> None:
    workflow = shared.workflow()
    check_in(shared, item(workflow), comment=comment)
    assert shared.vera.pages(f"{shared.at(workflow)}/versions/2/comments") == []


def test_ones_own_check_outs_end(shared: Tenant, database: Database) -> None:
    equal, new, free = (shared.workflow(definition={"n": 1}) for _ in range(3))
    for each in (equal, new):
        shared.check_out(each, shared.ben)
    answer = check_in(shared, item(equal, {"n": 1}), item(new), item(free), by=shared.ben)
    assert {version["checked_out_by"] for version in answer["versions"]} == {None}
    assert [v["checked_in_at"] is None for v in answer["versions"]] == [False, False, True]
    for each in (equal, new, free):
        assert ok(shared.vera.get(shared.at(each)))["checked_out_by"] is None
        refused(shared.ben.post(f"{shared.at(each)}/check-in"), 409, "not_checked_out")
    kinds = database.rows(
        "SELECT release_kind FROM check_outs WHERE resource_id = ANY(%s)",
        [equal["resource_id"], new["resource_id"]],
    )
    assert kinds == [("check_in",)] * 2


def test_a_lease_that_ran_out_is_nobodys(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.check_out(workflow, shared.ben, ttl_seconds=60)
    with shared.server.clock.moved(seconds=61):
        [version] = check_in(shared, item(workflow))["versions"]
    assert (version["version_number"], version["checked_in_at"]) == (2, None)


def test_each_version_of_a_bulk_has_its_audit_row(tenant: Tenant) -> None:
    resources = [tenant.workflow(), tenant.make("jobs")]
    body = {"items": [item(each) for each in resources]}
    ok(tenant.ben.post(f"{tenant.path}/check-ins", body, headers={"x-request-id": "bulk-3"}), 201)
    found = tenant.aud.pages(f"{tenant.path}/audit-logs", request_id="bulk-3", action="CHECK_IN")
    assert {(event["action"], event["resource_id"], event["username"]) for event in found} == {
        ("CHECK_IN", each["resource_id"], "ben") for each in resources
    }
    assert {event["new_values"]["git_commit_hash"] for event in found} == {tenant.main()}


# -- refused: all or nothing, every fault named ----------------------------------------------------


def test_items_that_are_not_there_are_named(shared: Tenant, stranger: Tenant) -> None:
    workflow, theirs = shared.workflow(), stranger.workflow()
    unknown = {"resource_type": "job", "resource_id": UNKNOWN}
    other_kind = {"resource_type": "job", "resource_id": workflow["resource_id"]}
    items = [item(unknown), item(workflow), item(other_kind), item(theirs)]
    problem = refusal(shared, 404, "resource_not_found", *items)
    assert pointers(problem) == [f"/items/{index}/resource_id" for index in (0, 2, 3)]
    assert now(shared, workflow)[0] == 1


def test_items_that_others_hold_are_listed_with_their_holders(shared: Tenant) -> None:
    free, mine, first, second = (shared.workflow() for _ in range(4))
    shared.check_out(mine, shared.ana)
    check_outs = [shared.check_out(each, shared.ben)["check_out"] for each in (first, second)]
    problem = refusal(shared, 423, "checked_out", *map(item, (free, first, mine, second)))
    names = ("checked_out_by", "checked_out_by_username", "checked_out_at", "expires_at")
    assert problem["check_outs"] == [
        {
            "resource_type": "workflow",
            "resource_id": resource["resource_id"],
            "resource_name": resource["name"],
        }
        | {name: held[name] for name in names}
        for resource, held in zip((first, second), check_outs, strict=True)
    ]
    assert "ben" in problem["detail"]
    assert ok(shared.ana.get(shared.at(mine)))["checked_out_by"] == shared.ana.user_id


def test_items_that_are_deleted_are_named(shared: Tenant) -> None:
    live, one, other = (shared.workflow() for _ in range(3))
    for each in (one, other):
        shared.remove(each)
    problem = refusal(shared, 409, "resource_deleted", *map(item, (one, live, other)))
    assert pointers(problem) == ["/items/0/resource_id", "/items/2/resource_id"]


def test_items_that_were_changed_since_are_named_with_their_current_versions(shared: Tenant) -> None:
    fresh, one, other = (shared.workflow() for _ in range(3))
    saved = [shared.save(each, {"n": 2}) for each in (one, other)]
    items = [item(each, if_match=f'"{each["git_commit_hash"]}"') for each in (one, fresh, other)]
    problem = refusal(shared, 412, "stale_version", *items)
    assert pointers(problem) == ["/items/0/if_match", "/items/2/if_match"]
    assert problem["current"] == [
        {
            "resource_type": "workflow",
            "resource_id": each["resource_id"],
            "resource_name": each["name"],
            "current_version": 2,
            "git_commit_hash": version["git_commit_hash"],
        }
        for each, version in zip((one, other), saved, strict=True)
    ]
    for faulty, version in zip((items[0], items[2]), saved, strict=True):
        faulty["if_match"] = f'"{version["git_commit_hash"]}"'
    assert [v["version_number"] for v in check_in(shared, *items)["versions"]] == [3, 2, 3]


def test_an_item_named_twice_is_refused_where_it_stands_again(shared: Tenant) -> None:
    one, other = shared.workflow(), shared.workflow()
    loud = item(one) | {"resource_id": one["resource_id"].upper()}
    problem = refusal(shared, 422, "invalid", item(one), item(other), loud, item(other))
    assert pointers(problem) == ["/items/2/resource_id", "/items/3/resource_id"]


@pytest.fixture(scope="module")
def pair(shared: Tenant) -> tuple[Json, Json]:
    """Two workflows that no test changes."""
    return shared.workflow(), shared.workflow()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"resource_type": "workflows"}, "/resource_type"),
        ({"resource_type": None}, "/resource_type"),
        ({"resource_id": "nobody"}, "/resource_id"),
        ({"resource_id": 1}, "/resource_id"),
        ({"data": []}, "/data"),
        ({"data": None}, "/data"),
        ({"if_match": ""}, "/if_match"),
        ({"if_match": 7}, "/if_match"),
        ({"tag": "v1"}, "/tag"),
    ],
)
def test_an_item_that_breaks_a_rule_is_422(
    shared: Tenant, pair: tuple[Json, Json], change: Json, pointer: str
) -> None:
    one, other = pair
    problem = refusal(shared, 422, "invalid", item(one), item(other) | change)
    assert pointers(problem) == [f"/items/1{pointer}"]


@pytest.mark.parametrize("missing", ["resource_type", "resource_id", "data"])
def test_an_item_has_to_be_whole(shared: Tenant, pair: tuple[Json, Json], missing: str) -> None:
    given = item(pair[0])
    del given[missing]
    assert pointers(refusal(shared, 422, "invalid", given)) == [f"/items/0/{missing}"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, ["/items"]),
        ({"items": []}, ["/items"]),
        ({"items": {}}, ["/items"]),
        ({"items": ["x"]}, ["/items/0"]),
        ({"items": None}, ["/items"]),
        ({"items": [], "message": "x"}, ["/items", "/message"]),
    ],
)
def test_a_body_that_breaks_rules_is_422(shared: Tenant, body: Json, wanted: list[str]) -> None:
    response = shared.ana.post(f"{shared.path}/check-ins", body)
    assert pointers(refused(response, 422, "invalid")) == wanted


def test_what_cannot_be_stored_is_named_in_its_item(shared: Tenant) -> None:
    workflow = shared.workflow()
    raw = '{"items": [{"resource_type": "workflow", "resource_id": "%s", "data": {"a": [NaN]}}]}'
    before = shared.footprint()
    response = shared.ana.send(f"{shared.path}/check-ins", (raw % workflow["resource_id"]).encode())
    assert pointers(refused(response, 422, "invalid")) == ["/items/0/data/a/0"]
    assert shared.footprint() == before
