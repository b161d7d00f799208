"""Retention policies: the specification's table by default, replaced as a whole, shortened with care."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from service.domain.retention_levels import DEFAULT_DAYS, Level
from tests.support.api import UNKNOWN, Json, Server, Tenant, ok, pointers, refused
from tests.support.events import events

PATH = "/v1/retention-policies"
DEFAULTS = {(None, level.value): days for level, days in DEFAULT_DAYS.items()}


def rule(level: str, keep_days: int | None, subscription_id: str | None = None) -> Json:
    found: Json = {"level": level, "keep_days": keep_days}
    return found if subscription_id is None else found | {"subscription_id": subscription_id}


def put(server: Server, *rules: Json, **fields: Any) -> dict[tuple[str | None, str], int | None]:
    return shown(ok(server.operator.put(PATH, {"policies": list(rules), **fields})))


def shown(answer: Json) -> dict[tuple[str | None, str], int | None]:
    return {(item["subscription_id"], item["level"]): item["keep_days"] for item in answer["items"]}


@pytest.fixture
def server(lone_server: Server) -> Iterator[Server]:
    """Annals with the rules of the specification, before and after."""
    yield lone_server
    put(lone_server, confirm=True)


def test_by_default_each_level_is_kept_as_the_specification_says(server: Server) -> None:
    answer = ok(server.operator.get(PATH))
    assert shown(answer) == DEFAULTS
    assert [item["level"] for item in answer["items"]] == list(Level)
    assert {item["changed_by"] for item in answer["items"]} == {"system:default"}


def test_the_whole_set_is_replaced_and_each_change_recorded_where_it_belongs(tenant: Tenant) -> None:
    server, of = tenant.server, tenant.subscription_id
    rules = [rule("server", 30), rule("server", 400, of), rule("user_actions", None, of)]
    expected = DEFAULTS | {(None, "server"): 30, (of, "server"): 400, (of, "user_actions"): None}
    assert put(server, *rules) == expected
    assert put(server, *rules) == expected
    # A level that is left out has its default, and a subscription's rule is deleted.
    assert put(server, rule("server", 400, of)) == DEFAULTS | {(of, "server"): 400}
    [later, earlier] = events(tenant, resource_type="retention_policy")
    assert earlier["new_values"] == {"keep_days": {"server": 400, "user_actions": None}}
    assert (earlier["old_values"], earlier["username"]) == ({"keep_days": {}}, "operator")
    assert later["new_values"] == {"keep_days": {"server": 400}}
    page = ok(server.operator.get("/v1/audit-logs", params={"resource_type": "retention_policy"}))
    [second, first] = [
        event["changes"] for event in page["items"] if event["action"] == "UPDATE" and event["changes"]
    ][:2]
    assert first == [{"op": "replace", "path": "/keep_days/server", "value": 30}]
    assert second == [{"op": "replace", "path": "/keep_days/server", "value": 90}]


def test_what_is_permanent_is_shortened_only_by_who_says_so(tenant: Tenant) -> None:
    server, of = tenant.server, tenant.subscription_id
    for rules in ([rule("user_actions", 3650)], [rule("data_changes", 36_500, of)]):
        problem = refused(server.operator.put(PATH, {"policies": rules}), 422, "invalid")
        assert pointers(problem) == ["/confirm"]
    assert shown(ok(server.operator.get(PATH))) == DEFAULTS
    put(server, rule("user_actions", 3650), rule("user_actions", None, of), confirm=True)
    # The tenant's own rule kept rows for longer than the rule for all, which applies once it is deleted.
    refused(server.operator.put(PATH, {"policies": [rule("user_actions", 3650)]}), 422, "invalid")
    put(server, rule("user_actions", 4000), rule("user_actions", None, of))
    put(server)


@pytest.mark.parametrize(
    ("rules", "pointer"),
    [
        ([rule("cat", 1)], "/policies/0/level"),
        ([rule("node", 0)], "/policies/0/keep_days"),
        ([rule("node", 36_501)], "/policies/0/keep_days"),
        ([{"level": "node"}], "/policies/0/keep_days"),
        ([rule("node", 1), rule("job", 2), rule("node", 1)], "/policies/2"),
        ([rule("node", 1, UNKNOWN)], "/policies/0/subscription_id"),
        ([rule("node", 1) | {"x": 1}], "/policies/0/x"),
        ("all", "/policies"),
    ],
)
def test_rules_that_are_none_are_refused(server: Server, rules: Any, pointer: str) -> None:
    problem = refused(server.operator.put(PATH, {"policies": rules}), 422, "invalid")
    assert pointers(problem) == [pointer]
    assert shown(ok(server.operator.get(PATH))) == DEFAULTS


def test_the_operator_alone_sees_and_sets_them(tenant: Tenant) -> None:
    server = tenant.server
    for method in ("GET", "PUT"):
        refused(server.nobody.request(method, PATH), 401, "unauthenticated")
        for caller in (tenant.ana, tenant.aud):
            refused(caller.request(method, PATH), 403, "forbidden")


def test_two_who_replace_them_at_once_do_so_one_after_the_other(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda days: put(server, rule("node", days), rule("job", days)), range(1, 25)))
    for each in [*made, shown(ok(server.operator.get(PATH)))]:
        assert each[None, "node"] == each[None, "job"]
    page = server.operator.pages("/v1/audit-logs", resource_type="retention_policy", limit=200)
    states = [(event["old_values"], event["new_values"]) for event in page if event["new_values"]]
    assert all(later[0] == earlier[1] for later, earlier in pairwise(states))


@pytest.fixture
def tenant(server: Server) -> Tenant:
    return Tenant(server)
