"""Reading history: each filter and form of ref, diffs, check-outs, and the number of statements."""

import unicodedata
from datetime import datetime, timedelta
from typing import Any

import jsonpatch
import pytest

from tests.support.answers import CHECK_OUT_FIELDS, VERSION_FIELDS
from tests.support.api import (
    COLLECTIONS,
    UNKNOWN,
    Caller,
    Json,
    Server,
    Tenant,
    ok,
    pointers,
    refused,
    run_git,
    snapshot_path,
)
from tests.support.statements import counted


@pytest.fixture(scope="module")
def history(shared: Tenant) -> Json:
    """A workflow with six versions by two authors, two of them tagged, the fourth published."""
    workflow = shared.workflow(definition={"n": 1}, name="etl")
    shared.save(workflow, {"n": 2}, by=shared.ben, tag="v2", description="by ben")
    shared.save(workflow, {"n": 3})
    shared.save(workflow, {"n": 4}, by=shared.ben, publish=True)
    shared.save(workflow, {"n": 5}, tag="v5")
    shared.save(workflow, {"n": 6}, by=shared.ben)
    return workflow


def numbers(tenant: Tenant, resource: Json, **query: Any) -> list[int]:
    """The version numbers of a filtered history."""
    found = tenant.vera.pages(f"{tenant.at(resource)}/versions", **query)
    assert all(set(version) == VERSION_FIELDS for version in found)
    return [version["version_number"] for version in found]


def test_a_history_is_narrowed_by_tag(shared: Tenant, history: Json) -> None:
    assert numbers(shared, history, tag="v5") == [5]
    assert numbers(shared, history, tag="v2") == [2]
    for tag in ("v", "V5", "v5 ", "%", "2", "current"):
        assert numbers(shared, history, tag=tag) == []


def test_a_history_is_narrowed_by_what_is_published(shared: Tenant, history: Json) -> None:
    assert numbers(shared, history, published="true") == [4]
    assert numbers(shared, history, published="false") == [6, 5, 3, 2, 1]


@pytest.mark.parametrize("by", ["user_id", "username"])
def test_a_history_is_narrowed_by_author(shared: Tenant, history: Json, by: str) -> None:
    assert numbers(shared, history, author=getattr(shared.ben, by)) == [6, 4, 2]
    assert numbers(shared, history, author=getattr(shared.ana, by)) == [5, 3, 1]
    assert numbers(shared, history, author=getattr(shared.vera, by)) == []


@pytest.mark.parametrize("author", ["nobody", UNKNOWN, "Ben", "be", "%", "ben' OR '1'='1"])
def test_of_an_author_who_wrote_nothing_there_is_nothing(shared: Tenant, history: Json, author: str) -> None:
    assert numbers(shared, history, author=author) == []


@pytest.mark.parametrize("username", ["zoë o+c@x", "a_b.c-d", "x" * 100])
def test_a_history_is_narrowed_by_a_name_of_any_letters(shared: Tenant, username: str) -> None:
    body = {"username": username, "email": "zoe@example.org", "role": "editor"}
    user = ok(shared.ana.post(f"{shared.path}/users", body), 201)
    key = {"user_id": user["user_id"], "name": "laptop"}
    made = ok(shared.ana.post(f"{shared.path}/api-keys", key), 201)
    workflow = shared.workflow()
    shared.save(workflow, {"n": 2}, by=Caller(shared.server, made["api_key"]))
    assert numbers(shared, workflow, author=username) == [2]
    assert numbers(shared, workflow, author=unicodedata.normalize("NFD", username)) == [2]


def test_a_history_is_narrowed_by_time_both_ends_included(shared: Tenant, history: Json) -> None:
    times = {
        v["version_number"]: v["created_at"] for v in shared.vera.pages(f"{shared.at(history)}/versions")
    }
    assert numbers(shared, history, since=times[3]) == [6, 5, 4, 3]
    assert numbers(shared, history, until=times[3]) == [3, 2, 1]
    assert numbers(shared, history, since=times[2], until=times[4]) == [4, 3, 2]
    assert numbers(shared, history, since=times[4], until=times[2]) == []
    at = datetime.fromisoformat(times[3])
    after, before = ((at + timedelta(microseconds=n)).isoformat() for n in (1, -1))
    assert numbers(shared, history, since=after) == [6, 5, 4]
    assert numbers(shared, history, until=before) == [2, 1]
    elsewhere = (at + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00")
    assert numbers(shared, history, since=elsewhere, until=elsewhere) == [3]


def test_a_history_is_narrowed_by_all_at_once(shared: Tenant, history: Json) -> None:
    [fourth] = shared.vera.pages(f"{shared.at(history)}/versions", published="true")
    narrow = {"author": "ben", "since": fourth["created_at"]}
    assert numbers(shared, history, **narrow) == [6, 4]
    assert numbers(shared, history, **narrow, published="false") == [6]
    assert numbers(shared, history, **narrow, tag="v2") == []
    assert numbers(shared, history, author="ben", tag="v2", until=fourth["created_at"]) == [2]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_narrowed_history_is_paged(shared: Tenant, history: Json, limit: int) -> None:
    assert numbers(shared, history, author="ben", limit=limit) == [6, 4, 2]


def test_the_link_to_the_next_page_has_the_filters(shared: Tenant, history: Json) -> None:
    query = {"author": "ben", "since": "2026-01-01T00:00:00+00:00", "limit": "2"}
    first = shared.vera.get(f"{shared.at(history)}/versions", params=query)
    second = ok(shared.vera.get(first.links["next"]["url"]))
    assert [v["version_number"] for v in (*first.json()["items"], *second["items"])] == [6, 4, 2]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "other",
    [{}, {"author": "ana"}, {"author": "ben", "tag": "v2"}, {"author": "ben", "published": "false"}],
)
def test_a_cursor_holds_only_with_its_filters(shared: Tenant, history: Json, other: dict[str, str]) -> None:
    path = f"{shared.at(history)}/versions"
    cursor = ok(shared.vera.get(path, params={"author": "ben", "limit": 1}))["next_cursor"]
    response = shared.vera.get(path, params={"cursor": cursor, **other})
    assert pointers(refused(response, 422, "invalid")) == ["cursor"]
    ok(shared.vera.get(path, params={"cursor": cursor, "author": "ben", "limit": 2}))


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        *(({"published": "maybe"}, "published"), ({"published": ""}, "published")),
        *(({"since": "yesterday"}, "since"), ({"since": "2026-01-01T00:00:00"}, "since")),
        *(({"since": "2026"}, "since"), ({"until": "1764028800.5"}, "until")),
        *(({"until": "2026-02-30T00:00:00Z"}, "until"), ({"tag": "a\0b"}, "tag")),
        *(({"author": "\0"}, "author"), ({"tag": "x" * 501}, "tag"), ({"limit": "201"}, "limit")),
        *(({"limit": "0"}, "limit"), ({"cursor": "AAAA"}, "cursor"), ({"version": "1"}, "version")),
    ],
)
def test_a_filter_that_breaks_a_rule_is_422(
    shared: Tenant, history: Json, query: dict[str, str], parameter: str
) -> None:
    response = shared.vera.get(f"{shared.at(history)}/versions", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"]
)
def test_the_ends_of_time_are_no_fault_of_the_server(
    shared: Tenant, history: Json, name: str, at: str
) -> None:
    response = shared.vera.get(f"{shared.at(history)}/versions", params={name: at})
    assert response.status_code in (200, 422), response.text


def test_a_filter_that_finds_nothing_is_not_a_missing_resource(shared: Tenant, history: Json) -> None:
    assert ok(shared.vera.get(f"{shared.at(history)}/versions?tag=v9")) == {"items": [], "next_cursor": None}
    path = f"{shared.path}/workflows/{UNKNOWN}/versions"
    refused(shared.vera.get(f"{path}?tag=v9"), 404, "resource_not_found")


def test_the_history_of_a_deleted_resource_is_read(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.save(workflow, {"n": 2}, tag="v2")
    shared.remove(workflow)
    assert numbers(shared, workflow) == [2, 1]
    assert numbers(shared, workflow, tag="v2") == [2]
    ok(shared.vera.get(f"{shared.at(workflow)}/diff"))


# -- every form of a ref ----------------------------------------------------------------------------


REFS = {
    "number": 2,
    "zeros": 2,
    "tag": 2,
    "commit": 3,
    "loud commit": 3,
    "prefix": 3,
    "current": 6,
    "previous": 5,
    "published": 4,
}


def ref(tenant: Tenant, resource: Json, form: str) -> str:
    """A ref of a form."""
    commit: str = ok(tenant.vera.get(f"{tenant.at(resource)}/versions/3"))["git_commit_hash"]
    forms = {"number": "2", "zeros": "002", "tag": "v2", "commit": commit, "loud commit": commit.upper()}
    return (forms | {"prefix": commit[:7]}).get(form, form)


@pytest.mark.parametrize("form", REFS)
def test_every_read_takes_every_form_of_a_ref(shared: Tenant, history: Json, form: str) -> None:
    path, number = f"{shared.at(history)}/versions", REFS[form]
    given = ref(shared, history, form)
    response = shared.vera.get(f"{path}/{given}")
    version = ok(response)
    assert set(version) == VERSION_FIELDS | {"data", "snapshot"}
    assert (version["version_number"], version["data"]) == (number, {"n": number})
    assert version["snapshot"]["definition"] == version["data"]
    assert response.headers["etag"] == f'"{version["git_commit_hash"]}"'
    data = shared.vera.get(f"{path}/{given}/data")
    assert data.text == shared.git("show", f"{version['git_commit_hash']}:{snapshot_path(history)}")
    assert data.headers["etag"] == response.headers["etag"]
    assert ok(shared.vera.get(f"{path}/{given}/comments"))["items"] == []
    assert ok(shared.vera.get(f"{shared.at(history)}/diff?from={given}"))["from"]["version_number"] == number


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_every_kind_has_a_history(shared: Tenant, collection: str) -> None:
    resource = shared.make(collection, definition={"n": 1})
    shared.save(resource, {"n": 2}, publish=True)
    assert numbers(shared, resource) == [2, 1]
    assert numbers(shared, resource, published="true") == [2]
    difference = ok(shared.vera.get(f"{shared.at(resource)}/diff"))
    assert difference["json_patch"] == [{"op": "replace", "path": "/definition/n", "value": 2}]


# -- diffs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "ends"),
    [
        ("", (5, 6)),
        ("from=1", (1, 6)),
        ("to=2", (5, 2)),
        ("from=v2&to=v5", (2, 5)),
        ("from=published&to=previous", (4, 5)),
        ("from=current&to=1", (6, 1)),
        ("from=3&to=3", (3, 3)),
    ],
)
def test_a_difference_leads_from_one_version_to_the_other(
    shared: Tenant, history: Json, query: str, ends: tuple[int, int]
) -> None:
    answer = ok(shared.vera.get(f"{shared.at(history)}/diff?{query}"))
    assert set(answer) == {"from", "to", "json_patch", "text", "truncated"}
    assert answer["truncated"] is False
    old, new = (ok(shared.vera.get(f"{shared.at(history)}/versions/{n}")) for n in ends)
    for name, version in (("from", old), ("to", new)):
        assert set(answer[name]) == VERSION_FIELDS
        assert version | answer[name] == version
    assert jsonpatch.apply_patch(old["snapshot"], answer["json_patch"]) == new["snapshot"]


def test_the_text_of_a_difference_is_a_patch_of_the_canonical_bytes(
    shared: Tenant, history: Json, tmp_path: Any
) -> None:
    answer = ok(shared.vera.get(f"{shared.at(history)}/diff?from=1&to=published"))
    path = tmp_path / snapshot_path(history)
    path.parent.mkdir(parents=True)
    path.write_bytes(shared.vera.get(f"{shared.at(history)}/versions/1/data").content)
    run_git(tmp_path, "apply", "--unsafe-paths", "-", input=answer["text"].encode())
    assert path.read_bytes() == shared.vera.get(f"{shared.at(history)}/versions/published/data").content


@pytest.mark.parametrize("query", ["from=7", "to=7", "from=0&to=1", "from=v9", "to=", "from=%F0%9F%98%80"])
def test_a_difference_from_or_to_nothing_is_404(shared: Tenant, history: Json, query: str) -> None:
    refused(shared.vera.get(f"{shared.at(history)}/diff?{query}"), 404, "version_not_found")


def test_a_first_version_has_nothing_to_differ_from(shared: Tenant) -> None:
    refused(shared.vera.get(f"{shared.at(shared.workflow())}/diff"), 404, "version_not_found")
    refused(shared.vera.get(f"{shared.path}/workflows/{UNKNOWN}/diff"), 404, "resource_not_found")


# -- check-outs -------------------------------------------------------------------------------------


HELD_FIELDS = CHECK_OUT_FIELDS | {"resource_type", "resource_id", "resource_name"}


def held(tenant: Tenant, name: str, **query: Any) -> tuple[list[str], list[str]]:
    """The names of the resources that a user and the others have checked out, over all pages."""
    ours: list[str] = []
    theirs: list[str] = []
    while True:
        page = ok(tenant.caller(name).get(f"{tenant.path}/check-outs", params=query))
        assert set(page) == {"ours", "theirs", "next_cursor"}
        assert len(page["ours"]) + len(page["theirs"]) <= query.get("limit", 50)
        ours += [each["resource_name"] for each in page["ours"]]
        theirs += [each["resource_name"] for each in page["theirs"]]
        if page["next_cursor"] is None:
            return ours, theirs
        query["cursor"] = page["next_cursor"]


def test_a_check_out_is_listed_with_what_it_is_of(tenant: Tenant) -> None:
    job = tenant.make("jobs", name="nightly")
    tenant.save(job, {"n": 2})
    taken = tenant.check_out(job, tenant.ben, reason="faster", ttl_seconds=60)["check_out"]
    page = ok(tenant.vera.get(f"{tenant.path}/check-outs"))
    [listed] = page["theirs"]
    assert (page["ours"], page["next_cursor"], set(listed)) == ([], None, HELD_FIELDS)
    of = {"resource_type": "job", "resource_id": job["resource_id"], "resource_name": "nightly"}
    assert listed == taken | of
    assert ok(tenant.ben.get(f"{tenant.path}/check-outs")) == {
        "ours": [listed],
        "theirs": [],
        "next_cursor": None,
    }


def test_ones_own_check_outs_are_apart_from_the_others(tenant: Tenant) -> None:
    for name, holder in (("a", "ana"), ("b", "ben"), ("c", "ana"), ("d", "ben"), ("e", "ben")):
        tenant.check_out(tenant.workflow(name=name), tenant.caller(holder))
    tenant.workflow(name="free")
    for limit in (1, 2, 3, 5, 50):
        assert held(tenant, "ana", limit=limit) == (["c", "a"], ["e", "d", "b"])
        assert held(tenant, "ben", limit=limit) == (["e", "d", "b"], ["c", "a"])
        for name in ("vera", "aud"):
            assert held(tenant, name, limit=limit) == ([], ["e", "d", "c", "b", "a"])


def test_what_has_ended_is_not_listed(tenant: Tenant) -> None:
    names = ("kept", "checked in", "in bulk", "released", "forced", "renewed", "ran out")
    made = {name: tenant.workflow(name=name) for name in names}
    for name, workflow in made.items():
        short = {"ttl_seconds": 60} if name in ("ran out", "renewed") else {}
        tenant.check_out(workflow, tenant.ben, **short)
    tenant.check_in(made["checked in"], tenant.ben, data={"n": 2})
    bulk = {"resource_type": "workflow", "resource_id": made["in bulk"]["resource_id"], "data": {}}
    ok(tenant.ben.post(f"{tenant.path}/check-ins", {"items": [bulk]}))
    ok(tenant.ben.delete(f"{tenant.at(made['released'])}/check-out"), 204)
    ok(tenant.ana.delete(f"{tenant.at(made['forced'])}/check-out?force=true"), 204)
    tenant.check_out(made["renewed"], tenant.ben, ttl_seconds=3600)
    assert held(tenant, "ben")[0] == ["ran out", "renewed", "kept"]
    with tenant.server.clock.moved(seconds=61):
        assert held(tenant, "ben")[0] == ["renewed", "kept"]
    with tenant.server.clock.moved(hours=8, seconds=1):
        assert held(tenant, "ben") == ([], [])


def test_a_listed_check_out_stands_on_what_its_holder_saved(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    saved = tenant.save(workflow, {"n": 2}, by=tenant.ben)
    [listed] = ok(tenant.ben.get(f"{tenant.path}/check-outs"))["ours"]
    assert (listed["version_number"], listed["commit"]) == (2, saved["git_commit_hash"])
    assert listed["version_id"] == saved["version_id"]


def test_what_is_taken_while_paging_moves_nothing(tenant: Tenant) -> None:
    for name in ("a", "b", "c"):
        tenant.check_out(tenant.workflow(name=name), tenant.ben)
    first = tenant.ben.get(f"{tenant.path}/check-outs?limit=2")
    tenant.check_out(tenant.workflow(name="d"), tenant.ben)
    second = ok(tenant.ben.get(first.links["next"]["url"]))
    shown = [each["resource_name"] for each in (*first.json()["ours"], *second["ours"])]
    assert (shown, second["next_cursor"]) == (["c", "b", "a"], None)


def test_a_cursor_of_one_callers_list_is_not_one_of_anothers(tenant: Tenant) -> None:
    for _ in range(2):
        tenant.check_out(tenant.workflow(), tenant.ben)
    cursor = ok(tenant.ben.get(f"{tenant.path}/check-outs?limit=1"))["next_cursor"]
    for path in ("check-outs", "workflows"):
        response = tenant.ana.get(f"{tenant.path}/{path}", params={"cursor": cursor})
        assert pointers(refused(response, 422, "invalid")) == ["cursor"]


def test_check_outs_are_one_subscriptions_own(tenant: Tenant, stranger: Tenant) -> None:
    stranger.check_out(stranger.workflow(), stranger.ben)
    assert held(tenant, "vera") == ([], [])


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=x", "cursor=%00", "user_id=x"])
def test_a_query_of_check_outs_that_breaks_a_rule_is_422(shared: Tenant, query: str) -> None:
    problem = refused(shared.vera.get(f"{shared.path}/check-outs?{query}"), 422, "invalid")
    assert pointers(problem) == [query.partition("=")[0]]


# -- the number of statements -----------------------------------------------------------------------


# One statement verifies the key, one enters the scope; a list or a version takes one or two.
MOST_STATEMENTS = 6
# A page of a log that is not full has read each window up to the far past, each in a savepoint.
MOST_OF_A_LOG = 20

LISTS = [
    *("{S}/workflows", "{S}/users", "{S}/api-keys", "{S}/audit-logs", "{S}/check-outs"),
    "{S}/at/9999-12-31T00:00:00Z",
    *("{R}/versions", "{R}/versions?author=ana", "{R}/versions?published=false", "{R}/versions/1/comments"),
]


def size(page: Json) -> int:
    return len(page.get("items", [])) or len(page.get("ours", [])) + len(page.get("theirs", []))


@pytest.fixture(scope="module")
def crowd(server: Server) -> tuple[Tenant, Json, Tenant, Json]:
    """Two subscriptions, with one and with seven of everything; in each, a workflow has all of them."""
    tenants = []
    for many in (1, 7):
        tenant = Tenant(server, "crowd")
        workflow = tenant.workflow()
        tenant.check_out(workflow)
        for number in range(1, many):
            tenant.user(f"user-{number}", "viewer")
            tenant.check_out(tenant.workflow(), tenant.ana if number % 2 else tenant.ben)
            tenant.save(workflow, {"n": number}, tag=f"t{number}", publish=True)
        for number in range(many):
            path = f"{tenant.at(workflow)}/versions/1/comments"
            ok(tenant.ana.post(path, {"text": f"number {number}"}), 201)
        tenants.append((tenant, workflow))
    (few, one), (lot, busy) = tenants
    return few, one, lot, busy


def statements(tenant: Tenant, path: str) -> tuple[int, Json]:
    """The number of statements of a read, and its answer."""
    caller = tenant.ana
    with counted(tenant.server) as seen:
        response = caller.get(path)
    return len(seen), ok(response)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_takes_as_many_statements_whatever_its_length(
    crowd: tuple[Tenant, Json, Tenant, Json], path: str
) -> None:
    few, one, lot, busy = crowd
    short, few_items = statements(few, path.format(S=few.path, R=few.at(one)))
    long, many_items = statements(lot, path.format(S=lot.path, R=lot.at(busy)))
    assert 0 < size(few_items) < size(many_items)
    assert short == long <= (MOST_OF_A_LOG if "logs" in path else MOST_STATEMENTS)


READS = ["", "/versions/current", "/versions/previous", "/versions/published", "/versions/3", "/versions/t1"]


@pytest.mark.parametrize("rest", [*READS, "/versions/{commit}", "/versions/{prefix}", "/versions/5/data"])
def test_a_read_takes_few_statements_however_long_the_history(
    crowd: tuple[Tenant, Json, Tenant, Json], rest: str
) -> None:
    _, _, tenant, workflow = crowd
    path = tenant.at(workflow)
    commit = ok(tenant.ana.get(f"{path}/versions/4"))["git_commit_hash"]
    with counted(tenant.server) as seen:
        response = tenant.ana.get(path + rest.format(commit=commit, prefix=commit[:7]))
    assert response.status_code == 200
    assert len(seen) <= MOST_STATEMENTS, seen


@pytest.mark.parametrize("query", ["", "from=1&to=published", "from=t1&to=t5"])
def test_a_difference_takes_few_statements(crowd: tuple[Tenant, Json, Tenant, Json], query: str) -> None:
    _, _, tenant, workflow = crowd
    taken, _ = statements(tenant, f"{tenant.at(workflow)}/diff?{query}")
    assert taken <= MOST_STATEMENTS + 2
