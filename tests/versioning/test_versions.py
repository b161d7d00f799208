"""Versions: history, every form of ref, saving, tags and rollback."""

import base64
import json
from datetime import datetime

import pytest

from tests.support.altered_rows import rename_commit
from tests.support.answers import VERSION_FIELDS
from tests.support.api import Json, Tenant, ok, pointers, refused, snapshot_path


@pytest.fixture(scope="module")
def edited(shared: Tenant) -> tuple[Json, list[Json]]:
    """A workflow with four versions, the second of which is tagged."""
    workflow = shared.workflow(definition={"n": 1}, description="first")
    first = ok(shared.ana.get(f"{shared.at(workflow)}/versions/1"))
    later = [shared.save(workflow, {"n": n}, tag="v1.0" if n == 2 else None) for n in (2, 3, 4)]
    return workflow, [first, *later]


def get(tenant: Tenant, resource: Json, ref: object) -> Json:
    """A version by its ref."""
    return ok(tenant.vera.get(f"{tenant.at(resource)}/versions/{ref}"))


def test_a_version_answers_with_every_field(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="etl", definition={"n": 1})
    saved = tenant.save(workflow, {"n": 2}, by=tenant.ben, description="faster", tag="v2")
    assert set(saved) == VERSION_FIELDS | {"unchanged"}
    expected = {
        "resource_type": "workflow",
        "resource_id": workflow["resource_id"],
        "resource_name": "etl",
        "version_number": 2,
        "version_tag": "v2",
        "version_description": "faster",
        "is_current": True,
        "is_published": False,
        "git_commit_hash": tenant.main(),
        "git_branch": "main",
        "git_repo_url": tenant.subscription["git_url"],
        "created_by": tenant.ben.user_id,
        "created_by_username": "ben",
        "checked_out_by": None,
        "checked_out_at": None,
        "checked_in_at": None,
        "unchanged": False,
    }
    assert saved | expected == saved
    read = get(tenant, workflow, 2)
    assert set(read) == VERSION_FIELDS | {"data", "snapshot"}
    assert {**saved, **read} == {**read, "unchanged": False}
    assert read["data"] == {"n": 2}
    names = ("resource_type", "resource_id", "name", "description", "parent_id")
    assert read["snapshot"] == {name: workflow[name] for name in names} | {"definition": {"n": 2}}


def test_the_history_is_listed_newest_first_without_bodies(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    saved = [tenant.save(workflow, {"n": number}) for number in range(6)]
    path = f"{tenant.at(workflow)}/versions"
    for limit in (1, 3, 7, 200):
        listed = tenant.vera.pages(path, limit=limit)
        assert [version["version_number"] for version in listed] == [7, 6, 5, 4, 3, 2, 1]
        assert all(set(version) == VERSION_FIELDS for version in listed)
    assert [version["version_id"] for version in listed[:6]] == [v["version_id"] for v in saved[::-1]]
    assert [version["is_current"] for version in listed] == [True] + [False] * 6


def test_the_history_is_one_resources_own(tenant: Tenant) -> None:
    one, other = tenant.workflow(), tenant.workflow()
    tenant.save(one, {"n": 1})
    assert [v["version_number"] for v in tenant.ana.pages(f"{tenant.at(other)}/versions")] == [1]


def test_a_cursor_of_one_history_is_not_one_of_another(tenant: Tenant) -> None:
    one, other = tenant.workflow(), tenant.workflow()
    tenant.save(one, {"n": 1})
    cursor = ok(tenant.ana.get(f"{tenant.at(one)}/versions?limit=1"))["next_cursor"]
    response = tenant.ana.get(f"{tenant.at(other)}/versions", params={"cursor": cursor})
    assert pointers(refused(response, 422, "invalid")) == ["cursor"]


@pytest.mark.parametrize(
    ("ref", "number"), [("1", 1), ("4", 4), ("current", 4), ("previous", 3), ("v1.0", 2), ("0002", 2)]
)
def test_a_version_is_found_by_its_ref(
    shared: Tenant, edited: tuple[Json, list[Json]], ref: str, number: int
) -> None:
    found = get(shared, edited[0], ref)
    assert (found["version_number"], found["data"]) == (number, {"n": number})


@pytest.mark.parametrize("length", [7, 8, 12, 39, 40])
def test_a_version_is_found_by_its_commit(
    shared: Tenant, edited: tuple[Json, list[Json]], length: int
) -> None:
    workflow, versions = edited
    for version in versions:
        for commit in (version["git_commit_hash"], version["git_commit_hash"].upper()):
            assert get(shared, workflow, commit[:length])["version_number"] == version["version_number"]


def test_a_commit_names_only_what_it_made(shared: Tenant, edited: tuple[Json, list[Json]]) -> None:
    other = shared.workflow()
    for workflow, commit in (
        (other, edited[1][0]["git_commit_hash"]),
        (edited[0], other["git_commit_hash"]),
    ):
        path = f"{shared.at(workflow)}/versions/{commit}"
        refused(shared.ana.get(path), 404, "version_not_found")


@pytest.mark.parametrize(
    "ref",
    [
        *("0", "5", "-1", "999999999", "9999999999", "9" * 39, "9" * 5000, "1.0", "+1", "１"),
        *("published", "Current", "HEAD", "main", "v1", "V1.0", "v1.0^", "v1.0~1", "current..previous"),
        *("a" * 6, "abcdef0", "f" * 40, "f" * 41, "%00", "v%00", "%ff", "%F0%9F%98%80", "' OR 1=1", "%"),
        *("_", "1234567", "0" * 40),
    ],
)
@pytest.mark.sampled(12)
def test_a_ref_that_names_nothing_is_404(shared: Tenant, edited: tuple[Json, list[Json]], ref: str) -> None:
    for rest in ("", "/data"):
        response = shared.ana.get(f"{shared.at(edited[0])}/versions/{ref}{rest}")
        refused(response, 404, "version_not_found")


def test_version_1_has_no_previous(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    refused(tenant.ana.get(f"{tenant.at(workflow)}/versions/previous"), 404, "version_not_found")


def test_a_prefix_of_two_commits_is_ambiguous(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    one, two = tenant.save(workflow, {"n": 1}), tenant.save(workflow, {"n": 2})
    rename_commit(tenant, one, "abcdef0" + "1" * 33)
    rename_commit(tenant, two, "abcdef0" + "2" * 33)
    path = f"{tenant.at(workflow)}/versions"
    refused(tenant.ana.get(f"{path}/abcdef0"), 409, "ambiguous_ref")
    refused(tenant.ana.post(f"{tenant.at(workflow)}/rollback", {"to": "abcdef0"}), 409, "ambiguous_ref")
    assert get(tenant, workflow, "abcdef01")["version_number"] == 2
    assert get(tenant, workflow, "ABCDEF02")["version_number"] == 3


def test_a_prefix_of_digits_alone_is_found_where_no_number_is(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    version = tenant.save(workflow, {"n": 1})
    rename_commit(tenant, version, "1234567" + "a" * 33)
    assert get(tenant, workflow, "1234567")["version_number"] == 2
    rename_commit(tenant, version, "1" * 40)
    assert get(tenant, workflow, "1" * 40)["version_number"] == 2
    assert get(tenant, workflow, "1" * 10)["version_number"] == 2
    assert get(tenant, workflow, "1")["version_number"] == 1


def test_the_etag_is_the_commit(shared: Tenant, edited: tuple[Json, list[Json]]) -> None:
    workflow, versions = edited
    for version in versions:
        response = shared.ana.get(f"{shared.at(workflow)}/versions/{version['version_number']}")
        assert response.headers["etag"] == f'"{version["git_commit_hash"]}"'


def test_the_data_are_the_bytes_of_the_blob(shared: Tenant, edited: tuple[Json, list[Json]]) -> None:
    workflow, versions = edited
    for version in versions:
        response = shared.vera.get(f"{shared.at(workflow)}/versions/{version['version_number']}/data")
        shown = shared.git("show", f"{version['git_commit_hash']}:{snapshot_path(workflow)}")
        assert response.content.decode() == shown
        assert response.headers["content-type"] == "application/json"
        assert response.headers["etag"] == f'"{version["git_commit_hash"]}"'


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ('"{}"', 304),
        ('W/"{}"', 304),
        ('"x", "{}"', 304),
        ("*", 304),
        ('"x"', 200),
        ("", 200),
        ('"', 200),
    ],
)
def test_data_that_the_client_has_are_not_sent_again(
    shared: Tenant, edited: tuple[Json, list[Json]], given: str, status: int
) -> None:
    workflow, versions = edited
    commit = versions[1]["git_commit_hash"]
    path = f"{shared.at(workflow)}/versions/2"
    headers = {"if-none-match": given.format(commit)}
    response = shared.ana.get(f"{path}/data", headers=headers)
    assert response.status_code == status
    assert response.headers["etag"] == f'"{commit}"'
    assert bool(response.content) == (status == 200)
    assert shared.ana.get(path, headers=headers).status_code == 200


def test_saving_equal_content_makes_no_version(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"b": 1, "a": [1.0]})
    head = tenant.main()
    response = tenant.ana.post(f"{tenant.at(workflow)}/versions", {"data": {"a": [1.0], "b": 1}})
    answer = ok(response)
    assert answer["unchanged"] is True
    assert answer["version_number"] == 1
    assert response.headers["etag"] == f'"{head}"'
    assert tenant.main() == head
    assert len(tenant.ana.pages(f"{tenant.at(workflow)}/versions")) == 1


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0.0, -0.0), ("é", "e\u0301"), (None, 0)])
def test_values_that_only_look_equal_make_a_version(tenant: Tenant, one: object, other: object) -> None:
    workflow = tenant.workflow(definition={"x": one})
    assert tenant.save(workflow, {"x": other})["version_number"] == 2


@pytest.mark.parametrize(
    "tag",
    ["v1", "v1.0", "2.0-beta", "a", "1.0", "release_2026-01-31", "x" * 100, "abcdef", "g234567", "currently"],
)
def test_a_tag_that_git_takes_is_taken(shared: Tenant, tag: str) -> None:
    workflow = shared.workflow()
    assert shared.save(workflow, {"n": 1}, tag=tag)["version_tag"] == tag
    assert get(shared, workflow, tag)["version_number"] == 2
    shared.git("check-ref-format", f"refs/tags/{tag}")


@pytest.mark.parametrize(
    "tag",
    [
        *(
            "",
            " ",
            "v 1",
            "-v1",
            ".v1",
            "_v1",
            "v1/2",
            "v1\n",
            "é",
            "v1~",
            "v^1",
            "v:1",
            "v?",
            "v*",
            "v[",
            "v\\",
        ),
        *("x" * 101, "7", "123456", "1234567", "abcdef0", "ABCDEF0", "f" * 40),
        *("current", "published", "previous", "v1..2", "v1.", "v1.lock", "v@{1}", 1, True, ["v1"]),
    ],
)
@pytest.mark.sampled(12)
def test_a_tag_that_could_be_misread_is_refused(
    shared: Tenant, edited: tuple[Json, list[Json]], tag: object
) -> None:
    before = shared.footprint()
    body = {"data": {"tagged": True}, "tag": tag}
    for call, change in (("versions", body), ("check-in", body)):
        response = shared.ana.post(f"{shared.at(edited[0])}/{call}", change)
        assert pointers(refused(response, 422, "invalid")) == ["/tag"]
    assert shared.footprint() == before


def test_a_tag_of_another_version_is_taken(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 1}, tag="v1")
    before = tenant.footprint()
    path = f"{tenant.at(workflow)}/versions"
    problem = refused(tenant.ana.post(path, {"data": {"n": 2}, "tag": "v1"}), 409, "tag_taken")
    assert pointers(problem) == ["/tag"]
    assert tenant.footprint() == before
    tenant.save(workflow, {"n": 2})
    refused(tenant.ana.post(path, {"data": {"n": 2}, "tag": "v1"}), 409, "tag_taken")


def test_a_tag_is_one_resources_own(tenant: Tenant) -> None:
    one, other = tenant.workflow(), tenant.workflow()
    tenant.save(one, {"n": 1}, tag="v1")
    tenant.save(other, {"n": 1}, tag="v1")
    assert get(tenant, one, "v1")["resource_id"] == one["resource_id"]


def test_a_tag_on_equal_content_names_the_current_version(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    path = f"{tenant.at(workflow)}/versions"
    for _ in range(2):
        answer = ok(tenant.ana.post(path, {"data": {"n": 1}, "tag": "v1"}))
        assert (answer["unchanged"], answer["version_number"], answer["version_tag"]) == (True, 1, "v1")
    assert get(tenant, workflow, "v1")["version_number"] == 1
    assert ok(tenant.ana.post(path, {"data": {"n": 1}, "tag": "v2"}))["version_tag"] == "v2"
    refused(tenant.ana.get(f"{path}/v1"), 404, "version_not_found")


def test_times_are_in_utc(shared: Tenant, edited: tuple[Json, list[Json]]) -> None:
    for version in edited[1]:
        assert version["created_at"].endswith("Z")
        assert datetime.fromisoformat(version["created_at"]).tzinfo is not None


@pytest.mark.parametrize("position", [2**31, 2**70, 1e300, -1, "9" * 400, None, [], {}])
def test_a_forged_cursor_is_no_fault_of_the_server(tenant: Tenant, position: object) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 1})
    path = f"{tenant.at(workflow)}/versions"
    cursor = ok(tenant.ana.get(f"{path}?limit=1"))["next_cursor"]
    stamp = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))[0]
    forged = base64.urlsafe_b64encode(json.dumps([stamp, position]).encode()).decode().rstrip("=")
    assert tenant.ana.get(f"{path}?cursor={forged}").status_code in (200, 422)
