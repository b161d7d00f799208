"""The origin of audit events: an event that a platform posted is never taken for one of Annals' own."""

import pytest

from tests.support.api import Json, Tenant, ok, refused

# Events of Annals that somebody might imitate.
IMITATED: list[Json] = [
    {"action": "LOGIN", "resource_type": "api_key", "resource_name": "laptop"},
    {"action": "DELETE", "resource_type": "workflow", "new_values": {"permanent": True}},
    {"action": "PERMANENT_DELETE", "resource_type": "workflow"},
    {"action": "RECORD", "resource_type": "audit_log", "status": "unauthorized"},
]


def events(tenant: Tenant, **narrow: str) -> list[Json]:
    """Events that the auditor finds; those of the reading itself are left out."""
    found = tenant.aud.pages(f"{tenant.path}/audit-logs", **narrow)
    return [event for event in found if event["action"] != "READ"]


def post(tenant: Tenant, *posted: Json) -> None:
    ok(tenant.ben.post(f"{tenant.path}/audit-logs", list(posted)), 201)


@pytest.mark.parametrize("imitated", IMITATED)
def test_a_posted_event_is_told_from_one_of_annals(tenant: Tenant, imitated: Json) -> None:
    post(tenant, imitated)
    [found] = events(tenant, origin="posted")
    assert (found["action"], found["origin"], found["username"]) == (imitated["action"], "posted", "ben")
    own = events(tenant, origin="annals")
    assert {event["origin"] for event in own} == {"annals"}
    assert found["audit_id"] not in {event["audit_id"] for event in own}
    assert {"CREATE", "LOGIN"} <= {event["action"] for event in own}


def test_both_origins_together_are_the_whole_log(tenant: Tenant) -> None:
    tenant.workflow()
    post(tenant, *IMITATED)
    refused(tenant.vera.post(f"{tenant.path}/audit-logs", IMITATED[0]), 403, "forbidden")
    ids = [
        [event["audit_id"] for event in events(tenant, **narrow)]
        for narrow in ({}, {"origin": "annals"}, {"origin": "posted"})
    ]
    assert sorted(ids[0]) == sorted(ids[1] + ids[2])
    assert len(ids[2]) == len(IMITATED)


def test_a_refused_posting_is_an_event_of_annals(tenant: Tenant) -> None:
    refused(tenant.vera.post(f"{tenant.path}/audit-logs", IMITATED[0]), 403, "forbidden")
    [found] = events(tenant, action="RECORD")
    assert (found["origin"], found["status"]) == ("annals", "unauthorized")


def test_statistics_group_and_narrow_by_origin(tenant: Tenant) -> None:
    post(tenant, *IMITATED)
    path = f"{tenant.path}/audit-logs/stats"
    grouped = ok(tenant.aud.get(path, params={"group_by": "origin"}))["buckets"]
    assert {bucket["group"] for bucket in grouped} == {"annals", "posted"}
    assert sum(each["count"] for each in grouped if each["group"] == "posted") == len(IMITATED)
    narrow = {"origin": "posted", "group_by": "action"}
    counted = ok(tenant.aud.get(path, params=narrow))["buckets"]
    assert sorted(each["group"] for each in counted) == sorted(str(event["action"]) for event in IMITATED)


def test_an_origin_that_is_none_is_refused(shared: Tenant) -> None:
    refused(shared.aud.get(f"{shared.path}/audit-logs", params={"origin": "other"}), 422, "invalid")
    refused(shared.ben.post(f"{shared.path}/audit-logs", IMITATED[0] | {"origin": "annals"}), 422, "invalid")


# Rows as 0.3.0 wrote them: what the request was, what happened, and what this says of the origin.
OLDER = [
    ("POST", "/audit-logs", "LOGIN", "api_key", "success", None),
    ("POST", "/audit-logs", "RECORD", "audit_log", "unauthorized", None),
    ("POST", "/audit-logs", "DELETE", "workflow", "success", "posted"),
    ("POST", "/audit-logs", "RECORD", "audit_log", "success", "posted"),
    ("POST", "/audit-logs", "X", "workflow", "failed", "posted"),
    ("GET", "/audit-logs", "READ", "audit_log", "success", "annals"),
    ("POST", "/workflows", "CREATE", "workflow", "success", "annals"),
    ("POST", None, "CREATE", "workflow", "failed", "annals"),
    (None, None, "CREATE", "workflow", "success", None),
]


def test_the_request_of_an_older_row_tells_its_origin(tenant: Tenant) -> None:
    for number, (method, end, action, kind, status, _) in enumerate(OLDER):
        with tenant.server.database.connection() as connection:
            connection.execute(
                "INSERT INTO audit_logs (audit_id, created_at, subscription_id, action, resource_type,"
                " resource_id, status, http_method, api_endpoint)"
                " VALUES (gen_random_uuid(), now(), %s, %s, %s, %s, %s, %s, %s)",
                [
                    *(tenant.subscription_id, action, kind, f"older {number}", status, method),
                    None if end is None else tenant.path + end,
                ],
            )
    found = {event["resource_id"]: event["origin"] for event in events_of_everything(tenant)}
    assert [found[f"older {number}"] for number in range(len(OLDER))] == [row[-1] for row in OLDER]
    posted = {event["resource_id"] for event in events(tenant, origin="posted")}
    assert posted == {f"older {number}" for number, row in enumerate(OLDER) if row[-1] == "posted"}


def events_of_everything(tenant: Tenant) -> list[Json]:
    return tenant.aud.pages(f"{tenant.path}/audit-logs")
