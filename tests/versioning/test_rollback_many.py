"""Rollback of many: all resources below a folder, a workspace or the subscription, in one commit."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.altered_rows import rename
from tests.support.answers import VERSION_FIELDS
from tests.support.api import COLLECTIONS, UNKNOWN, Json, Tenant, ok, pointers, refused
from tests.support.bulk_check_ins import check_in, item
from tests.support.histories import check_history
from tests.support.tags import trailers

ANSWER_FIELDS = {"commit", "versions", "skipped", "unchanged", "dry_run"}
SKIPPED_FIELDS = {"resource_type", "resource_id", "resource_name", "reason"}
FORETOLD_FIELDS = {"resource_type", "resource_id", "resource_name", "from_version", "to_version"}


def roll_back(tenant: Tenant, to: str, status: int = 201, **fields: Any) -> Json:
    """The answer to a rollback of many."""
    return ok(tenant.ana.post(f"{tenant.path}/rollback", {"to": to, **fields}), status)


def refusal(tenant: Tenant, status: int, code: str, **body: Any) -> Json:
    """The problem of a refused rollback of many; asserts that nothing was written."""
    caller = tenant.ana
    before = tenant.footprint()
    problem = refused(caller.post(f"{tenant.path}/rollback", body), status, code)
    assert tenant.footprint() == before
    return problem


def now(tenant: Tenant, resource: Json) -> tuple[int, Json]:
    """The current version of a resource, and its definition."""
    found = ok(tenant.vera.get(tenant.at(resource)))
    return found["current_version"], found["definition"]


def names(versions: list[Json]) -> set[str]:
    """The resources that an answer lists."""
    return {version["resource_name"] for version in versions}


@dataclass
class Tree:
    """Two workspaces, with folders in folders in the first; each resource by its name."""

    tenant: Tenant
    at: dict[str, Json] = field(default_factory=dict)

    def make(self, collection: str, name: str, **parent: str) -> None:
        # Not by `Tenant.make`, which would make parents of its own.
        body = {"name": name, "definition": {"first": name}, **parent}
        self.at[name] = ok(self.tenant.ana.post(f"{self.tenant.path}/{collection}", body), 201)

    def id_of(self, name: str) -> str:
        return str(self.at[name]["resource_id"])

    def edit(self, *names: str) -> None:
        """Save another version of the named resources, or of all."""
        wanted = [self.at[name] for name in names or self.at]
        check_in(self.tenant, *(item(each, {"at": self.tenant.main()}) for each in wanted))


@pytest.fixture
def tree(tenant: Tenant) -> Tree:
    """Every kind at every depth."""
    made = Tree(tenant)
    for name in ("w", "x"):
        made.make("workspaces", name)
        made.make("connectors", f"{name} connector", workspace_id=made.id_of(name))
        made.make("folders", f"{name} folder", workspace_id=made.id_of(name))
        made.make("jobpackages", f"{name} package", folder_id=made.id_of(f"{name} folder"))
    made.make("folders", "inner", workspace_id=made.id_of("w"), parent_folder_id=made.id_of("w folder"))
    made.make("folders", "innermost", workspace_id=made.id_of("w"), parent_folder_id=made.id_of("inner"))
    made.make("jobs", "job", folder_id=made.id_of("innermost"))
    made.make("workflows", "workflow", job_id=made.id_of("job"))
    return made


BELOW = {
    "inner": {"inner", "innermost", "job", "workflow"},
    "w folder": {"w folder", "w package", "inner", "innermost", "job", "workflow"},
    "w": {"w", "w connector", "w folder", "w package", "inner", "innermost", "job", "workflow"},
    "x": {"x", "x connector", "x folder", "x package"},
}


@pytest.mark.parametrize("root", [*BELOW, None])
def test_all_below_a_root_and_nothing_else_is_rolled_back(tree: Tree, root: str | None) -> None:
    tenant, then = tree.tenant, tree.tenant.main()
    tree.edit()
    commits = int(tenant.git("rev-list", "--count", "main"))
    wanted = set(tree.at) if root is None else BELOW[root]
    kind = "workspace" if root in ("w", "x") else "folder"
    below: Json = {} if root is None else {f"{kind}_id": tree.id_of(root)}
    answer = roll_back(tenant, then, **below)
    assert set(answer) == ANSWER_FIELDS
    assert (answer["unchanged"], answer["dry_run"], answer["skipped"]) == (False, False, [])
    assert names(answer["versions"]) == wanted
    for version in answer["versions"]:
        assert set(version) == VERSION_FIELDS | {"unchanged"}
        assert (version["version_number"], version["git_commit_hash"]) == (3, answer["commit"])
    assert tenant.main() == answer["commit"]
    assert int(tenant.git("rev-list", "--count", "main")) == commits + 1
    for name, resource in tree.at.items():
        number, definition = now(tenant, resource)
        assert (number, "first" in definition) == ((3, True) if name in wanted else (2, False))
    if root is None:
        check_history(tenant)


def test_the_answer_has_the_commit_as_its_etag(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.save(workflow, {"n": 1})
    body = {"to": workflow["git_commit_hash"], "folder_id": shared.folder_id}
    response = shared.ben.post(f"{shared.path}/rollback", body)
    answer = ok(response, 201)
    assert response.headers["etag"] == f'"{answer["commit"]}"'
    assert {version["created_by_username"] for version in answer["versions"]} == {"ben"}


@pytest.mark.parametrize("how", ["commit", "prefix", "loud prefix", "Z", "offset", "lower case"])
def test_the_past_is_named_by_a_commit_or_an_instant(tenant: Tenant, how: str) -> None:
    one, other = tenant.workflow(definition={"n": 1}), tenant.workflow(definition={"m": 1})
    then = tenant.save(one, {"n": 2})
    commit, at = then["git_commit_hash"], then["created_at"]
    for n in (3, 4):
        tenant.save(one, {"n": n})
    tenant.save(other, {"m": 2})
    hours = datetime.fromisoformat(at) + timedelta(hours=5, minutes=30)
    to = {
        "commit": commit,
        "prefix": commit[:7],
        "loud prefix": commit[:12].upper(),
        "Z": at,
        "offset": hours.isoformat().replace("+00:00", "+05:30"),
        "lower case": at.replace("T", "t").replace("Z", "z"),
    }[how]
    answer = roll_back(tenant, to)
    assert sorted(version["version_number"] for version in answer["versions"]) == [3, 5]
    assert now(tenant, one) == (5, {"n": 2})
    assert now(tenant, other) == (3, {"m": 1})


def test_an_instant_between_two_versions_is_the_earlier_ones(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    saved = tenant.save(workflow, {"n": 2})
    just_before = datetime.fromisoformat(saved["created_at"]) - timedelta(microseconds=1)
    roll_back(tenant, just_before.isoformat())
    assert now(tenant, workflow) == (3, {"n": 1})


def test_the_commit_of_a_bulk_is_the_state_after_all_of_it(tenant: Tenant) -> None:
    one, other = tenant.workflow(), tenant.workflow()
    commit = check_in(tenant, item(one, {"n": 1}), item(other, {"n": 1}))["commit"]
    check_in(tenant, item(one, {"n": 2}), item(other, {"n": 2}))
    roll_back(tenant, commit)
    assert (now(tenant, one), now(tenant, other)) == ((4, {"n": 1}), (4, {"n": 1}))


def test_before_everything_all_is_newer(tree: Tree) -> None:
    tenant = tree.tenant
    tree.edit()
    head = tenant.main()
    answer = roll_back(tenant, "2001-02-03T04:05:06Z", 200)
    assert (answer["commit"], answer["versions"], answer["unchanged"]) == (None, [], True)
    assert {(s["resource_name"], s["reason"]) for s in answer["skipped"]} == {(n, "newer") for n in tree.at}
    assert tenant.main() == head


def test_what_came_later_and_what_is_deleted_is_left_as_it_is(tree: Tree) -> None:
    tenant, then = tree.tenant, tree.tenant.main()
    tree.make("jobs", "later", folder_id=tree.id_of("inner"))
    tree.make("jobs", "later and gone", folder_id=tree.id_of("inner"))
    tree.edit()
    for name in ("workflow", "later and gone"):
        tenant.remove(tree.at[name])
    answer = roll_back(tenant, then, folder_id=tree.id_of("inner"))
    assert names(answer["versions"]) == {"inner", "innermost", "job"}
    assert all(
        set(s) == {"resource_type", "resource_id", "resource_name", "reason"} for s in answer["skipped"]
    )
    assert {(s["resource_name"], s["resource_id"], s["reason"]) for s in answer["skipped"]} == {
        ("later", tree.id_of("later"), "newer"),
        ("workflow", tree.id_of("workflow"), "deleted"),
    }
    for name in ("workflow", "later", "later and gone"):
        assert now(tenant, tree.at[name])[0] == 2
    check_history(tenant)


def test_the_description_comes_back_but_never_the_name_or_the_place(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="etl", definition={"n": 1}, description="first")
    rename(tenant, workflow, "renamed", "second")
    tenant.save(workflow, {"n": 2})
    [version] = roll_back(tenant, workflow["git_commit_hash"])["versions"]
    assert version["resource_name"] == "renamed"
    found = ok(tenant.vera.get(f"{tenant.at(workflow)}/versions/current"))["snapshot"]
    kept = ("resource_type", "resource_id", "parent_id", "definition", "description")
    assert found == {name: workflow[name] for name in kept} | {"name": "renamed"}
    resource = ok(tenant.vera.get(tenant.at(workflow)))
    assert (resource["name"], resource["description"]) == ("renamed", "first")


def test_what_was_moved_stays_where_it_is(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    job = tenant.make("jobs")
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE workflows SET job_id = %s WHERE workflow_id = %s",
            [job["resource_id"], workflow["resource_id"]],
        )
    tenant.save(workflow, {"n": 2})
    roll_back(tenant, workflow["git_commit_hash"])
    found = ok(tenant.vera.get(f"{tenant.at(workflow)}/versions/current"))["snapshot"]
    assert (found["parent_id"], found["definition"]) == (job["resource_id"], {"n": 1})
    assert ok(tenant.vera.get(tenant.at(workflow)))["parent_id"] == job["resource_id"]


def test_a_new_name_alone_is_nothing_to_roll_back(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="etl", definition={"n": 1})
    rename(tenant, workflow, "renamed", None)
    tenant.save(workflow, {"n": 2})
    tenant.save(workflow, {"n": 1})
    head = tenant.main()
    answer = roll_back(tenant, workflow["git_commit_hash"], 200)
    assert (answer["commit"], answer["versions"], answer["unchanged"]) == (None, [], True)
    assert tenant.main() == head


def test_what_is_as_it_was_gets_no_version(tenant: Tenant) -> None:
    changed, back, same = (tenant.workflow(definition={"n": 1}) for _ in range(3))
    then = tenant.main()
    tenant.save(changed, {"n": 2})
    tenant.save(back, {"n": 2})
    tenant.save(back, {"n": 1})
    [version] = roll_back(tenant, then)["versions"]
    assert version["resource_id"] == changed["resource_id"]
    assert [now(tenant, each)[0] for each in (changed, back, same)] == [3, 3, 1]


def test_nothing_to_do_is_200_and_no_commit(tree: Tree) -> None:
    tenant = tree.tenant
    head = tenant.main()
    response = tenant.ana.post(f"{tenant.path}/rollback", {"to": head})
    answer = ok(response)
    assert answer == {
        "commit": None,
        "versions": [],
        "skipped": [],
        "unchanged": True,
        "dry_run": False,
    }
    assert "etag" not in response.headers
    assert tenant.main() == head


def test_the_commit_says_each_version_and_why(tree: Tree) -> None:
    tenant, then = tree.tenant, tree.tenant.main()
    tree.edit()
    body = {"to": then, "workspace_id": tree.id_of("x"), "comment": "the new ones lost orders"}
    headers = {"x-request-id": "back-1"}
    answer = ok(tenant.ben.post(f"{tenant.path}/rollback", body, headers=headers), 201)
    message = tenant.git("log", "-1", "--format=%B", "main")
    assert "\n\nthe new ones lost orders\n\n" in message
    told = trailers(message)
    assert {value for name, value in told if name == "Annals-Version"} == {
        f"{v['resource_type']}s/{v['resource_id']}@3 {v['version_id']}" for v in answer["versions"]
    }
    assert ("Annals-Actor", f"{tenant.ben.user_id} ben") in told
    assert ("Annals-Request", "back-1") in told
    for version in answer["versions"]:
        [comment] = tenant.vera.pages(f"{tenant.at(version)}/versions/3/comments")
        assert comment["text"] == "the new ones lost orders"
    events = tenant.aud.pages(f"{tenant.path}/audit-logs", request_id="back-1", action="ROLLBACK")
    assert {(e["action"], e["resource_name"]) for e in events} == {("ROLLBACK", n) for n in BELOW["x"]}
    assert {e["new_values"]["rolled_back_to"] for e in events} == {1}


def test_a_rollback_of_many_can_itself_be_rolled_back(tree: Tree) -> None:
    tenant, first = tree.tenant, tree.tenant.main()
    tree.edit()
    second = tenant.main()
    before = {name: now(tenant, each)[1] for name, each in tree.at.items()}
    roll_back(tenant, first)
    roll_back(tenant, second)
    assert {name: now(tenant, each)[1] for name, each in tree.at.items()} == before


# -- a dry run --------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing_and_foretells_what_then_happens(tree: Tree) -> None:
    tenant, then = tree.tenant, tree.tenant.main()
    tree.make("jobs", "later", folder_id=tree.id_of("w folder"))
    tree.edit()
    tree.edit("job", "workflow")
    tenant.remove(tree.at["w package"])
    before = tenant.footprint()
    body: Json = {"workspace_id": tree.id_of("w"), "comment": "back"}
    foretold = roll_back(tenant, then, 200, dry_run=True, **body)
    assert tenant.footprint() == before
    assert set(foretold) == ANSWER_FIELDS
    assert (foretold["commit"], foretold["unchanged"], foretold["dry_run"]) == (None, False, True)
    assert all(set(each) == FORETOLD_FIELDS for each in foretold["versions"])

    done = roll_back(tenant, then, **body)

    assert done["skipped"] == foretold["skipped"]
    assert {(s["resource_name"], s["reason"]) for s in done["skipped"]} == {
        ("later", "newer"),
        ("w package", "deleted"),
    }
    made = [(v["resource_type"], v["resource_id"], v["resource_name"]) for v in done["versions"]]
    assert [tuple(each.values())[:3] for each in foretold["versions"]] == made
    for each, version in zip(foretold["versions"], done["versions"], strict=True):
        assert version["version_number"] == each["from_version"] + 1
        path = f"{tenant.at(version)}/versions"
        old, new = (ok(tenant.vera.get(f"{path}/{n}"))["data"] for n in (each["to_version"], "current"))
        assert old == new


def test_a_dry_run_of_nothing_says_so(tree: Tree) -> None:
    tenant = tree.tenant
    before = tenant.footprint()
    answer = roll_back(tenant, tenant.main(), 200, dry_run=True)
    assert (answer["versions"], answer["unchanged"], answer["dry_run"]) == ([], True, True)
    assert tenant.footprint() == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_is_refused_as_the_rollback_would_be(tree: Tree, dry_run: bool) -> None:
    tenant, then = tree.tenant, tree.tenant.main()
    tree.edit()
    tenant.check_out(tree.at["job"], tenant.ben)
    refusal(tenant, 423, "checked_out", to=then, dry_run=dry_run)
    refusal(tenant, 404, "commit_not_found", to="f" * 40, dry_run=dry_run)


# -- refusals ---------------------------------------------------------------------------------------


def test_what_others_hold_is_listed_and_nothing_is_done(tree: Tree) -> None:
    tenant, then = tree.tenant, tree.tenant.main()
    tree.edit()
    held = {name: tenant.check_out(tree.at[name], tenant.ben)["check_out"] for name in ("job", "workflow")}
    tenant.check_out(tree.at["inner"], tenant.ana)
    problem = refusal(tenant, 423, "checked_out", to=then, folder_id=tree.id_of("w folder"))
    facts = ("checked_out_by", "checked_out_by_username", "checked_out_at", "expires_at")
    listed = {each["resource_name"]: each for each in problem["check_outs"]}
    assert listed == {
        name: {
            "resource_type": tree.at[name]["resource_type"],
            "resource_id": tree.id_of(name),
            "resource_name": name,
            **{fact: check_out[fact] for fact in facts},
        }
        for name, check_out in held.items()
    }
    assert "ben" in problem["detail"]
    # Resources outside the root do not matter.
    assert names(roll_back(tenant, then, workspace_id=tree.id_of("x"))["versions"]) == BELOW["x"]


def test_what_one_holds_oneself_is_rolled_back_and_kept(tree: Tree) -> None:
    tenant, then = tree.tenant, tree.tenant.main()
    tree.edit()
    tenant.check_out(tree.at["job"], tenant.ana)
    versions = roll_back(tenant, then)["versions"]
    holders = {version["resource_name"]: version["checked_out_by"] for version in versions}
    assert holders.pop("job") == tenant.ana.user_id
    assert set(holders.values()) == {None}
    renewed = tenant.check_out(tree.at["job"], tenant.ana)
    assert (renewed["check_out"]["version_number"], renewed["data"]) == (3, {"first": "job"})


def test_a_lease_that_ran_out_is_in_nobodys_way(tree: Tree) -> None:
    tenant, then = tree.tenant, tree.tenant.main()
    tree.edit("job")
    tenant.check_out(tree.at["job"], tenant.ben, ttl_seconds=60)
    with tenant.server.clock.moved(seconds=61):
        assert names(roll_back(tenant, then)["versions"]) == {"job"}


@pytest.mark.parametrize("to", ["f" * 40, "0" * 7, "abcdef0", "20260101"])
def test_a_commit_that_history_does_not_have_is_404(shared: Tenant, to: str) -> None:
    shared.workflow()
    problem = refusal(shared, 404, "commit_not_found", to=to)
    assert "/to" in problem["detail"]


def test_the_commit_of_another_history_or_branch_is_404(shared: Tenant, stranger: Tenant) -> None:
    theirs = stranger.workflow()["git_commit_hash"]
    refusal(shared, 404, "commit_not_found", to=theirs)
    shared.save(shared.workflow(), {"n": 1}, publish=True)
    published = shared.git("rev-parse", "published").strip()
    refusal(shared, 404, "commit_not_found", to=published)


def test_a_prefix_of_two_commits_is_ambiguous(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 1})
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE versions SET git_commit_hash = 'abcdef0' || repeat(version_number::text, 33)"
            " WHERE resource_id = %s",
            [workflow["resource_id"]],
        )
    refusal(tenant, 409, "ambiguous_ref", to="abcdef0")


@pytest.mark.parametrize("kind", ["workspace", "folder"])
def test_a_root_that_is_not_there_is_404(shared: Tenant, stranger: Tenant, kind: str) -> None:
    theirs, other_kind = stranger.make(f"{kind}s"), shared.make("jobs")
    for resource_id in (UNKNOWN, theirs["resource_id"], other_kind["resource_id"]):
        problem = refusal(
            shared, 404, "resource_not_found", to="2026-01-01T00:00:00Z", **{f"{kind}_id": resource_id}
        )
        assert resource_id in problem["detail"]


@pytest.mark.parametrize("kind", ["workspace", "folder"])
def test_a_root_that_is_deleted_is_409(tenant: Tenant, kind: str) -> None:
    root = tenant.make(f"{kind}s")
    tenant.remove(root)
    refusal(
        tenant, 409, "resource_deleted", to=root["git_commit_hash"], **{f"{kind}_id": root["resource_id"]}
    )


def test_one_root_is_named_at_the_most(shared: Tenant) -> None:
    roots = {"workspace_id": shared.workspace_id, "folder_id": shared.folder_id}
    refusal(shared, 422, "invalid", to=shared.main(), **roots)


@pytest.mark.parametrize(
    "to",
    [
        *("", "v1", "current", "1", "abcdef", "f" * 41, "ghijklm", "yesterday", "2026-01-01"),
        *("2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z", "T00:00:00Z"),
        *(1, 1767225600, 1.5, None, True, [], {}),
    ],
)
def test_what_is_neither_a_commit_nor_an_instant_is_422(shared: Tenant, to: object) -> None:
    assert pointers(refusal(shared, 422, "invalid", to=to)) == ["/to"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"workspace_id": "nobody"}, "/workspace_id"),
        ({"folder_id": 7}, "/folder_id"),
        ({"comment": 1}, "/comment"),
        ({"comment": "x" * 10_001}, "/comment"),
        ({"dry_run": "yes"}, "/dry_run"),
        ({"job_id": UNKNOWN}, "/job_id"),
    ],
)
def test_a_field_that_breaks_a_rule_is_422(shared: Tenant, change: Json, pointer: str) -> None:
    body = {"to": "2026-01-01T00:00:00Z"} | change
    assert pointers(refusal(shared, 422, "invalid", **body)) == [pointer]


def test_where_to_has_to_be_said(shared: Tenant) -> None:
    assert pointers(refusal(shared, 422, "invalid", workspace_id=UNKNOWN)) == ["/to"]


@pytest.mark.parametrize(
    "to",
    [
        *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"),
        *("9999-12-31T23:59:59.999999-14:00", "0000-01-01T00:00:00Z"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_the_ends_of_time_are_no_fault_of_the_server(shared: Tenant, to: str, dry_run: bool) -> None:
    response = shared.ana.post(f"{shared.path}/rollback", {"to": to, "dry_run": dry_run})
    assert response.status_code in (200, 422), response.text


def test_a_subscription_without_history_has_nothing_to_roll_back(tenant: Tenant) -> None:
    answer = roll_back(tenant, "2026-01-01T00:00:00Z", 200)
    assert (answer["commit"], answer["versions"], answer["skipped"]) == (None, [], [])
    assert tenant.main() == ""
    refusal(tenant, 404, "commit_not_found", to="f" * 40)


def test_every_kind_is_in_the_tree(tree: Tree) -> None:
    assert {f"{each['resource_type']}s" for each in tree.at.values()} == set(COLLECTIONS)


def test_no_head_is_named_where_there_is_no_history(tenant: Tenant) -> None:
    body = {"to": "2026-01-01T00:00:00Z"}
    for given in ("", "*", '"0000000"'):
        response = tenant.ana.post(f"{tenant.path}/rollback", body, headers={"if-match": given})
        assert refused(response, 412, "stale_version")["git_commit_hash"] is None
    assert ok(tenant.ana.post(f"{tenant.path}/rollback", body))["unchanged"] is True
