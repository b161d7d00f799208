"""Pages that compare two versions."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest

from service.web import words
from tests.support.api import Json, Tenant, ok
from tests.support.compared_pages import graph, graphed, signed_in
from tests.support.statements import counted
from tests.support.web import Page, assert_light, page_of

HOSTILE = '"><script>alert(1)</script>\u202e\u200b😀'


def compared(tenant: Tenant, workflow: Json, begin: str = "", end: str = "") -> Page:
    """See the comparison of two refs as a viewer."""
    query = urlencode({name: ref for name, ref in (("from", begin), ("to", end)) if ref})
    return signed_in(tenant, tenant.vera).see(f"{page_of(tenant, workflow)}/compare?{query}")


def diff(tenant: Tenant, workflow: Json, begin: str, end: str) -> Json:
    """Ask the API for the same comparison."""
    return ok(tenant.vera.get(f"{tenant.at(workflow)}/diff", params={"from": begin, "to": end}))


@pytest.fixture(scope="module")
def orders(shared: Tenant) -> Json:
    workflow = graphed(
        shared,
        graph("read", "check", "load", retries=2),
        graph("read", "check", "load", "tell", retries=3),
        name="Orders",
    )
    ok(shared.ana.put(f"{shared.at(workflow)}/versions/2/tag", {"tag": "first"}))
    ok(shared.ana.post(f"{shared.at(workflow)}/versions/3/publish"))
    return workflow


def test_a_comparison_tells_nodes_connections_and_settings(shared: Tenant, orders: Json) -> None:
    page = compared(shared, orders, "2", "3")
    assert page.heading == "v2 → v3"
    assert "1 node added, 1 connection added, 1 setting changed" in page.words
    assert "load → tell" in page.words
    assert page.root.all("svg", class_="graph")


def test_an_instant_names_the_version_of_that_moment(tenant: Tenant) -> None:
    workflow = graphed(tenant, graph("read"))
    moment = datetime.now(UTC)
    tenant.save(workflow, graph("read", "load"))
    tenant.save(workflow, graph("read", "load", "tell"))
    zone = ZoneInfo("Asia/Kolkata")
    for text in (
        moment.isoformat(),
        moment.isoformat().replace("+00:00", "Z"),
        moment.astimezone(zone).isoformat(),
    ):
        assert compared(tenant, workflow, text).heading == "v2 → v4"
        assert compared(tenant, workflow, "3", text).heading == "v3 → v2"
    browser = signed_in(tenant, tenant.vera)
    here = f"{page_of(tenant, workflow)}/compare"
    # A plus sign that nobody escaped is a space.
    assert browser.see(f"{here}?from={moment.isoformat()}").heading == "v2 → v4"
    browser.http.cookies.set("tz", zone.key)
    local = moment.astimezone(zone).replace(tzinfo=None).isoformat()
    assert browser.see(f"{here}?from={local}").heading == "v2 → v4"
    link = browser.see(f"{here}?from={local}").link("Link to this comparison")
    assert link == f"{here}?from=2&to=4"
    patch = browser.get(f"{here}/operations.json?from={local}&to=3")
    assert patch.source == browser.get(f"{here}/operations.json?from=2&to=3").source


def test_a_time_is_typed_for_either_end(tenant: Tenant) -> None:
    workflow = graphed(tenant, graph("read"))
    zone = ZoneInfo("Asia/Kolkata")
    moment = datetime.now(UTC)
    typed = moment.astimezone(zone).replace(tzinfo=None).isoformat()
    tenant.save(workflow, graph("read", "load"))
    browser = signed_in(tenant, tenant.vera)
    browser.http.cookies.set("tz", zone.key)
    here = f"{page_of(tenant, workflow)}/compare"
    page = browser.send(browser.see(here).form("/compare"), from_at=typed)
    assert page.path == f"{here}?{urlencode({'from': moment.isoformat().replace('+00:00', 'Z'), 'to': 3})}"
    assert page.heading == "v2 → v3"
    assert f"It was current at {words.clock(moment, zone)}" in page.words
    form = page.form("/compare")
    page = browser.send(replace(form, fields=form.fields | {"from": ["1"], "to_at": [typed]}))
    assert page.heading == "v1 → v2"
    # Fields that were left empty are none of the address.
    assert browser.send(page.form("/compare")).path == f"{here}?from=1&to=2"
    assert "This is no date with a time" in browser.see(f"{here}?from_at=yesterday", 422).words


def test_a_second_as_pages_show_it_is_its_end(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    made = ok(tenant.ben.get(f"{tenant.at(workflow)}/versions/1"))["created_at"]
    second = datetime.fromisoformat(made).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    assert compared(tenant, workflow, second, "1").heading == "v1 → v1"


@pytest.mark.parametrize("text", ["2001-01-01T00:00Z", "0001-01-01T00:00Z", "25:61", "a:b 01:00"])
def test_an_instant_before_the_first_version_names_none(shared: Tenant, orders: Json, text: str) -> None:
    page = signed_in(shared, shared.vera).see(
        f"{page_of(shared, orders)}/compare?{urlencode({'from': text})}", 404
    )
    assert "The history of the resource lists the versions that exist." in page.words
    assert page.link("To the history") == page_of(shared, orders)


def test_its_figures_are_those_of_the_api(shared: Tenant, orders: Json) -> None:
    page, found = compared(shared, orders, "2", "3"), diff(shared, orders, "2", "3")
    lines = found["text"].splitlines()[2:]
    added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
    assert f"+{added} −{removed} lines" in page.words
    assert f"{len(found['json_patch'])} operation" in page.words
    assert len(page.root.all("tr", class_="add")) == added
    assert len(page.root.all("tr", class_="del")) == removed


def test_the_operations_are_those_of_the_api(shared: Tenant, orders: Json) -> None:
    page = compared(shared, orders, "2", "3")
    file = signed_in(shared, shared.vera).get(page.link("Operations as JSON (RFC 6902)")).response
    assert file.headers["content-type"] == "application/json-patch+json"
    assert file.json() == diff(shared, orders, "2", "3")["json_patch"]


@pytest.mark.parametrize(
    ("begin", "end", "title"),
    [
        ("", "", "v2 → v3"),
        ("first", "published", "v2 → v3"),
        ("1", "current", "v1 → v3"),
        ("3", "2", "v3 → v2"),
    ],
)
def test_any_ref_names_an_end(shared: Tenant, orders: Json, begin: str, end: str, title: str) -> None:
    assert compared(shared, orders, begin, end).heading == title


def test_a_commit_names_an_end(shared: Tenant, orders: Json) -> None:
    version = ok(shared.vera.get(f"{shared.at(orders)}/versions/2"))
    page = compared(shared, orders, version["git_commit_hash"][:10], "3")
    assert page.heading == "v2 → v3"
    assert page.link("Link to this comparison").endswith("/compare?from=2&to=3")


def test_the_ends_can_be_swapped_and_chosen(shared: Tenant, orders: Json) -> None:
    browser = signed_in(shared, shared.vera)
    page = browser.see(f"{page_of(shared, orders)}/compare?from=1&to=3")
    form = page.form("/compare")
    assert (form.fields["from"], form.fields["to"]) == (["1"], ["3"])
    assert browser.send(replace(form, fields=form.fields | {"from": ["2"]})).heading == "v2 → v3"
    assert browser.get(page.link("⇄Swap the two")).heading == "v3 → v1"


def test_equal_versions_are_said_to_be_equal(shared: Tenant, orders: Json) -> None:
    page = compared(shared, orders, "3", "3")
    assert "v3 and v3 are equal." in page.words
    assert not page.root.all("table", class_="diff")


def test_a_resource_of_one_version_is_compared_with_itself(tenant: Tenant) -> None:
    assert compared(tenant, tenant.workflow()).heading == "v1 → v1"


def test_only_layout_is_said_so(tenant: Tenant) -> None:
    moved = graph("a", "b")
    moved["nodes"][0]["position"] = {"x": 400, "y": 300}
    page = compared(tenant, graphed(tenant, graph("a", "b"), moved))
    assert "Only the layout differs" in page.words
    assert page.root.all("table", class_="diff")


def test_connections_that_lead_nowhere_are_told(tenant: Tenant) -> None:
    broken = graph("a", "b", "c")
    del broken["nodes"][1]
    page = compared(tenant, graphed(tenant, graph("a", "b", "c"), broken))
    assert "2 connections lead nowhere" in page.words
    assert "v3 has no node at one of their ends." in page.words


def test_a_document_without_a_graph_is_compared_by_its_values(tenant: Tenant) -> None:
    page = compared(tenant, graphed(tenant, {"retries": {"most": 2}}, {"retries": {"most": 5}}))
    assert not page.root.all("svg", class_="graph")
    assert "retries.most" in page.words
    assert "1 value changed" in page.words


def test_hostile_text_is_inert(tenant: Tenant) -> None:
    other = graph(HOSTILE, "b", **{HOSTILE: HOSTILE})
    workflow = graphed(tenant, graph("a", "b"), other, name=f"x{HOSTILE}"[:-4] + "😀")
    tenant.save(workflow, graph("a"), description=HOSTILE)
    page = compared(tenant, workflow, "2", "3")
    later = compared(tenant, workflow)
    for each in (page, later):
        assert "<script>alert" not in each.source
    assert '"><script>alert(1)</script>' in page.words


def test_a_long_history_offers_its_latest_hundred_versions_and_the_ends(tenant: Tenant) -> None:
    workflow = graphed(tenant, *({"n": number} for number in range(104)))
    page = compared(tenant, workflow, "1", "105")
    options = [each["value"] for each in page.root.all("select", name="from")[0].all("option")]
    assert options == [*map(str, range(105, 5, -1)), "1"]
    assert "The latest versions are offered here." in page.words


def test_a_large_document_is_cut_with_ways_on(tenant: Tenant) -> None:
    rows = [{"id": str(number), "text": "x" * 100} for number in range(30_000)]
    workflow = graphed(tenant, {"rows": rows}, {"rows": [{**row, "text": "y" * 100} for row in rows]})
    page = compared(tenant, workflow)
    assert "The text is too long to show all of it here" in page.words
    assert re.search(f"git diff .* -- .*{workflow['resource_id']}", page.words)
    assert_light(page)
    back = signed_in(tenant, tenant.ben).see(f"{page_of(tenant, workflow)}/roll-back?to=2")
    assert_light(back)
    assert back.link("comparison of the two versions") == f"{page_of(tenant, workflow)}/compare?from=3&to=2"


def test_a_long_comparison_takes_few_statements_and_little_html(tenant: Tenant) -> None:
    old, new = (graph(*(f"step {number} {word}" for number in range(60))) for word in ("a", "b"))
    workflow = graphed(tenant, *([old, new] * 20))
    browser = signed_in(tenant, tenant.vera)
    with counted(tenant.server) as sent:
        page = browser.see(f"{page_of(tenant, workflow)}/compare")
    assert len(sent) <= 14, "\n\n".join(sent)
    assert page.root.all("svg", class_="graph")
    assert_light(page)


def test_only_those_who_may_are_led_to_a_rollback(shared: Tenant, orders: Json) -> None:
    path = f"{page_of(shared, orders)}/compare?from=1&to=3"
    viewer, editor = (signed_in(shared, each).see(path) for each in (shared.vera, shared.ben))
    assert "Roll back to v1…" in editor.words
    assert "Roll back to v1" not in viewer.words
    assert "Your role, viewer, reads and changes nothing" in viewer.words


def test_unknown_versions_and_other_tenants_are_the_same_not_found(
    shared: Tenant, orders: Json, stranger: Tenant
) -> None:
    browser = signed_in(stranger, stranger.ana)
    assert signed_in(shared, shared.vera).see(f"{page_of(shared, orders)}/compare?from=99", 404)
    foreign = browser.see(f"{page_of(shared, orders)}/compare", 404)
    assert "Orders" not in foreign.source
    borrowed = page_of(shared, orders).replace(shared.subscription_id, stranger.subscription_id)
    assert "Orders" not in browser.see(f"{borrowed}/compare", 404).source


def test_a_deleted_resource_is_compared_without_a_way_to_roll_back(tenant: Tenant) -> None:
    workflow = graphed(tenant, graph("a"), graph("b"))
    tenant.remove(workflow)
    page = signed_in(tenant, tenant.ana).see(f"{page_of(tenant, workflow)}/compare?from=1&to=3")
    assert "Roll back" not in page.words
