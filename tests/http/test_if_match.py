"""If-Match: a write based on an old version is refused, and some subscriptions demand the header."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from tests.support.api import Caller, Json, Server, Tenant, ok, pointers, refused, without_quotas
from tests.support.bulk_check_ins import item


@dataclass(frozen=True)
class Write:
    """Call of a resource, its preparation, and the status of its answer."""

    method: str
    rest: str
    body: Json | None
    status: int
    needs: str = ""
    # Tells if subscriptions that demand If-Match demand it here: writes beside history need none.
    is_demanded: bool = True


WRITES = {
    "save": Write("POST", "/versions", {"data": {"n": 9}}, 201),
    "equal save": Write("POST", "/versions", {"data": {"n": 2}}, 200),
    "rename": Write("PATCH", "", {"description": "another"}, 200),
    "equal rename": Write("PATCH", "", {"description": None}, 200),
    "deletion": Write("DELETE", "", None, 200),
    "check-in": Write("POST", "/check-in", {"data": {"n": 9}}, 201, "held"),
    "equal check-in": Write("POST", "/check-in", None, 200, "held"),
    "check-out": Write("POST", "/check-out", None, 200, is_demanded=False),
    "renewal": Write("POST", "/check-out", None, 200, "held", is_demanded=False),
    "release": Write("DELETE", "/check-out", None, 204, "held", is_demanded=False),
    "rollback": Write("POST", "/rollback", {"to": 1}, 201),
    "dry run": Write("POST", "/rollback", {"to": 1, "dry_run": True}, 200),
    "tag": Write("PUT", "/versions/1/tag", {"tag": "v2"}, 200),
    "untag": Write("DELETE", "/versions/1/tag", None, 200, "tagged"),
    "publish": Write("POST", "/versions/1/publish", None, 200),
    "unpublish": Write("POST", "/versions/1/unpublish", None, 200, "published"),
    "comment": Write("POST", "/versions/1/comments", {"text": "well done"}, 201, is_demanded=False),
}


class Based:
    """Workflow of two versions, ready for a write."""

    def __init__(self, tenant: Tenant, write: Write) -> None:
        self.tenant, self.write = tenant, write
        self.workflow = tenant.workflow(definition={"n": 1})
        self.stale = self.workflow["git_commit_hash"]
        at = tenant.at(self.workflow)
        given = {"if-match": "*"}
        saved = tenant.ana.post(f"{at}/versions", {"data": {"n": 2}}, headers=given)
        self.commit = ok(saved, 201)["git_commit_hash"]
        match write.needs:
            case "held":
                tenant.check_out(self.workflow)
            case "tagged":
                ok(tenant.ana.put(f"{at}/versions/1/tag", {"tag": "v1"}, headers=given))
            case "published":
                ok(tenant.ana.post(f"{at}/versions/1/publish", headers=given))

    def send(self, *if_match: str) -> httpx.Response:
        """Answer to the write, with a line of If-Match for each text."""
        write = self.write
        # As pairs, since a header may have several lines.
        headers = [("authorization", f"Bearer {self.tenant.ana.key}")]
        headers += [("if-match", line.format(commit=self.commit, stale=self.stale)) for line in if_match]
        path = self.tenant.at(self.workflow) + write.rest
        if write.method == "PATCH":
            headers.append(("content-type", "application/merge-patch+json"))
        return self.tenant.server.http.request(write.method, path, json=write.body, headers=headers)


@pytest.fixture(params=WRITES)
def based(request: pytest.FixtureRequest, shared: Tenant) -> Based:
    """Workflow that is ready for one of the writes."""
    return Based(shared, WRITES[request.param])


@pytest.mark.parametrize("if_match", ['"{commit}"', "*", '"{stale}", "{commit}"'])
@pytest.mark.sampled(17)
def test_a_write_based_on_the_current_version_is_made(based: Based, if_match: str) -> None:
    ok(based.send(if_match), based.write.status)


@pytest.mark.parametrize("if_match", ['"{stale}"', '"x", W/"{stale}"'])
@pytest.mark.sampled(12)
def test_a_write_based_on_another_is_refused_with_the_current_one(based: Based, if_match: str) -> None:
    before = based.tenant.footprint()
    problem = refused(based.send(if_match), 412, "stale_version")
    assert (problem["current_version"], problem["git_commit_hash"]) == (2, based.commit)
    assert based.tenant.footprint() == before
    ok(based.send(f'"{problem["git_commit_hash"]}"'), based.write.status)


@pytest.fixture(scope="module")
def saving(shared: Tenant) -> Based:
    """Workflow to save with equal content, so that many tests may share it."""
    return Based(shared, WRITES["equal save"])


@pytest.mark.parametrize(
    "if_match",
    ['"x","{commit}"', '"{commit}" , "x"', 'W/"x", "{commit}"', '"{stale}", W/"x", "{commit}"'],
)
def test_of_a_list_of_tags_one_has_to_match(saving: Based, if_match: str) -> None:
    ok(saving.send(if_match))


def test_tags_on_many_lines_are_one_list(saving: Based) -> None:
    # RFC 9110, 5.3: a proxy may split the list without changing its meaning.
    ok(saving.send('"{stale}"', '"{commit}"'))
    refused(saving.send('"{stale}"', '"x"'), 412, "stale_version")


@pytest.mark.parametrize("if_match", ['W/"{commit}"', 'W/"x", W/"{commit}"', '"{stale}",W/"{commit}"'])
def test_a_weak_tag_counts_as_the_strong_one(saving: Based, if_match: str) -> None:
    # A proxy that compresses the answer to a read makes its tag weak.
    ok(saving.send(if_match))


@pytest.mark.parametrize(
    "if_match", ["W/*", 'W/"*"', "W/{commit}", 'w/"{commit}"', 'W/ "{commit}"', 'W/"{stale}"']
)
def test_a_tag_that_only_looks_weak_never_matches(saving: Based, if_match: str) -> None:
    refused(saving.send(if_match), 412, "stale_version")


def test_a_tag_of_an_asterisk_is_a_tag_like_another(saving: Based) -> None:
    # RFC 9110, 13.1.1: an asterisk without quotes matches any version, in quotes only itself.
    refused(saving.send('"*"'), 412, "stale_version")


@pytest.mark.parametrize("if_match", ["", '""', "x", '"', ",", '"{commit}x"', "2", '"2"', "current", "{{}}"])
def test_what_names_no_commit_never_matches(saving: Based, if_match: str) -> None:
    refused(saving.send(if_match), 412, "stale_version")


@pytest.mark.parametrize("length", [7, 39])
def test_the_beginning_of_a_commit_is_not_its_tag(saving: Based, length: int) -> None:
    refused(saving.send(f'"{saving.commit[:length]}"'), 412, "stale_version")


def test_every_answer_of_a_version_has_the_tag_to_send(shared: Tenant) -> None:
    workflow = shared.workflow()
    path = shared.at(workflow)
    for rest in ("", "/versions/current", "/versions/1", "/versions/1/data"):
        etag = shared.ana.get(path + rest).headers["etag"]
        assert etag == f'"{workflow["git_commit_hash"]}"'
        ok(shared.ana.post(f"{path}/check-out", headers={"if-match": etag}))


def test_a_chain_of_saves_follows_its_etags(shared: Tenant) -> None:
    path = f"{shared.at(shared.workflow())}/versions"
    etag = shared.ana.get(f"{path}/current").headers["etag"]
    for number in range(3):
        response = shared.ana.post(path, {"data": {"n": number}}, headers={"if-match": etag})
        assert ok(response, 201)["version_number"] == number + 2
        refused(shared.ana.post(path, {"data": {"n": 9}}, headers={"if-match": etag}), 412, "stale_version")
        etag = response.headers["etag"]


# -- many at once: the head of main, and each item's own --------------------------------------------


def bulk(tenant: Tenant, resource: Json) -> tuple[str, Json]:
    return f"{tenant.path}/check-ins", {"items": [item(resource)]}


def rollback(tenant: Tenant, resource: Json) -> tuple[str, Json]:
    return f"{tenant.path}/rollback", {"to": resource["git_commit_hash"], "folder_id": tenant.folder_id}


MANY: dict[str, Callable[[Tenant, Json], tuple[str, Json]]] = {"check-ins": bulk, "rollback": rollback}


@pytest.mark.parametrize("call", MANY)
@pytest.mark.parametrize("if_match", ['"{head}"', "*", '"x", "{head}"', 'W/"{head}"'])
def test_a_change_of_many_is_based_on_the_head_of_main(shared: Tenant, call: str, if_match: str) -> None:
    workflow = shared.workflow()
    shared.save(workflow, {"n": 2})
    path, body = MANY[call](shared, workflow)
    headers = {"if-match": if_match.format(head=shared.main())}
    response = shared.ana.post(path, body, headers=headers)
    assert ok(response, 201)["commit"] == shared.main()


@pytest.mark.parametrize("call", MANY)
@pytest.mark.parametrize("if_match", ['"{past}"', 'W/"{past}"', '"x"', '""'])
def test_a_change_of_many_that_is_based_on_another_is_refused(
    shared: Tenant, call: str, if_match: str
) -> None:
    workflow = shared.workflow()
    past = shared.main()
    shared.save(workflow, {"n": 2})
    head, before = shared.main(), shared.footprint()
    path, body = MANY[call](shared, workflow)
    response = shared.ana.post(path, body, headers={"if-match": if_match.format(head=head, past=past)})
    assert refused(response, 412, "stale_version")["git_commit_hash"] == head
    assert shared.footprint() == before


def test_a_dry_run_of_many_is_based_on_the_head_too(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.save(workflow, {"n": 2})
    path, body = rollback(shared, workflow)
    headers = {"if-match": f'"{workflow["git_commit_hash"]}"'}
    refused(shared.ana.post(path, body | {"dry_run": True}, headers=headers), 412, "stale_version")


@pytest.mark.parametrize(
    ("if_match", "status"), [('"{commit}"', 201), ("*", 201), ("{commit}", 201), ('W/"{commit}"', 201)]
)
def test_an_item_is_based_on_its_own_version(shared: Tenant, if_match: str, status: int) -> None:
    one, other = shared.workflow(), shared.workflow()
    given = if_match.format(commit=one["git_commit_hash"])
    body = {"items": [item(one, if_match=given), item(other)]}
    ok(shared.ana.post(f"{shared.path}/check-ins", body), status)


@pytest.mark.parametrize("if_match", ['"{stale}"', 'W/"{stale}"', "x"])
def test_an_item_that_is_based_on_another_is_refused(shared: Tenant, if_match: str) -> None:
    one, other = shared.workflow(), shared.workflow()
    commit = shared.save(one, {"n": 2})["git_commit_hash"]
    given = if_match.format(commit=commit, stale=one["git_commit_hash"])
    before = shared.footprint()
    body = {"items": [item(other), item(one, if_match=given)]}
    problem = refused(shared.ana.post(f"{shared.path}/check-ins", body), 412, "stale_version")
    assert pointers(problem) == ["/items/1/if_match"]
    [current] = problem["current"]
    assert (current["current_version"], current["git_commit_hash"]) == (2, commit)
    assert shared.footprint() == before


# -- where a subscription demands it ----------------------------------------------------------------


@pytest.fixture(scope="module")
def demanding(server: Server) -> Tenant:
    """Subscription that takes no change without If-Match."""
    tenant = Tenant(server, "demanding")
    assert ok(tenant.ana.patch(tenant.path, {"require_if_match": True}))["require_if_match"] is True
    return tenant


@pytest.mark.parametrize("name", [name for name, write in WRITES.items() if write.is_demanded])
def test_a_change_without_if_match_is_428(demanding: Tenant, name: str) -> None:
    based = Based(demanding, WRITES[name])
    before = demanding.footprint()
    refused(based.send(), 428, "if_match_required")
    assert demanding.footprint() == before
    refused(based.send('"{stale}"'), 412, "stale_version")
    assert demanding.footprint() == before
    ok(based.send('"{commit}"'), based.write.status)


@pytest.mark.parametrize("name", [name for name, write in WRITES.items() if not write.is_demanded])
def test_what_stands_beside_history_needs_none(demanding: Tenant, name: str) -> None:
    ok(Based(demanding, WRITES[name]).send(), WRITES[name].status)


def test_items_without_if_match_are_428_and_named(demanding: Tenant) -> None:
    one, other, third = (demanding.workflow() for _ in range(3))
    before = demanding.footprint()
    items = [item(one), item(other, if_match=f'"{other["git_commit_hash"]}"'), item(third)]
    problem = refused(
        demanding.ana.post(f"{demanding.path}/check-ins", {"items": items}), 428, "if_match_required"
    )
    assert pointers(problem) == ["/items/0/if_match", "/items/2/if_match"]
    assert demanding.footprint() == before
    for each, resource in zip(items, (one, other, third), strict=True):
        each["if_match"] = f'"{resource["git_commit_hash"]}"'
    ok(demanding.ana.post(f"{demanding.path}/check-ins", {"items": items}), 201)


def test_a_rollback_of_many_without_if_match_is_428(demanding: Tenant) -> None:
    workflow = demanding.workflow()
    path, body = rollback(demanding, workflow)
    before = demanding.footprint()
    refused(demanding.ana.post(path, body), 428, "if_match_required")
    assert demanding.footprint() == before
    ok(demanding.ana.post(path, body, headers={"if-match": f'"{demanding.main()}"'}))


def test_a_new_resource_is_based_on_nothing(demanding: Tenant) -> None:
    assert demanding.workflow()["current_version"] == 1


def test_no_subscription_demands_it_unless_told_to(server: Server, tenant: Tenant) -> None:
    assert tenant.subscription["require_if_match"] is False
    body = {"name": "strict", "require_if_match": True}
    made = ok(server.operator.post("/v1/subscriptions", body), 201)
    assert made["require_if_match"] is True
    shown = ok(server.operator.get(f"/v1/subscriptions/{made['subscription_id']}"))
    assert without_quotas(shown) == made


@pytest.mark.parametrize("name", ["ana", "operator"])
def test_it_is_switched_on_and_off_with_effect_at_once(tenant: Tenant, name: str) -> None:
    workflow, caller = tenant.workflow(), tenant.caller(name)
    path = f"{tenant.at(workflow)}/versions"
    changed = ok(caller.patch(tenant.path, {"require_if_match": True}))
    assert without_quotas(changed) == tenant.subscription | {"require_if_match": True}
    refused(tenant.ana.post(path, {"data": {"n": 2}}), 428, "if_match_required")
    changed = ok(caller.patch(tenant.path, {"require_if_match": False}))
    assert without_quotas(changed) == tenant.subscription
    ok(tenant.ana.post(path, {"data": {"n": 2}}), 201)


def test_a_subscription_is_renamed_and_keeps_the_rest(tenant: Tenant) -> None:
    ok(tenant.ana.patch(tenant.path, {"require_if_match": True}))
    changed = ok(tenant.ana.patch(tenant.path, {"name": "acme & sons"}))
    wanted = tenant.subscription | {"name": "acme & sons", "require_if_match": True}
    assert without_quotas(changed) == wanted
    before = tenant.footprint()
    assert ok(tenant.ana.patch(tenant.path, {})) == changed
    assert tenant.footprint() == before
    assert ok(tenant.vera.get(tenant.path)) == changed


def test_the_change_of_a_subscription_is_recorded(tenant: Tenant) -> None:
    ok(tenant.ana.patch(tenant.path, {"require_if_match": True}))
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", resource_type="subscription", action="UPDATE")
    assert (event["username"], event["resource_id"]) == ("ana", tenant.subscription_id)
    assert event["changes"] == [{"op": "replace", "path": "/require_if_match", "value": True}]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"require_if_match": "yes"}, "/require_if_match"),
        ({"require_if_match": None}, "/require_if_match"),
        ({"require_if_match": 1}, "/require_if_match"),
        ({"name": ""}, "/name"),
        ({"name": None}, "/name"),
        ({"name": "two\nlines"}, "/name"),
        ({"name": "x" * 256}, "/name"),
        ({"git_url": "x"}, "/git_url"),
    ],
)
def test_a_change_of_a_subscription_that_breaks_a_rule_is_422(
    shared: Tenant, body: Json, pointer: str
) -> None:
    caller: Caller = shared.ana
    before = shared.footprint()
    assert pointers(refused(caller.patch(shared.path, body), 422, "invalid")) == [pointer]
    assert shared.footprint() == before
