"""`?expand=data`: the documents on both sides of a logged change."""

from typing import Any

import pytest

from service.usecases import log_documents
from tests.support.api import Caller, Json, Tenant, ok, pointers, refused

HISTORY, AUDIT = "change-history", "audit-logs"
NOTHING = {"old": None, "new": None}


def expanded(tenant: Tenant, path: str, by: Caller | None = None, **query: Any) -> list[Json]:
    """Read a log with documents, as an auditor unless said otherwise."""
    return (by or tenant.aud).pages(f"{tenant.path}/{path}", expand="data", **query)


def snapshot(tenant: Tenant, resource: Json, number: int) -> Json:
    found: Json = ok(tenant.ana.get(f"{tenant.at(resource)}/versions/{number}"))["snapshot"]
    return found


def sides(row: Json) -> tuple[Any, Any, Any]:
    return row["old"], row["new"], row["absent"]


def test_a_change_comes_with_the_documents_before_and_after(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2, "large": 1e308, "big": 2**64 - 1, "tiny": 5e-324, "minus": -0.0})
    first, second = (snapshot(tenant, workflow, number) for number in (1, 2))
    rows = expanded(tenant, HISTORY, record_id=workflow["resource_id"])
    assert [sides(row) for row in rows] == [(first, second, None), (None, first, None)]
    # Its own fields are the same as without.
    plain = tenant.aud.pages(f"{tenant.path}/{HISTORY}", record_id=workflow["resource_id"])
    assert [{name: row[name] for name in plain[0]} for row in rows] == plain
    assert set(rows[0]) - set(plain[0]) == {"old", "new", "absent"}


def test_numbers_come_as_git_has_them(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1e22, "m": -0.0})
    answer = tenant.aud.get(f"{tenant.path}/{HISTORY}", params={"expand": "data"})
    [row] = [row for row in ok(answer)["items"] if row["record_id"] == workflow["resource_id"]]
    assert repr(row["new"]["definition"]) == repr({"m": -0.0, "n": 1e22})
    assert '"n": 1e+22' in answer.text


def test_an_event_comes_with_the_documents_that_its_states_name(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.check_out(workflow, tenant.ben)
    ok(tenant.ben.post(f"{tenant.at(workflow)}/check-in", {"data": {"n": 2}}), 201)
    ok(tenant.ben.post(f"{tenant.at(workflow)}/rollback", {"to": 1}), 201)
    one, two, three = (snapshot(tenant, workflow, number) for number in (1, 2, 3))
    rows = expanded(tenant, AUDIT, resource_id=workflow["resource_id"])
    found = {row["action"]: sides(row) for row in rows}
    assert found == {
        "CREATE": (None, one, None),
        "CHECK_OUT": (None, one, None),
        "CHECK_IN": (one, two, None),
        "ROLLBACK": (two, three, None),
    }


def test_a_deletion_has_the_document_before_and_a_restore_the_one_after(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    document = snapshot(tenant, workflow, 1)
    tenant.restore(tenant.remove(workflow))
    for path, name in ((HISTORY, "record_id"), (AUDIT, "resource_id")):
        rows = expanded(tenant, path, limit=2, **{name: workflow["resource_id"]})
        assert [sides(row) for row in rows] == [
            (None, document, None),
            (document, None, None),
            (None, document, None),
        ]


def test_what_is_no_version_has_the_diff_alone(tenant: Tenant) -> None:
    zed = tenant.user("zed", "viewer")
    [row] = expanded(tenant, HISTORY, record_id=zed.user_id)
    assert {name: row[name] for name in ("old", "new", "absent")} == NOTHING | {"absent": "not_versioned"}
    assert row["diff"]
    [event] = expanded(tenant, AUDIT, resource_type="user", resource_id=zed.user_id)
    assert (event["absent"], bool(event["changes"])) == ("not_versioned", True)


def test_a_posted_event_brings_no_document_of_annals(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    version = ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/1"))["version_id"]
    about = {"resource_type": "workflow", "resource_id": workflow["resource_id"]}
    body = {"action": "APPROVE", "new_values": {"version_id": version}, **about}
    ok(tenant.ben.post(f"{tenant.path}/{AUDIT}", body), 201)
    [event] = expanded(tenant, AUDIT, action="APPROVE")
    assert event["absent"] == "not_versioned"


def test_purged_documents_are_for_admins(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": "to be forgotten"})
    document = snapshot(tenant, workflow, 1)
    tenant.remove(workflow)
    tenant.remove(workflow, permanent=True)
    for path, name in ((HISTORY, "record_id"), (AUDIT, "resource_id")):
        query = {name: workflow["resource_id"]}
        response = tenant.aud.get(f"{tenant.path}/{path}", params={"expand": "data", **query})
        rows = ok(response)["items"]
        assert [sides(row) for row in rows] == [(None, None, "purged")] * 3
        if path == AUDIT:
            assert "forgotten" not in response.text
        by_admin = expanded(tenant, path, by=tenant.ana, **query)
        assert [sides(row) for row in by_admin] == [
            (document, None, None),
            (document, None, None),
            (None, document, None),
        ]


def test_a_page_has_so_many_bytes_of_documents_and_its_first_row_always(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = tenant.workflow(definition={"text": "x" * 4_000})
    for number in range(4):
        tenant.save(workflow, {"text": str(number) * 4_000})

    def shown(most: int, **query: Any) -> list[bool]:
        monkeypatch.setattr(log_documents, "MAX_PAGE_BYTES", most)
        rows = expanded(tenant, HISTORY, record_id=workflow["resource_id"], **query)
        assert {row["absent"] for row in rows} <= {None, "too_large"}
        return [row["absent"] is None for row in rows]

    assert shown(100_000) == [True] * 5
    assert shown(20_000) == [True, True, False, False, False]
    assert shown(1) == [True] + [False] * 4
    # The next pages bring the others.
    assert shown(1, limit=1) == [True] * 5


def test_a_document_that_git_has_lost_fails_no_page(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    kept = tenant.workflow(definition={"n": 2})
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE versions SET git_blob_id = repeat('0', 39) || '1' WHERE resource_id = %s",
            [workflow["resource_id"]],
        )
    found = {row["record_id"]: sides(row) for row in expanded(tenant, HISTORY, table_name="workflows")}
    assert found[workflow["resource_id"]] == (None, None, "unreadable")
    assert found[kept["resource_id"]] == (None, snapshot(tenant, kept, 1), None)


def test_another_subscriptions_version_is_in_no_answer(tenant: Tenant, stranger: Tenant) -> None:
    theirs = stranger.workflow(definition={"n": "theirs"})
    version = ok(stranger.ana.get(f"{stranger.at(theirs)}/versions/1"))["version_id"]
    with tenant.server.database.connection() as connection:
        connection.execute(
            "INSERT INTO data_change_history (subscription_id, table_name, record_id, change_type, new_data)"
            " VALUES (%s, 'workflows', %s, 'INSERT', jsonb_build_object('version_id', %s::text))",
            [tenant.subscription_id, theirs["resource_id"], version],
        )
    [row] = expanded(tenant, HISTORY, record_id=theirs["resource_id"])
    assert sides(row) == (None, None, "not_versioned")


def test_the_reading_is_recorded_with_what_it_brought(tenant: Tenant) -> None:
    tenant.workflow()
    expanded(tenant, HISTORY, table_name="workflow")
    [event] = tenant.aud.pages(f"{tenant.path}/{AUDIT}", action="READ", resource_type="change_history")
    assert event["new_values"]["filters"] == {"table_name": "workflows", "expand": "data"}


def test_a_next_page_is_expanded_too(tenant: Tenant) -> None:
    assert tenant.aud.username == "aud"  # The auditor's own row is older than the workflow's.
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2})
    response = tenant.aud.get(f"{tenant.path}/{HISTORY}", params={"expand": "DATA", "limit": 1})
    link = response.headers["link"].partition(">")[0].removeprefix("<")
    [row] = ok(tenant.aud.get(link))["items"]
    assert row["new"] == snapshot(tenant, workflow, 1)


@pytest.mark.parametrize("path", [HISTORY, AUDIT])
def test_another_word_is_refused_with_the_known_one(shared: Tenant, path: str) -> None:
    response = shared.aud.get(f"{shared.path}/{path}", params={"expand": "body"})
    problem = refused(response, 422, "invalid")
    assert pointers(problem) == ["expand"]
    assert "data" in problem["errors"][0]["detail"]


@pytest.mark.parametrize("path", [f"{AUDIT}/stats", "execution-logs", "server-logs"])
def test_other_lists_have_nothing_to_expand(shared: Tenant, path: str) -> None:
    response = shared.aud.get(f"{shared.path}/{path}", params={"expand": "data"})
    assert pointers(refused(response, 422, "invalid")) == ["expand"]


def test_who_may_not_read_a_log_gets_no_document(shared: Tenant) -> None:
    for caller in (shared.ben, shared.vera):
        for path in (HISTORY, AUDIT):
            refused(caller.get(f"{shared.path}/{path}", params={"expand": "data"}), 403, "forbidden")
