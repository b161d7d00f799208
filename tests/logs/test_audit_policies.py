"""The audit policy: how much is kept of each action, and the actions that cannot be switched off."""

from typing import Any

import pytest

from service.domain.audit_policy import CAN_BE_OFF
from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.events import events
from tests.support.following import Follower, sequence


def rule(resource_type: str, action: str, depth: str) -> Json:
    return {"resource_type": resource_type, "action": action, "depth": depth}


def put(tenant: Tenant, *rules: Json) -> Json:
    """Set the policy."""
    answer: Json = ok(tenant.ana.put(f"{tenant.path}/audit-policy", {"rules": list(rules)}))
    return answer


def test_a_follower_that_finds_readings_without_their_filters_is_recorded_once(tenant: Tenant) -> None:
    put(tenant, rule("*", "READ", "metadata"))
    path = f"{tenant.path}/audit-logs"
    follower = Follower(tenant.aud, path, {"action": "READ", "from": "now"})
    sequence(tenant.server)
    follower.read()
    ok(tenant.ana.get(path))

    def readings() -> list[Json]:
        rows = tenant.server.database.rows(
            "SELECT new_values FROM audit_logs WHERE subscription_id = %s AND action = 'READ'"
            " ORDER BY created_at, audit_id",
            tenant.subscription_id,
        )
        return [values for (values,) in rows]

    order = {"filters": {"order": "commit"}}
    # The beginning of the follower, and the reading by ana.
    assert readings() == [order, None]
    for _ in range(3):
        sequence(tenant.server)
        follower.read()
    # The page with ana's reading, but none of those that found this event alone.
    assert readings() == [order, None, order]


def test_without_rules_all_is_kept_with_its_changes(tenant: Tenant) -> None:
    answer = ok(tenant.aud.get(f"{tenant.path}/audit-policy"))
    assert answer == {"rules": [], "default_depth": "changes"}


def test_the_first_rule_that_fits_decides(tenant: Tenant) -> None:
    workflow, job = tenant.workflow(), tenant.make("jobs")
    rules = [
        rule("workflow", "UPDATE", "changes"),
        rule("*", "UPDATE", "metadata"),
        rule("job", "*", "full"),
    ]
    assert put(tenant, *rules)["rules"] == rules
    assert ok(tenant.ana.get(f"{tenant.path}/audit-policy"))["rules"] == rules
    tenant.save(workflow, {"n": 1})
    tenant.save(job, {"n": 1})
    [of_job, of_workflow] = events(tenant, action="UPDATE")[:2]
    assert (of_job["resource_type"], of_workflow["resource_type"]) == ("job", "workflow")
    assert of_workflow["old_values"]
    assert of_workflow["changes"]
    assert (of_job["old_values"], of_job["new_values"], of_job["changes"]) == (None, None, None)
    assert of_job["resource_name"] == job["name"]
    tenant.check_out(job)
    [held] = events(tenant, action="CHECK_OUT")
    assert held["new_values"]


def test_what_may_be_left_out_is_left_out_refusals_too(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    put(tenant, rule("*", "CHECK_OUT", "none"))
    tenant.check_out(workflow)
    refused(tenant.ana.post(f"{tenant.at(workflow)}/check-out", {"x": 1}), 422, "invalid")
    assert events(tenant, action="CHECK_OUT") == []
    # Refused attempts stay.
    refused(tenant.vera.post(f"{tenant.at(workflow)}/check-out", {}), 403, "forbidden")
    [event] = events(tenant, action="CHECK_OUT")
    assert (event["username"], event["status"]) == ("vera", "unauthorized")
    put(tenant)
    tenant.check_out(workflow)
    assert len(events(tenant, action="CHECK_OUT")) == 2


@pytest.mark.parametrize(
    "action", ["*", "CREATE", "UPDATE", "DELETE", "CHECK_IN", "PUBLISH", "LOGIN", "ROLLBACK"]
)
def test_what_matters_cannot_be_left_out(tenant: Tenant, action: str) -> None:
    assert action not in CAN_BE_OFF
    body = {"rules": [rule("*", "READ", "none"), rule("workflow", action, "none")]}
    problem = refused(tenant.ana.put(f"{tenant.path}/audit-policy", body), 422, "invalid")
    assert pointers(problem) == ["/rules/1"]
    assert ok(tenant.ana.get(f"{tenant.path}/audit-policy"))["rules"] == []


@pytest.mark.parametrize(
    ("rules", "pointer"),
    [
        ([rule("cat", "READ", "full")], "/rules/0/resource_type"),
        ([rule("*", "MEOW", "full")], "/rules/0/action"),
        ([rule("*", "READ", "deep")], "/rules/0/depth"),
        ([rule("*", "READ", "full") | {"x": 1}], "/rules/0/x"),
        ([{"action": "READ", "depth": "full"}], "/rules/0/resource_type"),
        ([rule("*", "READ", "full"), rule("*", "READ", "none")], ""),
        ("none", "/rules"),
        ([7], "/rules/0"),
        ([rule("*", "READ", "full")] * 101, "/rules"),
    ],
)
def test_rules_that_are_none_are_refused(tenant: Tenant, rules: Any, pointer: str) -> None:
    problem = refused(tenant.ana.put(f"{tenant.path}/audit-policy", {"rules": rules}), 422, "invalid")
    assert pointer in pointers(problem)


@pytest.mark.parametrize(("name", "status"), [("aud", 403), ("ben", 403), ("vera", 403), ("operator", 403)])
def test_admins_alone_set_the_policy(tenant: Tenant, name: str, status: int) -> None:
    response = tenant.caller(name).put(f"{tenant.path}/audit-policy", {"rules": []})
    refused(response, status, "forbidden")


def test_a_change_of_the_policy_is_recorded_with_both_policies(tenant: Tenant) -> None:
    first, second = rule("*", "READ", "none"), rule("job", "*", "full")
    put(tenant, first)
    put(tenant, second)
    put(tenant, second)
    [later, earlier] = events(tenant, action="UPDATE", resource_type="audit_policy")
    assert (earlier["old_values"], earlier["new_values"]) == ({"rules": []}, {"rules": [first]})
    assert (later["old_values"], later["new_values"]) == ({"rules": [first]}, {"rules": [second]})
    found = tenant.server.database.rows(
        "SELECT version_number, change_type, new_data->'rules' FROM data_change_history"
        " WHERE table_name = 'audit_policies' AND subscription_id = %s ORDER BY version_number",
        tenant.subscription_id,
    )
    assert found == [(1, "UPDATE", [first]), (2, "UPDATE", [second])]


def test_a_policy_is_one_subscriptions_own(tenant: Tenant) -> None:
    other = Tenant(tenant.server, "other")
    put(tenant, rule("*", "CHECK_OUT", "none"))
    other.check_out(other.workflow())
    assert len(events(other, action="CHECK_OUT")) == 1
