"""The tree at a moment, page by page, and names of no moment."""

import pytest

from tests.support.api import COLLECTIONS, Tenant, ok, pointers, refused
from tests.support.as_of import now, path, story, then


def test_pages_are_the_list_in_pieces_newest_first(tenant: Tenant) -> None:
    story(tenant)
    commit = tenant.main()
    whole = then(tenant, commit, limit=200)["items"]
    ids = [each["resource_id"] for each in whole]
    assert ids == sorted(ids, reverse=True)
    for limit in (1, 2, 3, 50):
        assert tenant.vera.pages(path(tenant, commit), limit=limit) == whole
    first = tenant.vera.get(path(tenant, commit), params={"limit": 2})
    # Later changes are not in the past tree.
    tenant.remove(tenant.workflow())
    tenant.amend(whole[3], name="other")
    second = ok(tenant.vera.get(first.links["next"]["url"]))
    assert first.json()["items"] + second["items"] == whole[:4]
    assert (second["commit"], second["at"]) == (first.json()["commit"], first.json()["at"])


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_it_is_narrowed_by_kind(shared: Tenant, collection: str) -> None:
    made = [shared.make(collection)["resource_id"] for _ in range(2)]
    kind = collection.removesuffix("s")
    found = shared.vera.pages(path(shared, shared.main()), resource_type=kind, limit=1)
    assert {each["resource_type"] for each in found} == {kind}
    assert [each["resource_id"] for each in found[:2]] == made[::-1]


def test_a_cursor_is_of_one_moment_and_filter(shared: Tenant) -> None:
    shared.workflow()
    first = shared.main()
    shared.workflow()
    cursor = then(shared, first, limit=1)["next_cursor"]
    assert then(shared, first, cursor=cursor)["items"]
    for moment, query in ((shared.main(), {}), (first, {"resource_type": "folder"}), (first[:8], {})):
        response = shared.vera.get(path(shared, moment), params={"cursor": cursor, **query})
        assert pointers(refused(response, 422, "invalid")) == ["cursor"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("resource_type=cat", "resource_type"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=x", "cursor"),
        ("to=x", "to"),
    ],
)
def test_a_query_that_breaks_a_rule_is_422(shared: Tenant, query: str, parameter: str) -> None:
    response = shared.vera.get(f"{path(shared, '2026-01-01T00:00:00Z')}?{query}")
    assert pointers(refused(response, 422, "invalid")) == [parameter]


# -- names of no moment ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        *("yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "abcdef"),
        *(
            "g" * 40,
            "a" * 41,
            "current",
            "%00",
            "HEAD",
            "2026-01-01T00:00:00Z~1",
            "0001-01-01T00:00:00%2B14:00",
        ),
    ],
)
def test_what_is_neither_commit_nor_instant_is_422(shared: Tenant, moment: str) -> None:
    problem = refused(shared.vera.get(f"{shared.path}/at/{moment}"), 422, "invalid")
    assert pointers(problem) == ["moment"]
    assert "RFC 3339" in problem["errors"][0]["detail"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_the_ends_of_time_are_times(shared: Tenant, moment: str) -> None:
    commit = shared.workflow()["git_commit_hash"]
    assert then(shared, moment)["commit"] == (None if moment.startswith("0001") else commit)


@pytest.mark.parametrize("commit", ["f" * 40, "0" * 7, "20260101"])
def test_a_commit_that_main_does_not_have_is_404(shared: Tenant, commit: str) -> None:
    problem = refused(shared.vera.get(path(shared, commit)), 404, "commit_not_found")
    assert "moment" in problem["detail"]


def test_the_commit_of_another_history_or_branch_is_404(shared: Tenant, stranger: Tenant) -> None:
    theirs = stranger.remove(stranger.workflow())["git_commit_hash"]
    shared.save(shared.workflow(), {"n": 1}, publish=True)
    for commit in (theirs, shared.git("rev-parse", "published").strip()):
        refused(shared.vera.get(path(shared, commit)), 404, "commit_not_found")
    ids = {each["resource_id"] for each in shared.vera.pages(path(shared, now(shared)))}
    assert not ids & {each["resource_id"] for each in stranger.vera.pages(path(stranger, now(stranger)))}


def test_a_beginning_of_two_commits_is_ambiguous(tenant: Tenant) -> None:
    deletion = tenant.remove(tenant.workflow())
    tenant.restore(deletion)
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE deletion_logs SET git_commit_hash = 'abcdef0' || repeat('1', 33),"
            " restored_commit_hash = 'abcdef0' || repeat('2', 33) WHERE deletion_id = %s",
            [deletion["deletion_id"]],
        )
    refused(tenant.vera.get(path(tenant, "abcdef0")), 409, "ambiguous_ref")
    assert then(tenant, "ABCDEF02")["commit"] == "abcdef0" + "2" * 33
