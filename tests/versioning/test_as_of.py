"""The tree at a commit or an instant: its resources, publications and check-outs."""

import json
from datetime import datetime, timedelta

from tests.support.api import Json, Tenant, ok, refused, snapshot_path
from tests.support.as_of import now, path, story, then
from tests.support.events import DELETION
from tests.support.trees import in_git, tree

TREE_FIELDS = {"commit", "at", "items", "next_cursor"}
ITEM_FIELDS = {
    *("resource_type", "resource_id", "resource_name", "parent_id", "version_id", "version_number"),
    *("git_commit_hash", "published_version", "check_out"),
}
CHECK_OUT_FIELDS = {"checked_out_by", "checked_out_by_username", "checked_out_at", "expires_at"}


def one(tenant: Tenant, moment: str | datetime, resource: Json) -> Json | None:
    """A resource at a moment, None if there was none."""
    found = tenant.vera.pages(path(tenant, moment), resource_type=resource["resource_type"])
    return next((each for each in found if each["resource_id"] == resource["resource_id"]), None)


# -- resources --------------------------------------------------------------------------------------


def test_at_every_commit_it_is_the_tree_that_git_has(tenant: Tenant) -> None:
    story(tenant)
    commits = tenant.git("log", "--format=%H", "main").split()
    assert len(commits) == 9 + 3 + 2 + 1 + 2 + 2 + 1
    for commit in commits:
        found = tenant.vera.pages(path(tenant, commit))
        assert {each["resource_id"] for each in found} == in_git(tenant, commit)
        for each in found:
            snapshot = json.loads(tenant.git("show", f"{commit}:{snapshot_path(each)}"))
            assert (each["resource_name"], each["parent_id"]) == (snapshot["name"], snapshot["parent_id"])
        # Its time names the commit as well.
        at = then(tenant, commit)["at"]
        assert then(tenant, at)["commit"] == commit
        assert tenant.vera.pages(path(tenant, at)) == found


def test_a_resource_is_shown_as_it_stood_without_its_body(tenant: Tenant) -> None:
    job = tenant.make("jobs", name="nightly")
    saved = tenant.save(job, {"n": 2})
    tenant.save(job, {"n": 3}, publish=True)
    page = then(tenant, saved["git_commit_hash"])
    assert set(page) == TREE_FIELDS
    assert (page["commit"], page["at"]) == (saved["git_commit_hash"], saved["created_at"])
    assert all(set(each) == ITEM_FIELDS for each in page["items"])
    [item] = [each for each in page["items"] if each["resource_id"] == job["resource_id"]]
    assert item == {
        "resource_type": "job",
        "resource_id": job["resource_id"],
        "resource_name": "nightly",
        "parent_id": tenant.folder_id,
        "version_id": saved["version_id"],
        "version_number": 2,
        "git_commit_hash": saved["git_commit_hash"],
        "published_version": None,
        "check_out": None,
    }


def test_a_name_and_a_place_are_those_of_then(tenant: Tenant) -> None:
    folder, other = tenant.make("folders", name="a"), tenant.make("workspaces")
    before = now(tenant)
    tenant.amend(folder, name="b", workspace_id=other["resource_id"])
    after = now(tenant)
    was, became = one(tenant, before, folder), one(tenant, after, folder)
    assert was is not None
    assert became is not None
    assert (was["resource_name"], was["parent_id"]) == ("a", tenant.workspace_id)
    assert (became["resource_name"], became["parent_id"]) == ("b", other["resource_id"])


def test_what_is_gone_for_good_was_there_then(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="gone")
    before = now(tenant)
    deletion = tenant.remove(workflow)
    purge = tenant.remove(workflow, permanent=True)
    found = one(tenant, before, workflow)
    assert found is not None
    assert found["resource_name"] == "gone"
    for moment in (deletion["git_commit_hash"], purge["git_commit_hash"], now(tenant)):
        assert one(tenant, moment, workflow) is None


def test_what_came_back_was_away_meanwhile(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for _ in range(2):
        deletion = tenant.remove(workflow)
        away = now(tenant)
        restored = tenant.restore(deletion)
        assert one(tenant, deletion["git_commit_hash"], workflow) is None
        assert one(tenant, away, workflow) is None
        for moment in (restored["commit"], now(tenant), f"{deletion['git_commit_hash']}~1"):
            commit = tenant.git("rev-parse", moment).strip() if isinstance(moment, str) else moment
            found = one(tenant, commit, workflow)
            assert found is not None
            assert found["version_number"] == 1


# -- moments ----------------------------------------------------------------------------------------


def test_an_instant_is_that_of_the_last_commit_until_then(tenant: Tenant) -> None:
    begin = now(tenant)
    workflow = tenant.workflow()
    first = tenant.main()
    between = now(tenant)
    saved = tenant.save(workflow, {"n": 2})
    at = datetime.fromisoformat(saved["created_at"])
    for moment, commit in (
        (between, first),
        (at - timedelta(microseconds=1), first),
        (at, saved["git_commit_hash"]),
        (at + timedelta(microseconds=1), saved["git_commit_hash"]),
        (at + timedelta(days=1000), saved["git_commit_hash"]),
    ):
        page = then(tenant, moment)
        assert page["commit"] == commit
        assert datetime.fromisoformat(page["at"]) == moment
        found = one(tenant, moment, workflow)
        assert found is not None
        assert found["version_number"] == (1 if commit == first else 2)
    page = then(tenant, begin)
    assert (page["commit"], page["items"], page["next_cursor"]) == (None, [], None)


def test_a_deletion_in_a_platforms_own_system_is_no_commit(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    ok(tenant.ben.post(f"{tenant.path}/deletions", DELETION), 201)
    assert then(tenant, now(tenant))["commit"] == tenant.main()
    found = one(tenant, now(tenant), workflow)
    assert found is not None
    assert found["version_number"] == 1


def test_a_subscription_without_history_was_always_empty(tenant: Tenant) -> None:
    page = then(tenant, "2026-01-01T00:00:00Z")
    assert page == {"commit": None, "at": "2026-01-01T00:00:00Z", "items": [], "next_cursor": None}
    refused(tenant.vera.get(path(tenant, "f" * 40)), 404, "commit_not_found")


def test_an_instant_is_told_in_utc(tenant: Tenant) -> None:
    tenant.workflow()
    for given in ("2040-01-01T12:00:00+02:00", "2040-01-01t10:00:00z", "2040-01-01T10:00:00.000Z"):
        page = then(tenant, given)
        assert (page["at"], len(page["items"])) == ("2040-01-01T10:00:00Z", 4)


def test_changes_of_one_batch_are_told_apart_by_their_commits(tenant: Tenant) -> None:
    job, workflow = tenant.make("jobs"), tenant.workflow()
    items = [
        {"resource_type": each["resource_type"], "resource_id": each["resource_id"], "data": {"n": 2}}
        for each in (job, workflow)
    ]
    done = ok(tenant.ana.post(f"{tenant.path}/check-ins", {"items": items}), 201)
    # One commit of two versions is one commit, by any of its beginnings.
    for digits in (7, 12, 40):
        page = then(tenant, done["commit"][:digits].upper())
        assert page["commit"] == done["commit"]
        numbers = {each["resource_id"]: each["version_number"] for each in page["items"]}
        assert (numbers[job["resource_id"]], numbers[workflow["resource_id"]]) == (2, 2)


def test_each_commit_of_a_fall_and_a_return_can_be_named(tenant: Tenant) -> None:
    made = tree(tenant)
    soft = tenant.remove(made["folders"])
    restored = tenant.restore(soft, resolve={"rename": "other"})
    again = tenant.remove(made["jobs"])
    hard = tenant.remove(made["jobs"], permanent=True)
    counts = {
        soft["git_commit_hash"]: 2,
        restored["commit"]: 9,
        again["git_commit_hash"]: 7,
        hard["git_commit_hash"]: 7,
    }
    assert list(counts) == tenant.git("log", "-4", "--reverse", "--format=%H", "main").split()
    for commit, count in counts.items():
        page = then(tenant, commit[:10])
        assert (page["commit"], len(page["items"])) == (commit, count)
    assert then(tenant, soft["git_commit_hash"])["at"] == soft["deleted_at"]


def test_a_rollback_leads_to_the_commit_of_a_deletion_or_a_restore(tenant: Tenant) -> None:
    kept, away = tenant.workflow(definition={"n": 1}), tenant.workflow(definition={"n": 1})
    deletion = tenant.remove(away)
    gone = now(tenant)
    tenant.save(kept, {"n": 2})
    restored = tenant.restore(deletion)
    for to, contents, skipped in (
        (restored["commit"][:12], (2, 1), []),
        # A resource that was deleted then has no content then, although it had versions before.
        (deletion["git_commit_hash"], (1, 5), [(away["resource_id"], "was_deleted")]),
        (gone.isoformat(), (1, 5), [(away["resource_id"], "was_deleted")]),
    ):
        for each in (kept, away):
            tenant.save(each, {"n": 5, "before": to})
        done = ok(tenant.ana.post(f"{tenant.path}/rollback", {"to": to}), 201)
        assert [(each["resource_id"], each["reason"]) for each in done["skipped"]] == skipped
        found = tuple(ok(tenant.vera.get(tenant.at(each)))["definition"]["n"] for each in (kept, away))
        assert found == contents


def test_what_is_deleted_now_and_was_then_is_none_of_a_rollback(tenant: Tenant) -> None:
    workflow, other = tenant.workflow(), tenant.workflow(definition={"n": 1})
    first = tenant.remove(workflow)
    tenant.save(other, {"n": 2})
    tenant.restore(first)
    tenant.remove(workflow)
    done = ok(tenant.ana.post(f"{tenant.path}/rollback", {"to": first["git_commit_hash"]}), 201)
    assert done["skipped"] == []
    assert [each["resource_id"] for each in done["versions"]] == [other["resource_id"]]


# -- publications and check-outs ---------------------------------------------------------------------


def test_the_published_version_is_the_one_of_then(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    at = f"{tenant.at(workflow)}/versions"
    seen: list[tuple[datetime, int | None]] = [(now(tenant), None)]

    def after(number: int | None) -> None:
        seen.append((now(tenant), number))

    ok(tenant.ben.post(f"{at}/1/publish"))
    after(1)
    tenant.save(workflow, {"n": 2})
    after(1)
    tenant.save(workflow, {"n": 3}, publish=True)
    after(3)
    ok(tenant.ben.post(f"{at}/2/publish"))
    after(2)
    ok(tenant.ben.post(f"{at}/2/unpublish"))
    after(None)
    ok(tenant.ben.post(f"{at}/1/publish"))
    deletion = tenant.remove(workflow)
    away = now(tenant)
    tenant.restore(deletion)
    after(1)
    for moment, number in seen:
        found = one(tenant, moment, workflow)
        assert found is not None
        assert found["published_version"] == number, (moment, seen)
    assert one(tenant, away, workflow) is None


def test_a_check_out_is_told_while_it_ran(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    before = now(tenant)
    taken = tenant.check_out(workflow, tenant.ben, reason="later")["check_out"]
    held = now(tenant)
    saved = tenant.save(workflow, {"n": 2}, by=tenant.ben)
    tenant.check_in(workflow, tenant.ben, data={"n": 3})
    free = now(tenant)
    tenant.check_out(workflow, tenant.ana)
    hers = now(tenant)
    ok(tenant.ana.delete(f"{tenant.at(workflow)}/check-out"), 204)
    expected = {name: taken[name] for name in CHECK_OUT_FIELDS}
    for moment, holder in (
        (before, None),
        (taken["checked_out_at"], expected),
        (held, expected),
        (saved["git_commit_hash"], expected),
        (free, None),
        (now(tenant), None),
    ):
        found = one(tenant, moment, workflow)
        assert found is not None
        assert found["check_out"] == holder
    found = one(tenant, hers, workflow)
    assert found is not None
    assert found["check_out"]["checked_out_by_username"] == "ana"


def test_a_lease_counts_until_it_runs_out(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    taken = tenant.check_out(workflow, tenant.ben, ttl_seconds=60)["check_out"]
    at, end = (datetime.fromisoformat(taken[name]) for name in ("checked_out_at", "expires_at"))
    instant = timedelta(microseconds=1)

    def is_held(moment: datetime) -> bool:
        found = one(tenant, moment, workflow)
        assert found is not None
        return found["check_out"] is not None

    expected = {at - instant: False, at: True, end - instant: True, end: False}
    assert {moment: is_held(moment) for moment in expected} == expected
    # Another user's check-out after it expired changes nothing of the past.
    with tenant.server.clock.moved(seconds=90):
        later = tenant.check_out(workflow, tenant.ana)["check_out"]
    assert {moment: is_held(moment) for moment in expected} == expected
    found = one(tenant, later["checked_out_at"], workflow)
    assert found is not None
    assert found["check_out"]["checked_out_by"] == tenant.ana.user_id


def test_a_check_out_that_a_deletion_ended_was_held_until_then(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    held = now(tenant)
    deletion = tenant.remove(workflow, tenant.ben)
    tenant.restore(deletion)
    was, became = one(tenant, held, workflow), one(tenant, now(tenant), workflow)
    assert was is not None
    assert became is not None
    assert was["check_out"]["checked_out_by_username"] == "ben"
    assert became["check_out"] is None
