"""Comments on versions: added and listed, never changed."""

from typing import Any
from uuid import UUID

import pytest

from tests.support.api import UNKNOWN, Caller, Json, Tenant, ok, pointers, refused
from tests.support.tags import NOWHERE, edited

COMMENT_FIELDS = {
    *("comment_id", "version_id", "version_number", "text"),
    *("commented_by", "commented_by_username", "commented_at"),
}


def say(tenant: Tenant, resource: Json, ref: object, text: str, by: Caller | None = None) -> Json:
    """Add a comment."""
    path = f"{tenant.at(resource)}/versions/{ref}/comments"
    return ok((by or tenant.ana).post(path, {"text": text}), 201)


def said(tenant: Tenant, resource: Json, ref: object, **query: Any) -> list[Json]:
    """The comments on a version."""
    return tenant.vera.pages(f"{tenant.at(resource)}/versions/{ref}/comments", **query)


def test_a_comment_answers_with_every_field(shared: Tenant) -> None:
    workflow, versions = edited(shared)
    made = say(shared, workflow, 2, "well done", shared.ben)
    assert set(made) == COMMENT_FIELDS
    assert UUID(made["comment_id"]).version == 7
    assert made["commented_at"].endswith("Z")
    expected = {
        "version_id": versions[1]["version_id"],
        "version_number": 2,
        "text": "well done",
        "commented_by": shared.ben.user_id,
        "commented_by_username": "ben",
    }
    assert made | expected == made
    assert said(shared, workflow, 2) == [made]
    assert said(shared, workflow, 1) == said(shared, workflow, 3) == []


@pytest.mark.parametrize("how", ["number", "tag", "commit", "prefix", "current", "published", "previous"])
def test_a_version_is_commented_on_by_any_ref(shared: Tenant, how: str) -> None:
    workflow = shared.workflow()
    second = shared.save(workflow, {"n": 2}, tag="v2", publish=True)
    shared.save(workflow, {"n": 3})
    ref, number = {
        "number": ("1", 1),
        "tag": ("v2", 2),
        "commit": (workflow["git_commit_hash"], 1),
        "prefix": (second["git_commit_hash"][:8], 2),
        "current": ("current", 3),
        "published": ("published", 2),
        "previous": ("previous", 2),
    }[how]
    made = say(shared, workflow, ref, how)
    assert made["version_number"] == number
    assert said(shared, workflow, ref) == said(shared, workflow, number) == [made]


def test_comments_are_listed_newest_first(shared: Tenant) -> None:
    workflow = shared.workflow()
    made = [say(shared, workflow, 1, f"number {number}") for number in range(5)]
    for limit in (1, 2, 5, 200):
        assert said(shared, workflow, 1, limit=limit) == made[::-1]


def test_a_page_links_to_the_next(shared: Tenant) -> None:
    workflow = shared.workflow()
    made = [say(shared, workflow, 1, f"number {number}") for number in range(3)]
    first = shared.vera.get(f"{shared.at(workflow)}/versions/1/comments?limit=2")
    second = shared.vera.get(first.links["next"]["url"])
    assert (ok(second)["items"], second.json()["next_cursor"]) == ([made[0]], None)
    assert "link" not in second.headers


def test_a_cursor_is_of_one_versions_comments(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.save(workflow, {"n": 2})
    for number in (1, 2):
        say(shared, workflow, number, "one")
        say(shared, workflow, number, "two")
    path = f"{shared.at(workflow)}/versions"
    cursor = ok(shared.vera.get(f"{path}/1/comments?limit=1"))["next_cursor"]
    response = shared.vera.get(f"{path}/2/comments", params={"cursor": cursor})
    assert pointers(refused(response, 422, "invalid")) == ["cursor"]


def test_what_is_said_with_a_change_is_a_comment_too(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.check_out(workflow)
    shared.check_in(workflow, data={"n": 2}, comment="checked in")
    ok(shared.ana.post(f"{shared.at(workflow)}/rollback", {"to": 1, "comment": "rolled back"}), 201)
    say(shared, workflow, 2, "later")
    assert [comment["text"] for comment in said(shared, workflow, 2)] == ["later", "checked in"]
    assert [comment["text"] for comment in said(shared, workflow, 3)] == ["rolled back"]
    assert {comment["commented_by_username"] for comment in said(shared, workflow, 2)} == {"ana"}


def test_a_comment_leaves_history_as_it_is(shared: Tenant) -> None:
    workflow, _ = edited(shared)
    before = shared.git("for-each-ref")
    resource, version = (ok(shared.ana.get(shared.at(workflow) + rest)) for rest in ("", "/versions/1"))
    say(shared, workflow, 1, "well done")
    assert shared.git("for-each-ref") == before
    assert ok(shared.ana.get(shared.at(workflow))) == resource
    assert ok(shared.ana.get(f"{shared.at(workflow)}/versions/1")) == version


def test_anothers_check_out_is_not_in_the_way(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.check_out(workflow, shared.ben)
    assert say(shared, workflow, 1, "take your time")["commented_by_username"] == "ana"
    assert ok(shared.ana.get(shared.at(workflow)))["checked_out_by"] == shared.ben.user_id


def test_a_deleted_users_comments_keep_the_name(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    made = say(tenant, workflow, 1, "good bye", tenant.ben)
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    assert said(tenant, workflow, 1) == [made]


@pytest.mark.parametrize(
    "text",
    ["x", "  two\n\nparagraphs \t", "é e\u0301 😀 \u2028", "<b>&amp;</b>", "' OR 1=1 --", "x" * 10_000],
)
def test_a_text_is_kept_as_it_is(shared: Tenant, text: str) -> None:
    workflow = shared.workflow()
    assert say(shared, workflow, 1, text)["text"] == text
    assert said(shared, workflow, 1)[0]["text"] == text


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/text"),
        ({"text": None}, "/text"),
        ({"text": 1}, "/text"),
        ({"text": ["x"]}, "/text"),
        ({"text": ""}, "/text"),
        ({"text": " \n\t"}, "/text"),
        ({"text": "x" * 10_001}, "/text"),
        ({"text": "a\0b"}, "/text"),
        ({"text": "x", "version": 1}, "/version"),
    ],
)
def test_a_text_that_breaks_a_rule_is_422(shared: Tenant, body: Json, pointer: str) -> None:
    workflow = shared.workflow()
    before = shared.footprint()
    response = shared.ana.post(f"{shared.at(workflow)}/versions/1/comments", body)
    assert pointers(refused(response, 422, "invalid")) == [pointer]
    assert shared.footprint() == before


def test_a_version_that_is_not_there_is_404(shared: Tenant) -> None:
    workflow = shared.workflow()
    before = shared.footprint()
    nobody = (f"workflows/{UNKNOWN}", f"jobs/{workflow['resource_id']}", "workflows/nobody")
    wanted = [
        *((f"{shared.at(workflow)}/versions/{ref}", "version_not_found") for ref in NOWHERE),
        *((f"{shared.path}/{unknown}/versions/1", "resource_not_found") for unknown in nobody),
    ]
    for path, code in wanted:
        refused(shared.ana.get(f"{path}/comments"), 404, code)
        refused(shared.ana.post(f"{path}/comments", {"text": "x"}), 404, code)
    assert shared.footprint() == before


def test_the_comments_of_a_deleted_resource_are_read_but_not_added_to(shared: Tenant) -> None:
    workflow = shared.workflow()
    made = say(shared, workflow, 1, "before")
    shared.remove(workflow)
    before = shared.footprint()
    response = shared.ana.post(f"{shared.at(workflow)}/versions/1/comments", {"text": "after"})
    refused(response, 409, "resource_deleted")
    assert shared.footprint() == before
    assert said(shared, workflow, 1) == [made]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_comment_is_never_changed(shared: Tenant, method: str) -> None:
    workflow = shared.workflow()
    made = say(shared, workflow, 1, "for ever")
    path = f"{shared.at(workflow)}/versions/1/comments"
    refused(shared.ana.request(method, path, {"text": "x"}), 405, "method_not_allowed")
    refused(shared.ana.request(method, f"{path}/{made['comment_id']}", {"text": "x"}), 404, "path_not_found")
    assert said(shared, workflow, 1) == [made]
