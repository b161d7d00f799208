"""References: the connectors that a workflow names, and the workflows that name a connector."""

import pytest

from service.usecases import references
from tests.support.api import COLLECTIONS, UNKNOWN, Json, Tenant, ok, pointers, refused


def naming(*connector_ids: object) -> Json:
    """A definition that names connectors at many depths, and has their ids in other fields too."""
    first, *rest = connector_ids
    nodes = [{"id": n, "config": {"deep": [[{"connector_id": each}]]}} for n, each in enumerate(rest)]
    return {"connector_id": first, "nodes": nodes, "again": {"connector_id": first}}


def references_of(tenant: Tenant, resource: Json, **query: object) -> list[Json]:
    return tenant.vera.pages(f"{tenant.at(resource)}/references", **query)


def connector(text: str, name: str | None = None) -> Json:
    """A reference to a connector; with a name, to a live one."""
    return {
        "resource_type": "connector",
        "resource_id": text,
        "resource_name": name,
        "is_live": name is not None,
    }


def workflow_named(resource: Json) -> Json:
    names = {name: resource[name] for name in ("resource_type", "resource_id")}
    return names | {"resource_name": resource["name"], "is_live": True}


def test_a_workflow_lists_each_connector_once_and_whether_it_lives(tenant: Tenant, stranger: Tenant) -> None:
    live, dead, anothers = tenant.make("connectors"), tenant.make("connectors"), stranger.make("connectors")
    tenant.remove(dead)
    ids = [each["resource_id"] for each in (live, dead, anothers)]
    definition = naming(*ids, ids[0], UNKNOWN, ids[0].upper(), "not an id", "", tenant.job_id)
    # A value that is no text names no connector.
    definition["nodes"] += [{"connector_id": value} for value in (None, 7, [ids[0]], {"id": ids[0]})]
    expected = [
        connector(text, live["name"] if text == ids[0] else None)
        for text in sorted({*ids, UNKNOWN, ids[0].upper(), "not an id", "", tenant.job_id}, reverse=True)
    ]
    workflow = tenant.workflow(definition=definition)
    assert references_of(tenant, workflow) == expected
    assert references_of(tenant, workflow, limit=2) == expected


def test_the_current_version_counts(tenant: Tenant) -> None:
    one, two = tenant.make("connectors"), tenant.make("connectors")
    workflow = tenant.workflow(definition=naming(one["resource_id"]))
    tenant.save(workflow, naming(two["resource_id"]))
    assert references_of(tenant, workflow) == [connector(two["resource_id"], two["name"])]
    assert references_of(tenant, one) == []
    assert references_of(tenant, two) == [workflow_named(workflow)]
    tenant.amend(workflow, name="renamed")
    assert references_of(tenant, two) == [workflow_named(workflow | {"name": "renamed"})]


def test_a_connector_lists_the_live_workflows_that_name_it(tenant: Tenant, stranger: Tenant) -> None:
    made = tenant.make("connectors")
    text = made["resource_id"]
    stranger.workflow(definition=naming(text))
    # An id in another field, or in another kind of resource, is no reference.
    tenant.workflow(definition={"connector": text, "list": {"connector_id": [text]}, text: "connector_id"})
    tenant.make("jobs", definition=naming(text))
    tenant.workflow(name=text, description=f'"connector_id": "{text}"')
    dead = tenant.workflow(definition=naming(text))
    tenant.remove(dead)
    workflows = [
        tenant.workflow(definition=naming(*(UNKNOWN, text) if n % 2 else (text, UNKNOWN))) for n in range(5)
    ]
    expected = [workflow_named(each) for each in reversed(workflows)]
    for limit in (1, 2, 4, 5, 200):
        assert references_of(tenant, made, limit=limit) == expected


@pytest.mark.parametrize(("bound", "value"), [("MAX_SCANNED", 3), ("MAX_SCANNED_BYTES", 600)])
def test_a_page_looks_into_a_bounded_number_of_workflows(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(references, bound, value)
    made = tenant.make("connectors")
    first = tenant.workflow(definition=naming(made["resource_id"]))
    for _ in range(6):
        tenant.workflow()
    last = tenant.workflow(definition=naming(made["resource_id"]))
    path = f"{tenant.at(made)}/references"
    response = tenant.vera.get(path, params={"limit": 2})
    page = ok(response)
    assert page["items"] == [workflow_named(last)]
    page = ok(tenant.vera.get(response.links["next"]["url"]))
    assert page["items"] == []
    assert page["next_cursor"] is not None
    assert references_of(tenant, made, limit=2) == [workflow_named(each) for each in (last, first)]


@pytest.mark.parametrize("collection", [c for c in COLLECTIONS if c not in ("workflows", "connectors")])
def test_other_kinds_have_none(tenant: Tenant, collection: str) -> None:
    assert references_of(tenant, tenant.make(collection, definition=naming(UNKNOWN))) == []


def test_a_cursor_holds_for_one_version_of_a_workflow(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition=naming("a", "b", "c"))
    path = f"{tenant.at(workflow)}/references"
    cursor = ok(tenant.vera.get(path, params={"limit": 1}))["next_cursor"]
    assert ok(tenant.vera.get(path, params={"cursor": cursor}))["items"] == [connector("b"), connector("a")]
    tenant.save(workflow, naming("x", "y"))
    response = tenant.vera.get(path, params={"cursor": cursor})
    assert pointers(refused(response, 422, "invalid")) == ["cursor"]


def test_what_is_deleted_still_has_its_references(tenant: Tenant) -> None:
    made = tenant.make("connectors")
    workflow = tenant.workflow(definition=naming(made["resource_id"]))
    tenant.remove(made)
    assert references_of(tenant, workflow) == [connector(made["resource_id"])]
    assert references_of(tenant, made) == [workflow_named(workflow)]
