"""Deletion of resources: the cascade, its record, and the refusals."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.api import COLLECTIONS, Tenant, ok, pointers, refused, snapshot_path
from tests.support.events import events
from tests.support.histories import check_history
from tests.support.trees import COUNTS, DELETED_WITH, in_git, live, records_of, tree


@pytest.mark.parametrize("root", sorted(DELETED_WITH))
def test_with_each_kind_falls_all_below_it_and_nothing_else(tenant: Tenant, root: str) -> None:
    made = tree(tenant)
    untouched = tenant.make("workspaces", name="elsewhere")["resource_id"]
    before, commits = tenant.main(), len(tenant.git("log", "--format=%H", "main").split())
    deletion = tenant.remove(made[root], reason="tidying up")
    names = {each["resource_id"]: name for name, each in made.items()}
    assert {names[each["resource_id"]] for each in records_of(tenant, deletion)} == DELETED_WITH[root]
    expected = {each["resource_id"] for name, each in made.items() if name not in DELETED_WITH[root]}
    assert live(tenant) == in_git(tenant) == expected | {untouched}
    # One commit, whose tree lacks exactly these paths.
    assert len(tenant.git("log", "--format=%H", "main").split()) == commits + 1
    assert tenant.git("rev-parse", "main~1").strip() == before
    assert deletion["git_commit_hash"] == tenant.main()
    changed = tenant.git("diff", "--no-renames", "--name-status", "main~1", "main").splitlines()
    assert sorted(changed) == sorted(f"D\t{snapshot_path(made[name])}" for name in DELETED_WITH[root])
    counts = dict(COUNTS)
    for name in DELETED_WITH[root]:
        counts[name.rpartition(" ")[2]] += 1
    assert deletion["counts"] == counts
    assert {name: deletion[f"cascaded_{name}"] for name in COLLECTIONS} == counts
    check_history(tenant)
    for name in made:
        gone = ok(tenant.vera.get(tenant.at(made[name])))
        assert (gone["deleted_at"] == deletion["deleted_at"]) == (name in DELETED_WITH[root])


def test_each_that_falls_has_a_record_with_level_parent_snapshot_and_counts(tenant: Tenant) -> None:
    made = tree(tenant)
    deletion = tenant.remove(made["workspaces"], reason="over")
    by_id = {each["resource_id"]: each for each in records_of(tenant, deletion)}
    levels = {name: by_id[each["resource_id"]]["cascade_level"] for name, each in made.items()}
    assert levels == {
        "workspaces": 0,
        "folders": 1,
        "connectors": 1,
        "inner folders": 2,
        "jobs": 2,
        "jobpackages": 2,
        "workflows": 3,
        "inner jobs": 3,
        "inner workflows": 4,
    }
    for name, each in made.items():
        record = by_id[each["resource_id"]]
        assert record["parent_resource_id"] == each["parent_id"]
        assert record["root_deletion_id"] == deletion["deletion_id"]
        assert (record["deletion_id"] == deletion["deletion_id"]) == (name == "workspaces")
        assert record["deletion_reason"] == "over"
        assert record["deleted_by_username"] == "ana"
        shown = ok(tenant.vera.get(f"{tenant.path}/deletions/{record['deletion_id']}"))
        held = shown.pop("resource_data")
        assert shown == record
        assert held == ok(tenant.vera.get(f"{tenant.at(each)}/versions/1"))["snapshot"]
        stored = tenant.server.database.value(
            "SELECT resource_data FROM deletion_logs WHERE deletion_id = %s", record["deletion_id"]
        )
        assert stored == held
    inner = by_id[made["inner folders"]["resource_id"]]
    assert inner["counts"] == COUNTS | {"folders": 1, "jobs": 1, "workflows": 1}
    assert inner["parent_resource_type"] == "folder"
    assert by_id[made["folders"]["resource_id"]]["parent_resource_type"] == "workspace"


def test_what_was_deleted_before_keeps_its_own_record(tenant: Tenant) -> None:
    made = tree(tenant)
    first = tenant.remove(made["jobs"])
    second = tenant.remove(made["workspaces"])
    assert second["counts"] == COUNTS | {
        "workspaces": 1,
        "folders": 2,
        "jobs": 1,
        "workflows": 1,
        "jobpackages": 1,
        "connectors": 1,
    }
    assert {each["resource_id"] for each in records_of(tenant, first)} == {
        made["jobs"]["resource_id"],
        made["workflows"]["resource_id"],
    }
    jobs = tenant.vera.pages(f"{tenant.path}/deletions", resource_id=made["jobs"]["resource_id"])
    assert [each["deletion_id"] for each in jobs] == [first["deletion_id"]]
    assert ok(tenant.vera.get(tenant.at(made["jobs"])))["deleted_at"] == first["deleted_at"]


def test_it_can_be_restored_for_a_month(tenant: Tenant) -> None:
    deletion = tenant.remove(tenant.workflow())
    assert (deletion["is_soft_delete"], deletion["can_be_restored"]) == (True, True)
    at, until = (datetime.fromisoformat(deletion[name]) for name in ("deleted_at", "restore_expiry_at"))
    assert until - at == timedelta(days=30)
    path = f"{tenant.path}/deletions/{deletion['deletion_id']}"
    with tenant.server.clock.moved(days=30, seconds=1):
        assert ok(tenant.vera.get(path))["can_be_restored"] is False
        assert tenant.vera.pages(f"{tenant.path}/deletions", restorable=True) == []
        refused(tenant.ben.post(f"{path}/restore"), 410, "not_restorable")
    assert ok(tenant.vera.get(path))["can_be_restored"] is True
    assert len(tenant.vera.pages(f"{tenant.path}/deletions", restorable=True)) == 1


def test_a_deleted_resource_can_be_read_and_not_written(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    deletion = tenant.remove(workflow)
    at = tenant.at(workflow)
    assert ok(tenant.vera.get(at))["deleted_at"] == deletion["deleted_at"]
    assert len(tenant.vera.pages(f"{at}/versions")) == 1
    for response in (
        tenant.ben.post(f"{at}/versions", {"data": {"n": 2}}),
        tenant.ben.patch(at, {"name": "other"}),
        tenant.ben.post(f"{at}/check-out"),
        tenant.ben.post(f"{at}/rollback", {"to": 1}),
        tenant.ben.delete(at),
        tenant.ben.post(f"{at}/versions/1/publish"),
    ):
        refused(response, 409, "resource_deleted")
    listed = tenant.vera.pages(f"{tenant.path}/workflows")
    assert workflow["resource_id"] not in {each["resource_id"] for each in listed}
    listed = tenant.vera.pages(f"{tenant.path}/workflows", include_deleted=True)
    assert workflow["resource_id"] in {each["resource_id"] for each in listed}


def test_nothing_can_be_put_into_what_is_deleted(tenant: Tenant) -> None:
    made = tree(tenant)
    tenant.remove(made["folders"])
    body = {"folder_id": made["folders"]["resource_id"], "name": "late"}
    refused(tenant.ben.post(f"{tenant.path}/jobs", body), 409, "resource_deleted")
    other = tenant.make("folders", workspace_id=made["workspaces"]["resource_id"], name="other")
    move = {"parent_folder_id": made["folders"]["resource_id"]}
    refused(tenant.ben.patch(tenant.at(other), move), 409, "resource_deleted")


def test_a_new_resource_of_the_same_name_is_another_one(tenant: Tenant) -> None:
    old = tenant.workflow(name="report", definition={"n": 1})
    tenant.save(old, {"n": 2})
    deletion = tenant.remove(old)
    new = tenant.workflow(name="report")
    assert new["resource_id"] != old["resource_id"]
    assert len(tenant.vera.pages(f"{tenant.at(new)}/versions")) == 1
    path = f"{tenant.path}/deletions/{deletion['deletion_id']}/restore"
    problem = refused(tenant.ben.post(path), 409, "restore_conflict")
    assert [(each["reason"], each["other_id"]) for each in problem["conflicts"]] == [
        ("name_taken", new["resource_id"])
    ]
    done = tenant.restore(deletion, resolve={"rename": "report of old"})
    assert done["restored"]["workflows"] == 1
    back = ok(tenant.vera.get(tenant.at(old)))
    assert (back["name"], back["current_version"]) == ("report of old", 3)
    assert len(tenant.vera.pages(f"{tenant.at(old)}/versions")) == 3


# -- rights and conflicts ----------------------------------------------------------------------------


def test_a_check_out_of_another_below_it_is_in_the_way(tenant: Tenant) -> None:
    made = tree(tenant)
    tenant.check_out(made["workflows"], tenant.ana)
    tenant.check_out(made["inner jobs"], tenant.ana)
    ben, adam = tenant.ben, tenant.user("adam", "admin")
    footprint = tenant.footprint()
    problem = refused(ben.delete(tenant.at(made["workspaces"])), 423, "checked_out")
    assert {each["resource_id"] for each in problem["check_outs"]} == {
        made["workflows"]["resource_id"],
        made["inner jobs"]["resource_id"],
    }
    assert {each["checked_out_by_username"] for each in problem["check_outs"]} == {"ana"}
    refused(ben.delete(tenant.at(made["workspaces"]), params={"force": True}), 403, "forbidden")
    assert tenant.footprint() == footprint
    # An admin may end them, which is recorded with both names.
    ok(adam.delete(tenant.at(made["workspaces"]), params={"force": True}))
    assert live(tenant) == set()
    forced = [each for each in events(tenant) if each["action"] == "FORCE_CANCEL"]
    assert {each["username"] for each in forced} == {"adam"}
    assert {each["old_values"]["checked_out_by_username"] for each in forced} == {"ana"}
    assert ok(tenant.vera.get(f"{tenant.path}/check-outs"))["theirs"] == []


def test_ones_own_check_outs_end_with_the_deletion(tenant: Tenant) -> None:
    made = tree(tenant)
    tenant.check_out(made["workflows"], tenant.ben)
    tenant.remove(made["jobs"], tenant.ben)
    row = tenant.server.database.rows(
        "SELECT release_kind, released_by::text FROM check_outs WHERE resource_id = %s",
        made["workflows"]["resource_id"],
    )
    assert row == [("deleted", tenant.ben.user_id)]


def test_a_lease_that_ran_out_is_in_nobodys_way(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ana, ttl_seconds=60)
    with tenant.server.clock.moved(minutes=2):
        tenant.remove(workflow, tenant.ben)


def test_it_takes_an_if_match(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    stale = f'"{workflow["git_commit_hash"]}"'
    tenant.save(workflow, {"n": 2})
    response = tenant.ben.delete(tenant.at(workflow), headers={"if-match": stale})
    assert refused(response, 412, "stale_version")["current_version"] == 2
    current = tenant.vera.get(tenant.at(workflow)).headers["etag"]
    ok(tenant.ben.delete(tenant.at(workflow), headers={"if-match": current}))


def test_viewers_and_auditors_delete_and_restore_nothing(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    deletion = tenant.remove(tenant.workflow())
    for caller in (tenant.vera, tenant.aud):
        refused(caller.delete(tenant.at(workflow)), 403, "forbidden")
        path = f"{tenant.path}/deletions/{deletion['deletion_id']}/restore"
        refused(caller.post(path), 403, "forbidden")
    refused(tenant.ben.delete(tenant.at(workflow), params={"permanent": True}), 403, "forbidden")


def test_what_is_not_there_is_404_and_a_bad_query_422(tenant: Tenant) -> None:
    missing = {"resource_type": "workflow", "resource_id": "0198c0de-0000-7000-8000-000000000000"}
    refused(tenant.ben.delete(tenant.at(missing)), 404, "resource_not_found")
    for name in (missing["resource_id"], "nonsense"):
        path = f"{tenant.path}/deletions/{name}"
        refused(tenant.vera.get(path), 404, "deletion_not_found")
        refused(tenant.ben.post(f"{path}/restore"), 404, "deletion_not_found")
    workflow = tenant.workflow()
    for query in ({"permanent": "perhaps"}, {"reason": "x" * 10_001}, {"because": "so"}):
        refused(tenant.ana.delete(tenant.at(workflow), params=query), 422, "invalid")
    assert tenant.main() == workflow["git_commit_hash"]


# -- for good ----------------------------------------------------------------------------------------


def test_only_what_is_deleted_can_be_deleted_for_good(tenant: Tenant) -> None:
    made = tree(tenant)
    at = tenant.at(made["folders"])
    refused(tenant.ana.delete(at, params={"permanent": True}), 409, "not_deleted")
    soft = tenant.remove(made["folders"])
    before = tenant.git("rev-parse", "main^{tree}")
    hard = tenant.remove(made["folders"], permanent=True, reason="by law")
    assert (hard["is_soft_delete"], hard["can_be_restored"], hard["restore_expiry_at"]) == (
        False,
        False,
        None,
    )
    assert hard["counts"] == soft["counts"]
    assert len(records_of(tenant, hard)) == len(records_of(tenant, soft)) == 7
    # An empty commit, whose message names the deletion.
    assert tenant.git("rev-parse", "main^{tree}") == before
    assert tenant.main() == hard["git_commit_hash"]
    assert f"Annals-Deletion: {hard['deletion_id']} permanent - by law" in tenant.git("log", "-1", "main")
    for name in DELETED_WITH["folders"]:
        refused(tenant.vera.get(tenant.at(made[name])), 404, "resource_not_found")
    path = f"{tenant.path}/deletions/{soft['deletion_id']}"
    shown = ok(tenant.vera.get(path))
    assert (shown["can_be_restored"], shown["purged_at"]) == (False, hard["deleted_at"])
    # Its content is for callers that may read purged history.
    of_good = f"{tenant.path}/deletions/{hard['deletion_id']}"
    for where in (path, of_good):
        assert ok(tenant.vera.get(where))["resource_data"] is None
        assert ok(tenant.ana.get(where))["resource_data"]["name"] == made["folders"]["name"]
    refused(tenant.ben.post(f"{path}/restore"), 410, "not_restorable")
    refused(tenant.ana.delete(at, params={"permanent": True}), 404, "resource_not_found")
    # The history stays.
    check_history(tenant)
    workflow = made["workflows"]["resource_id"]
    count = "SELECT count(*) FROM versions WHERE resource_id = %s"
    assert tenant.server.database.value(count, workflow) == 1
    assert tenant.git("show", f"{soft['git_commit_hash']}~1:{snapshot_path(made['workflows'])}")


def test_what_was_deleted_on_its_own_goes_for_good_with_what_it_lies_in(tenant: Tenant) -> None:
    made = tree(tenant)
    alone = tenant.remove(made["workflows"])
    tenant.remove(made["jobs"])
    hard = tenant.remove(made["jobs"], permanent=True)
    assert hard["counts"] == COUNTS | {"jobs": 1, "workflows": 1}
    shown = ok(tenant.vera.get(f"{tenant.path}/deletions/{alone['deletion_id']}"))
    assert shown["purged_at"] == hard["deleted_at"]
    refused(tenant.vera.get(tenant.at(made["workflows"])), 404, "resource_not_found")


# -- its records -------------------------------------------------------------------------------------


def test_it_is_an_event_with_its_counts_and_a_change_of_each(tenant: Tenant) -> None:
    made = tree(tenant)
    deletion = tenant.remove(made["jobs"], reason="obsolete")
    [event] = [
        each for each in events(tenant) if (each["action"], each["resource_type"]) == ("DELETE", "job")
    ]
    assert event["resource_id"] == made["jobs"]["resource_id"]
    assert event["new_values"]["counts"] == deletion["counts"]
    assert event["new_values"]["deletion_id"] == deletion["deletion_id"]
    for name in ("jobs", "workflows"):
        record = made[name]["resource_id"]
        changes = tenant.aud.pages(f"{tenant.path}/change-history", record_id=record)
        assert [(each["change_type"], each["version_number"]) for each in changes] == [
            ("DELETE", 2),
            ("INSERT", 1),
        ]
        assert [each["is_current_version"] for each in changes] == [True, False]
        assert changes[0]["change_reason"] == "obsolete"


@pytest.mark.parametrize(
    "reason", ["plain", "two\nlines", '"quoted"', " blanks ", "Annals-Version: x", "ünï — ☃", "--- end"]
)
def test_the_commit_says_what_it_is(tenant: Tenant, reason: str) -> None:
    deletion = tenant.remove(tenant.workflow(), reason=reason)
    message = tenant.git("log", "-1", "--format=%B", "main")
    found = tenant.git("log", "-1", "--format=%(trailers:key=Annals-Deletion,valueonly)", "main").strip()
    deletion_id, how, until, *rest = found.split(" ", 3)
    assert (deletion_id, how) == (deletion["deletion_id"], "soft")
    assert datetime.fromisoformat(until) == datetime.fromisoformat(deletion["restore_expiry_at"])
    assert rest == [reason] or json.loads(rest[0]) == reason
    assert message.count("Annals-Deletion") == 1
    assert deletion["deletion_reason"] == reason


def test_the_reason_can_come_in_a_header(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    deletion = ok(tenant.ben.delete(tenant.at(workflow), headers={"x-change-reason": "by hand"}))
    assert deletion["deletion_reason"] == "by hand"
    assert tenant.remove(tenant.workflow(), reason=" ")["deletion_reason"] is None


def test_deletions_are_listed_by_every_filter(tenant: Tenant) -> None:
    made = tree(tenant)
    first = tenant.remove(made["connectors"])
    second = tenant.remove(made["folders"], tenant.ben)
    path = f"{tenant.path}/deletions"

    def ids(**query: Any) -> list[str]:
        return [each["resource_id"] for each in tenant.vera.pages(path, **query)]

    assert len(ids()) == len(ids(limit=2)) == 8
    assert ids(resource_type="connector") == [made["connectors"]["resource_id"]]
    assert ids(cascade_level=0) == [made["folders"]["resource_id"], made["connectors"]["resource_id"]]
    assert set(ids(root_deletion_id=second["deletion_id"])) == {
        made[name]["resource_id"] for name in DELETED_WITH["folders"]
    }
    assert ids(deleted_by=tenant.ana.user_id) == [made["connectors"]["resource_id"]]
    assert ids(resource_id=made["jobs"]["resource_id"]) == [made["jobs"]["resource_id"]]
    assert len(ids(since=second["deleted_at"])) == 7
    assert ids(until=first["deleted_at"]) == [made["connectors"]["resource_id"]]
    tenant.restore(second)
    assert len(ids(restorable=False)) == 7
    assert ids(restorable=True) == [made["connectors"]["resource_id"]]
    # A platform posts deletions of any type.
    assert ids(resource_type="cat") == []
    for query in ({"since": "2026"}, {"until": "1764028800"}):
        assert pointers(refused(tenant.vera.get(path, params=query), 422, "invalid")) == list(query)


def test_a_connector_that_workflows_name_is_warned_of(tenant: Tenant) -> None:
    connector, unused = tenant.make("connectors"), tenant.make("connectors")
    named = {"steps": [{"connector_id": connector["resource_id"]}]}
    workflow = tenant.workflow(definition=named)
    gone = tenant.workflow(definition=named)
    tenant.remove(gone)
    assert tenant.remove(unused)["warnings"] == []
    [warning] = tenant.remove(connector)["warnings"]
    assert (warning["code"], warning["resource_id"]) == ("connector_referenced", connector["resource_id"])
    assert [each["resource_id"] for each in warning["referenced_by"]] == [workflow["resource_id"]]
    # A workflow that is deleted with its connector causes no warning.
    made = tree(tenant)
    tenant.save(made["workflows"], {"connector_id": made["connectors"]["resource_id"]})
    assert tenant.remove(made["workspaces"])["warnings"] == []


def test_what_is_published_is_no_longer(tenant: Tenant) -> None:
    made = tree(tenant)
    for name in ("workflows", "jobs"):
        ok(tenant.ben.post(f"{tenant.at(made[name])}/versions/1/publish"))
    other = tenant.workflow(name="stays")
    ok(tenant.ben.post(f"{tenant.at(other)}/versions/1/publish"))
    commits = len(tenant.git("log", "--format=%H", "published").split())
    tenant.remove(made["inner folders"])
    assert len(tenant.git("log", "--format=%H", "published").split()) == commits
    tenant.remove(made["jobs"])
    assert len(tenant.git("log", "--format=%H", "published").split()) == commits + 1
    assert in_git(tenant, "published") == {other["resource_id"]}
    gone = f"{tenant.at(made['jobs'])}/versions"
    refused(tenant.vera.get(f"{gone}/published"), 404, "version_not_found")
    assert ok(tenant.vera.get(f"{gone}/1"))["is_published"] is False
