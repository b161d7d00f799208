"""The history of purged resources: it stays, and admins alone read it."""

import pytest

from tests.support.api import Caller, Json, Tenant, ok, refused

READS = (
    *("/versions", "/versions?author=nobody", "/versions/2", "/versions/v1", "/versions/current"),
    *("/versions/previous", "/versions/{commit}", "/versions/2/data", "/diff", "/diff?from=v1&to=2"),
    "/versions/1/comments",
)


@pytest.fixture(scope="module")
def purged(shared: Tenant) -> Json:
    """A purged workflow with a tag, a comment and a second version."""
    workflow = shared.workflow(name="gone", definition={"n": 1})
    at = shared.at(workflow)
    ok(shared.ana.put(f"{at}/versions/1/tag", {"tag": "v1"}))
    ok(shared.ana.post(f"{at}/versions/1/comments", {"text": "the first"}), 201)
    shared.save(workflow, {"n": 2})
    shared.remove(workflow)
    shared.remove(workflow, permanent=True)
    return workflow


def read(tenant: Tenant, workflow: Json, by: Caller, rest: str) -> object:
    """The answer to an admin."""
    found = by.get(tenant.at(workflow) + rest.format(commit=workflow["git_commit_hash"]))
    return ok(found)


@pytest.mark.parametrize("rest", READS)
def test_an_admin_reads_it_as_before(tenant: Tenant, rest: str) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    at = tenant.at(workflow)
    ok(tenant.ana.put(f"{at}/versions/1/tag", {"tag": "v1"}))
    ok(tenant.ana.post(f"{at}/versions/1/comments", {"text": "the first"}), 201)
    tenant.save(workflow, {"n": 2})
    before = read(tenant, workflow, tenant.vera, rest)
    tenant.remove(workflow)
    assert read(tenant, workflow, tenant.vera, rest) == before
    tenant.remove(workflow, permanent=True)
    assert read(tenant, workflow, tenant.ana, rest) == before


@pytest.mark.parametrize("name", ["vera", "ben", "aud"])
@pytest.mark.parametrize("rest", [*READS, "/versions/99", "/versions/v9"])
@pytest.mark.sampled(13)
def test_for_all_others_it_is_not_there(shared: Tenant, purged: Json, name: str, rest: str) -> None:
    path = shared.at(purged) + rest.format(commit=purged["git_commit_hash"])
    refused(shared.caller(name).get(path), 404, "resource_not_found")


@pytest.mark.parametrize("rest", ["/versions/99", "/versions/v9", "/versions/published", "/diff?from=99"])
def test_a_version_that_it_never_had_is_missing_to_an_admin(shared: Tenant, purged: Json, rest: str) -> None:
    refused(shared.ana.get(shared.at(purged) + rest), 404, "version_not_found")


@pytest.mark.parametrize("name", ["vera", "ben", "aud", "ana"])
@pytest.mark.parametrize("rest", ["", "/references"])
def test_the_resource_itself_is_there_for_nobody(shared: Tenant, purged: Json, name: str, rest: str) -> None:
    refused(shared.caller(name).get(shared.at(purged) + rest), 404, "resource_not_found")


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("POST", "/versions", {"data": {}}),
        ("PATCH", "", {"name": "x"}),
        ("POST", "/check-out", {}),
        ("POST", "/check-in", {}),
        ("POST", "/rollback", {"to": 1}),
        ("POST", "/versions/1/comments", {"text": "x"}),
        ("POST", "/versions/1/publish", None),
        ("PUT", "/versions/1/tag", {"tag": "v2"}),
        ("DELETE", "", None),
    ],
)
def test_nothing_is_written_of_it_any_more(
    shared: Tenant, purged: Json, method: str, rest: str, body: Json | None
) -> None:
    before = shared.footprint()
    refused(shared.ana.request(method, shared.at(purged) + rest, body), 404, "resource_not_found")
    assert shared.footprint() == before


def test_an_admin_of_another_subscription_finds_nothing(
    shared: Tenant, purged: Json, stranger: Tenant
) -> None:
    for rest in READS:
        path = shared.at(purged) + rest.format(commit=purged["git_commit_hash"])
        refused(stranger.ana.get(path), 404, "subscription_not_found")
        own = path.replace(shared.path, stranger.path)
        refused(stranger.ana.get(own), 404, "resource_not_found")


def test_a_comment_on_a_version_that_is_not_there_is_refused_for_that(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.remove(workflow)
    path = f"{shared.at(workflow)}/versions"
    refused(shared.ben.post(f"{path}/99/comments", {"text": "x"}), 404, "version_not_found")
    refused(shared.ben.post(f"{path}/1/comments", {"text": "x"}), 409, "resource_deleted")
