"""Resources of the six kinds: creation, reading, lists, and isolation."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from tests.support.api import COLLECTIONS, UNKNOWN, Json, Tenant, ok, pointers, refused, snapshot_path

SUMMARY_FIELDS = {
    *("resource_type", "resource_id", "name", "description", "parent_id", "workspace_id"),
    *("current_version", "git_commit_hash", "checked_out_by"),
    *("created_by", "created_at", "updated_at", "deleted_at"),
}


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_resource_answers_with_every_field(tenant: Tenant, collection: str) -> None:
    definition = {"b": [1, {"x": None}], "a": "é"}
    made = tenant.make(collection, name="first", description="what it is\nfor", definition=definition)
    assert set(made) == SUMMARY_FIELDS | {"definition"}
    parent_id = next(iter(tenant.parent(collection).values()), None)
    expected = {
        "resource_type": collection[:-1],
        "name": "first",
        "description": "what it is\nfor",
        "parent_id": parent_id,
        "workspace_id": made["resource_id"] if collection == "workspaces" else tenant.workspace_id,
        "definition": definition,
        "current_version": 1,
        "checked_out_by": None,
        "created_by": tenant.ana.user_id,
        "deleted_at": None,
    }
    assert made | expected == made
    assert made["created_at"] == made["updated_at"]
    assert UUID(made["resource_id"]).version == 7
    response = tenant.vera.get(tenant.at(made))
    assert ok(response) == made
    assert response.headers["etag"] == f'"{made["git_commit_hash"]}"'


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_version_1_is_committed_with_the_resource(tenant: Tenant, collection: str) -> None:
    made = tenant.make(collection, definition={"a": 1})
    assert tenant.main() == made["git_commit_hash"]
    snapshot = json.loads(tenant.git("show", f"main:{snapshot_path(made)}"))
    names = ("resource_type", "resource_id", "name", "description", "parent_id", "definition")
    assert snapshot == {name: made[name] for name in names}


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_the_definition_is_an_empty_object_unless_given(shared: Tenant, collection: str) -> None:
    made = shared.make(collection)
    assert made["definition"] == {}
    assert made["description"] is None


def test_a_folder_lies_in_a_folder(tenant: Tenant) -> None:
    inner = tenant.make("folders", parent_folder_id=tenant.folder_id)
    assert inner["parent_id"] == tenant.folder_id
    assert inner["workspace_id"] == tenant.workspace_id
    innermost = tenant.make("folders", parent_folder_id=inner["resource_id"])
    job = tenant.make("jobs", folder_id=innermost["resource_id"])
    assert job["workspace_id"] == tenant.workspace_id


def test_a_parent_folder_of_another_workspace_is_refused(tenant: Tenant) -> None:
    other = tenant.make("workspaces")
    body = {"name": "f", "workspace_id": other["resource_id"], "parent_folder_id": tenant.folder_id}
    problem = refused(tenant.ana.post(f"{tenant.path}/folders", body), 404, "parent_not_found")
    assert pointers(problem) == ["/parent_folder_id"]


@pytest.mark.parametrize(
    ("collection", "field"),
    [
        ("folders", "workspace_id"),
        ("folders", "parent_folder_id"),
        ("jobs", "folder_id"),
        ("workflows", "job_id"),
        ("jobpackages", "folder_id"),
        ("connectors", "workspace_id"),
    ],
)
def test_a_parent_that_is_not_there_is_404(
    tenant: Tenant, stranger: Tenant, collection: str, field: str
) -> None:
    anothers = {**stranger.parent(collection), "parent_folder_id": stranger.folder_id}[field]
    own = tenant.parent(collection)
    before = tenant.footprint()
    for parent_id in (UNKNOWN, anothers):
        body = {"name": "x", **own, field: parent_id}
        problem = refused(tenant.ana.post(f"{tenant.path}/{collection}", body), 404, "parent_not_found")
        assert pointers(problem) == [f"/{field}"]
    assert tenant.footprint() == before


def test_a_parent_of_another_kind_is_404(tenant: Tenant) -> None:
    body = {"name": "x", "folder_id": tenant.workspace_id}
    refused(tenant.ana.post(f"{tenant.path}/jobs", body), 404, "parent_not_found")


def test_nothing_is_made_below_what_is_deleted(tenant: Tenant) -> None:
    job = tenant.make("jobs")
    tenant.remove(job)
    body = {"name": "x", "job_id": job["resource_id"]}
    problem = refused(tenant.ana.post(f"{tenant.path}/workflows", body), 409, "resource_deleted")
    assert pointers(problem) == ["/job_id"]


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_live_siblings_name_is_taken(tenant: Tenant, collection: str) -> None:
    tenant.make(collection, name="twin")
    before = tenant.footprint()
    body = {"name": "twin", **tenant.parent(collection)}
    problem = refused(tenant.ana.post(f"{tenant.path}/{collection}", body), 409, "name_taken")
    assert pointers(problem) == ["/name"]
    assert tenant.footprint() == before


def test_a_name_is_free_under_another_parent_and_for_another_kind(tenant: Tenant) -> None:
    outer = tenant.make("folders", name="twin")
    tenant.make("folders", name="twin", parent_folder_id=outer["resource_id"])
    tenant.make("connectors", name="twin")
    tenant.make("jobs", name="twin")
    tenant.make("jobs", name="twin", folder_id=outer["resource_id"])
    tenant.make("jobpackages", name="twin")
    tenant.make("jobs", name="Twin")


def test_an_old_name_given_again_is_a_new_identity(tenant: Tenant) -> None:
    old = tenant.workflow(name="phoenix")
    tenant.remove(old)
    new = tenant.workflow(name="phoenix")
    assert new["resource_id"] != old["resource_id"]
    assert new["current_version"] == 1


@pytest.mark.parametrize("collection", ["workspaces", "workflows"])
def test_of_many_that_make_one_name_at_once_one_succeeds(tenant: Tenant, collection: str) -> None:
    body = {"name": "twin", **tenant.parent(collection)}
    callers = [tenant.ana, tenant.ben] * 8
    with ThreadPoolExecutor(len(callers)) as pool:
        answers = list(pool.map(lambda caller: caller.post(f"{tenant.path}/{collection}", body), callers))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15
    assert len(tenant.ana.pages(f"{tenant.path}/{collection}", name="twin")) == 1


@pytest.mark.parametrize(
    ("collection", "change", "pointer"),
    [
        ("workspaces", {"name": ""}, "/name"),
        ("workspaces", {"name": " \t"}, "/name"),
        ("workspaces", {"name": "a\nb"}, "/name"),
        ("workspaces", {"name": "a\u2028b"}, "/name"),
        ("workspaces", {"name": "x" * 501}, "/name"),
        ("workspaces", {"name": None}, "/name"),
        ("workspaces", {"description": "x" * 10_001}, "/description"),
        ("workspaces", {"description": 1}, "/description"),
        ("workspaces", {"definition": []}, "/definition"),
        ("workspaces", {"definition": None}, "/definition"),
        ("workspaces", {"definition": "{}"}, "/definition"),
        ("workspaces", {"workspace_id": UNKNOWN}, "/workspace_id"),
        ("folders", {"workspace_id": None}, "/workspace_id"),
        ("folders", {"parent_folder_id": "x"}, "/parent_folder_id"),
        ("jobs", {"folder_id": 7}, "/folder_id"),
        ("workflows", {"folder_id": UNKNOWN}, "/folder_id"),
        ("workflows", {"Name": "x"}, "/Name"),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused(
    shared: Tenant, collection: str, change: Json, pointer: str
) -> None:
    body = {"name": "x", **shared.parent(collection), **change}
    problem = refused(shared.ana.post(f"{shared.path}/{collection}", body), 422, "invalid")
    assert pointers(problem) == [pointer]


@pytest.mark.parametrize("collection", [c for c in COLLECTIONS if c != "workspaces"])
def test_a_parent_has_to_be_named(shared: Tenant, collection: str) -> None:
    problem = refused(shared.ana.post(f"{shared.path}/{collection}", {"name": "x"}), 422, "invalid")
    assert pointers(problem) == [f"/{next(iter(shared.parent(collection)))}"]


@pytest.mark.parametrize("name", ["x" * 500, "😀" * 500, "spa ced", "a/b\\c\"'<&>%00", "ünï — 漢字"])
def test_a_name_may_hold_what_people_write(tenant: Tenant, name: str) -> None:
    made = tenant.make("workspaces", name=name)
    assert ok(tenant.ana.get(tenant.at(made)))["name"] == name
    [listed] = tenant.ana.pages(f"{tenant.path}/workspaces", name=name)
    assert listed["name"] == name


def test_a_list_carries_no_bodies(tenant: Tenant) -> None:
    tenant.workflow(definition={"secret": 1})
    [listed] = tenant.vera.pages(f"{tenant.path}/workflows")
    assert set(listed) == SUMMARY_FIELDS


@pytest.mark.parametrize(
    ("collection", "field"),
    [
        ("folders", "workspace_id"),
        ("folders", "parent_folder_id"),
        ("jobs", "workspace_id"),
        ("jobs", "folder_id"),
        ("workflows", "workspace_id"),
        ("workflows", "job_id"),
        ("jobpackages", "folder_id"),
        ("connectors", "workspace_id"),
    ],
)
def test_a_list_is_narrowed_by_parent(tenant: Tenant, collection: str, field: str) -> None:
    fields: Json = {"parent_folder_id": tenant.folder_id} if field == "parent_folder_id" else {}
    parent_id = fields.get(field) or getattr(tenant, field)
    mine = tenant.make(collection, **fields)
    tenant.begin_another_tree()
    tenant.make(collection)
    found = tenant.ana.pages(f"{tenant.path}/{collection}", **{field: parent_id})
    assert mine["resource_id"] in {item["resource_id"] for item in found}
    place = "parent_id" if field != "workspace_id" else "workspace_id"
    assert {item[place] for item in found} == {parent_id}
    assert len(found) < len(tenant.ana.pages(f"{tenant.path}/{collection}"))


@pytest.mark.parametrize(
    ("collection", "query", "parameter"),
    [
        ("workspaces", {"workspace_id": UNKNOWN}, "workspace_id"),
        ("workflows", {"folder_id": UNKNOWN}, "folder_id"),
        ("connectors", {"job_id": UNKNOWN}, "job_id"),
        ("jobs", {"parent_folder_id": UNKNOWN}, "parent_folder_id"),
        ("jobs", {"folder_id": "x"}, "folder_id"),
        ("jobs", {"folder_id": "\0"}, "folder_id"),
        ("jobs", {"name": "a\0b"}, "name"),
        ("jobs", {"name": "x" * 501}, "name"),
        ("jobs", {"include_deleted": "perhaps"}, "include_deleted"),
        ("jobs", {"limit": "0"}, "limit"),
        ("jobs", {"limit": "-1"}, "limit"),
        ("jobs", {"limit": "201"}, "limit"),
        ("jobs", {"limit": "1e2"}, "limit"),
        ("jobs", {"limit": "9" * 5000}, "limit"),
        ("jobs", {"cursor": ""}, "cursor"),
        ("jobs", {"cursor": "a=b"}, "cursor"),
        ("jobs", {"cursor": "AAAA"}, "cursor"),
        ("jobs", {"cursor": "\0"}, "cursor"),
        ("jobs", {"cursor": "W10"}, "cursor"),
        ("jobs", {"cursor": "bnVsbA"}, "cursor"),
        ("jobs", {"cursor": "x" * 1001}, "cursor"),
    ],
)
def test_a_query_that_breaks_a_rule_is_refused(
    shared: Tenant, collection: str, query: dict[str, str], parameter: str
) -> None:
    response = shared.ana.get(f"{shared.path}/{collection}", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]


def test_deleted_resources_are_listed_only_on_request(tenant: Tenant) -> None:
    live, dead = tenant.workflow(), tenant.workflow()
    tenant.remove(dead)
    ids = [item["resource_id"] for item in tenant.ana.pages(f"{tenant.path}/workflows")]
    assert ids == [live["resource_id"]]
    everything = tenant.ana.pages(f"{tenant.path}/workflows", include_deleted="true")
    assert [item["resource_id"] for item in everything] == [dead["resource_id"], live["resource_id"]]
    assert [item["deleted_at"] is None for item in everything] == [False, True]


def test_a_deleted_resource_is_read_but_not_written(tenant: Tenant) -> None:
    dead = tenant.workflow(definition={"a": 1})
    tenant.remove(dead)
    path = tenant.at(dead)
    assert ok(tenant.vera.get(path))["deleted_at"] is not None
    assert ok(tenant.vera.get(f"{path}/versions/1"))["data"] == {"a": 1}
    for method, rest, body in (
        ("PATCH", "", {"name": "x"}),
        ("POST", "/versions", {"data": {}}),
        ("POST", "/check-out", {}),
        ("POST", "/check-in", {}),
        ("POST", "/rollback", {"to": 1}),
        ("DELETE", "/check-out", None),
    ):
        refused(tenant.ana.request(method, path + rest, body), 409, "resource_deleted")


def test_paging_gives_everything_once_newest_first(tenant: Tenant) -> None:
    names = [tenant.make("workspaces", name=f"w{number}")["name"] for number in range(7)]
    for limit in (1, 2, 3, 6, 7, 8, 200):
        listed = tenant.ana.pages(f"{tenant.path}/workspaces", limit=limit)
        assert [item["name"] for item in listed] == names[::-1]


def test_fifty_are_listed_unless_a_limit_is_given(tenant: Tenant) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: tenant.make("workspaces", name=f"w{number}"), range(51)))
    assert len(ok(tenant.ana.get(f"{tenant.path}/workspaces"))["items"]) == 50


def test_what_is_made_while_paging_moves_nothing(tenant: Tenant) -> None:
    names = [tenant.make("workspaces", name=f"w{number}")["name"] for number in range(4)]
    path = f"{tenant.path}/workspaces"
    first = ok(tenant.ana.get(path, params={"limit": 2}))
    tenant.make("workspaces", name="later")
    rest = tenant.ana.pages(path, limit=2, cursor=first["next_cursor"])
    assert [item["name"] for item in (*first["items"], *rest)] == names[::-1]


def test_a_page_links_to_the_next(tenant: Tenant) -> None:
    for number in range(3):
        tenant.make("connectors", name=f"c{number}")
    query: dict[str, Any] = {"limit": 2, "workspace_id": tenant.workspace_id}
    first = tenant.ana.get(f"{tenant.path}/connectors", params=query)
    link = first.links["next"]["url"]
    assert first.json()["next_cursor"] in link
    second = tenant.ana.get(link)
    assert [item["name"] for item in ok(second)["items"]] == ["c0"]
    assert second.json()["next_cursor"] is None
    assert "link" not in second.headers


def test_a_cursor_holds_only_with_its_filters_and_its_list(tenant: Tenant, stranger: Tenant) -> None:
    for number in range(3):
        tenant.make("workspaces", name=f"w{number}")
    path = f"{tenant.path}/workspaces"
    cursor = ok(tenant.ana.get(path, params={"limit": 1}))["next_cursor"]
    ok(tenant.ana.get(path, params={"cursor": cursor, "limit": 2}))
    for where, query in (
        (path, {"name": "w1"}),
        (path, {"include_deleted": "true"}),
        (f"{tenant.path}/folders", {}),
        (f"{tenant.path}/users", {}),
        (f"{tenant.path}/audit-logs", {}),
    ):
        response = tenant.ana.get(where, params={"cursor": cursor, **query})
        assert pointers(refused(response, 422, "invalid")) == ["cursor"]
    response = stranger.ana.get(f"{stranger.path}/workspaces", params={"cursor": cursor})
    refused(response, 422, "invalid")


@pytest.mark.parametrize("position", [[], [""], ["x"], [None], [7], [{}], [["a"]], [2**70]])
def test_a_cursor_that_was_altered_is_refused(tenant: Tenant, position: list[object]) -> None:
    for number in range(2):
        tenant.make("workspaces", name=f"w{number}")
    path = f"{tenant.path}/workspaces"
    cursor = ok(tenant.ana.get(path, params={"limit": 1}))["next_cursor"]
    stamp, *_ = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    altered = base64.urlsafe_b64encode(json.dumps([stamp, *position]).encode()).decode().rstrip("=")
    response = tenant.ana.get(path, params={"cursor": altered})
    assert pointers(refused(response, 422, "invalid")) == ["cursor"]


@pytest.mark.parametrize("resource_id", [UNKNOWN, "nobody", "1", "%00", "x" * 3000])
def test_a_resource_that_is_not_there_is_404(shared: Tenant, resource_id: str) -> None:
    refused(shared.ana.get(f"{shared.path}/workflows/{resource_id}"), 404, "resource_not_found")


def test_a_collection_that_is_none_is_404(shared: Tenant) -> None:
    refused(shared.ana.get(f"{shared.path}/gadgets/{UNKNOWN}"), 404, "path_not_found")
    refused(shared.ana.get(f"{shared.path}/gadgets"), 404, "path_not_found")
