"""Queries: integers in one form, and all faults at once."""

import json
import re
from pathlib import Path

import pytest

from tests.support.api import UNKNOWN, Json, Tenant, ok, pointers, refused

DESCRIPTION = json.loads((Path(__file__).parents[2] / "docs/openapi.json").read_text())
IN_PATH = re.compile(r"\{(\w+)\}")


def resolved(part: Json) -> Json:
    """Return a part of the description, or the component that it refers to."""
    name = part.get("$ref", "").rpartition("/")[2]
    return DESCRIPTION["components"]["parameters"][name] if name else part


def integers() -> list[tuple[str, str]]:
    """Paths of reads with the names of their parameters that are integers."""
    return [
        (path, parameter["name"])
        for path, item in DESCRIPTION["paths"].items()
        for parameter in map(resolved, item.get("get", {}).get("parameters", []))
        if parameter["in"] == "query" and "integer" in json.dumps(parameter["schema"])
    ]


def filled(tenant: Tenant, path: str) -> str:
    known: Json = {"subscription_id": tenant.subscription_id, "collection": "workflows"} | {
        "moment": "0123abc"
    }
    return IN_PATH.sub(lambda found: str(known.get(found[1], UNKNOWN)), path)


@pytest.mark.parametrize(("path", "name"), integers())
@pytest.mark.sampled(12)
def test_an_integer_is_written_in_plain_digits(shared: Tenant, path: str, name: str) -> None:
    caller = shared.ana if "{subscription_id}" in path else shared.server.operator
    for text in ("+5", "007", "5.0", " 5", "5 ", "1_0", "٥", "-0", "0x5", "five", "9" * 5000):
        response = caller.get(filled(shared, path), params={name: text})
        assert pointers(refused(response, 422, "invalid")) == [name], text


def test_most_lists_are_among_those_that_are_tried() -> None:
    assert len(integers()) >= 10


@pytest.mark.parametrize("limit", ["1", "50", "200"])
def test_plain_digits_are_taken(shared: Tenant, limit: str) -> None:
    assert len(ok(shared.ana.get(f"{shared.path}/users", params={"limit": limit}))["items"]) <= int(limit)


def test_all_faults_of_a_query_are_told_at_once(shared: Tenant) -> None:
    query = {"colour": "blue", "limit": "many", "kind": "robot", "cursor": "a=b"}
    problem = refused(shared.ana.get(f"{shared.path}/users", params=query), 422, "invalid")
    assert sorted(pointers(problem)) == ["colour", "cursor", "kind", "limit"]
    assert "there is no parameter 'colour' here" in problem["detail"]
    assert "limit: is an integer in plain digits" in problem["detail"]


def test_a_repeated_parameter_is_one_fault_beside_those_of_others(shared: Tenant) -> None:
    query = [("limit", "5"), ("limit", "many"), ("since", "yesterday")]
    response = shared.aud.request("GET", f"{shared.path}/audit-logs", params=query)
    assert sorted(pointers(refused(response, 422, "invalid"))) == ["limit", "since"]


def test_the_query_of_a_change_is_told_whole_too(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    query = {"restore_days": "+5", "force": "perhaps", "colour": "blue"}
    problem = refused(tenant.ana.delete(tenant.at(workflow), params=query), 422, "invalid")
    assert sorted(pointers(problem)) == ["colour", "force", "restore_days"]
    assert ok(tenant.vera.get(tenant.at(workflow)))["deleted_at"] is None
