"""Pages that roll a folder, a workspace or everything back to a moment."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from service.runtime.metrics import BATCH_SIZE
from tests.support.api import Json, Tenant, ok
from tests.support.compared_pages import deed, graph, graphed, signed_in
from tests.support.group_commits import held, until_taken
from tests.support.waiting import until
from tests.support.web import Browser, Page, page_of

HOSTILE = '"><script>alert(1)</script>😀'


class Story:
    """Two workflows of a job that were broken after a moment, and one that is newer."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.orders = graphed(tenant, graph("read", "load"), name="Orders")
        self.stock = graphed(tenant, {"retries": 2}, name="Stock")
        self.moment = datetime.now(UTC)
        self.commit = tenant.main()
        tenant.save(self.orders, graph("load"))
        tenant.save(self.stock, {"retries": 0})
        self.newer = graphed(tenant, name="Newer")

    @property
    def folder(self) -> str:
        return f"folders/{self.tenant.folder_id}"

    def shown(self, browser: Browser, root: str | None = None, to: str | None = None) -> Page:
        root = self.folder if root is None else root
        return browser.see(f"{self.path}?to={to or self.commit}" + (f"&root={root}" if root else ""))

    @property
    def path(self) -> str:
        return f"/s/{self.tenant.subscription_id}/roll-back"

    def number(self, workflow: Json) -> int:
        return int(ok(self.tenant.ana.get(self.tenant.at(workflow)))["current_version"])


def planned() -> int:
    """Number of changes that the committer has planned, previews among them."""
    return int(next(s.value for m in BATCH_SIZE.collect() for s in m.samples if s.name.endswith("_sum")))


def test_a_form_that_was_made_by_hand_is_told_what_is_wrong(story: Story, ben: Browser) -> None:
    for to, told, status in (
        ("2999-01-01T00:00:00Z", "This moment is yet to come", 422),
        ("nothing", "This is neither a time nor a commit id", 422),
        ("abcdef1234", "has no commit abcdef1234", 404),
    ):
        page = ben.post(story.path, to=to, seen="x")
        assert (page.status, page.heading) == (status, "Roll back to a moment")
        assert told in page.root.one("div", role="alert").text
        assert "/to" not in page.words


@pytest.fixture
def story(tenant: Tenant) -> Story:
    return Story(tenant)


@pytest.fixture
def ben(tenant: Tenant) -> Browser:
    return signed_in(tenant, tenant.ben)


def test_without_a_moment_the_page_asks_for_one(story: Story, ben: Browser) -> None:
    page = ben.see(f"{story.path}?root={story.folder}")
    assert page.heading == "Roll back to a moment"
    assert "As it was at (UTC)" in page.words
    shown = ben.send(next(each for each in page.forms if "commit" in each.fields), commit=story.commit)
    assert shown.path == f"{story.path}?root={story.folder.replace('/', '%2F')}&to={story.commit}"


def choices(page: Page) -> dict[str, str]:
    """Addresses of the moments that the page offers, by what happened then."""
    rows = page.root.one("table").all("tr")[1:]
    return {row.all("td")[1].text: row.all("a")[0]["href"] for row in rows if row.all("a")}


def test_the_latest_saves_tags_and_publications_are_offered(story: Story, ben: Browser) -> None:
    tenant = story.tenant
    ok(tenant.ana.put(f"{tenant.at(story.orders)}/versions/2/tag", {"tag": "release-1"}))
    ok(tenant.ana.post(f"{tenant.at(story.stock)}/versions/3/publish"))
    tenant.save(story.orders, graph("read"), description="an experiment")
    page = ben.see(f"{story.path}?root={story.folder}")
    found = choices(page)
    assert "release-1 set on Orders v2 by ana" in found
    assert "Stock v3 published by ana" in found
    assert "Orders v4 saved by ana" in page.words
    assert "an experiment" in page.words
    # Nothing was saved since: a rollback to it would change nothing.
    assert not [each for each in found if "Orders v4 saved" in each]
    foreseen = ben.see(found["Stock v2 saved by ana"])
    assert foreseen.path.endswith(f"to={story.commit}")
    assert "2 resources" in foreseen.words
    assert "1 resource" in ben.see(found["Stock v3 published by ana"]).words


def test_moments_are_those_of_the_place(story: Story, ben: Browser) -> None:
    tenant, here = story.tenant, f"{story.path}?root={story.folder}"
    tenant.begin_another_tree()
    elsewhere = graphed(tenant, graph("read"), name="Elsewhere")
    assert "Elsewhere" not in ben.see(here).words
    assert "Elsewhere" in ben.see(story.path).words
    tenant.remove(elsewhere)
    tenant.remove(elsewhere, permanent=True)
    assert "Elsewhere" not in ben.see(story.path).words


def test_versions_of_one_commit_are_one_moment(story: Story, ben: Browser) -> None:
    page = ben.see(f"{story.path}?root={story.folder}")
    before = len(page.root.one("table").all("tr"))
    done = ben.send(deed(story.shown(ben)))
    assert "Rolled back." in done.words
    page = ben.see(f"{story.path}?root={story.folder}")
    assert "v4 and others saved by ben" in page.words
    assert len(page.root.one("table").all("tr")) == before + 1


def test_hostile_text_of_moments_is_inert(story: Story, ben: Browser) -> None:
    story.tenant.save(story.orders, graph("read"), description=HOSTILE)
    page = ben.see(story.path)
    assert HOSTILE in page.words
    assert "<script>alert" not in page.source


def test_a_time_is_of_the_zone_of_the_reader(story: Story, ben: Browser) -> None:
    zone = ZoneInfo("Asia/Kolkata")
    ben.http.cookies.set("tz", zone.key)
    local = story.moment.astimezone(zone).replace(tzinfo=None)
    page = ben.get(f"{story.path}?root={story.folder}&at={local.isoformat()}")
    assert page.status == 303
    assert page.location.endswith(f"to={story.moment:%Y-%m-%dT%H%%3A%M%%3A%S.%f}Z")
    assert "2 resources" in ben.see(page.location).words


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("at=&commit=", "Choose a moment or a commit."),
        ("commit=xyz", "7 to 40 of the digits 0–9 and a–f"),
        ("at=2999-01-01T00:00", "yet to come"),
    ],
)
def test_the_page_says_what_is_wrong_with_a_moment(story: Story, ben: Browser, asked: str, said: str) -> None:
    assert said in ben.see(f"{story.path}?root={story.folder}&{asked}", 422).words


@pytest.mark.parametrize(
    "asked",
    [
        "at=yesterday",
        "commit=nothing",
        "to=1999",
        "at=2026-13-01T00:00",
        "to=0001-01-01T00:00:00%2B14:00",
        "at=2026-01-01T00:00&commit=abcdef0",
    ],
)
def test_what_is_no_moment_is_refused_in_place(story: Story, ben: Browser, asked: str) -> None:
    page = ben.see(f"{story.path}?root={story.folder}&{asked}", 422)
    assert page.heading == "Roll back to a moment"
    assert page.root.all(role="alert")


def test_the_preview_lists_what_would_change_as_the_api_does(story: Story, ben: Browser) -> None:
    tenant = story.tenant
    page = story.shown(ben)
    body = {"to": story.commit, "folder_id": tenant.folder_id, "dry_run": True}
    found = ok(tenant.ben.post(f"{tenant.path}/rollback", body))
    rows = page.root.one("table").all("tr")[1:]
    assert [row.all("td")[2].text for row in rows] == [
        f"v{each['from_version']} → v{each['to_version']}" for each in found["versions"]
    ]
    assert len(rows) == 2
    assert "1 resource made later" in page.words
    assert "Newer" in page.words
    for workflow in (story.orders, story.stock):
        compare = f"{page_of(tenant, workflow)}/compare?from=3&to=2"
        assert compare in page.links
        assert ben.see(compare).heading == "v3 → v2"
    assert [story.number(each) for each in (story.orders, story.stock)] == [3, 3]


def test_more_changes_than_a_page_lists_are_counted_and_all_rolled_back(
    story: Story, ben: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.web.moment_rollbacks.SHOWN", 1)
    page = story.shown(ben)
    assert len(page.root.one("table").all("tr")) == 2
    assert "the first 1 of 2" in page.words
    assert "Roll back 2 resources" in page.words
    # What was not listed counts as seen, too: a change of it is told.
    story.tenant.save(story.stock, {"retries": 9})
    assert ben.send(deed(page)).status == 412
    done = ben.send(deed(story.shown(ben)))
    assert "Rolled back. Each resource that changed has a new version." in done.words
    assert [story.number(each) for each in (story.orders, story.stock)] == [4, 5]


def test_a_rollback_changes_all_in_one_commit(story: Story, ben: Browser) -> None:
    form = deed(story.shown(ben))
    page = ben.send(form, comment="The import was wrong")
    assert "Rolled back. Each resource that changed has a new version." in page.words
    versions = [
        ok(story.tenant.ana.get(f"{story.tenant.at(each)}/versions/4"))
        for each in (story.orders, story.stock)
    ]
    assert len({each["git_commit_hash"] for each in versions}) == 1
    assert versions[1]["data"] == {"retries": 2}
    assert story.number(story.newer) == 1


def test_the_same_form_sent_twice_rolls_back_once(story: Story, ben: Browser) -> None:
    form = deed(story.shown(ben))
    first, second = (ben.send(form, follow=False) for _ in range(2))
    assert (first.status, second.status, first.location) == (303, 303, second.location)
    assert story.number(story.orders) == 4


def test_all_resources_of_a_subscription_are_rolled_back_without_a_root(story: Story, ben: Browser) -> None:
    page = story.shown(ben, "")
    assert "in the whole subscription" in page.words
    assert ben.send(deed(page)).path.startswith(f"/s/{story.tenant.subscription_id}/resources")
    assert story.number(story.stock) == 4


def test_a_workspace_is_a_root_too_and_a_job_is_none_as_in_the_api(story: Story, ben: Browser) -> None:
    assert "2 resources" in story.shown(ben, f"workspaces/{story.tenant.workspace_id}").words
    job = ben.see(f"{story.path}?root=jobs/{story.tenant.job_id}", 422)
    assert "A job goes back by its versions" in job.words


def test_the_tree_leads_who_may_write_to_the_rollback_of_all(story: Story, ben: Browser) -> None:
    tree = f"/s/{story.tenant.subscription_id}/resources"
    assert "All resources" in ben.see(ben.see(tree).link("Roll back to a moment…")).words
    assert "Roll back" not in signed_in(story.tenant, story.tenant.vera).see(tree).words


def test_an_unknown_commit_is_refused_in_place(story: Story, ben: Browser) -> None:
    asked = ben.see(f"{story.path}?root={story.folder}")
    page = ben.send(next(each for each in asked.forms if "commit" in each.fields), commit="abcdef0")
    assert (page.status, page.heading) == (404, "Roll back to a moment")
    again = next(each for each in page.forms if "commit" in each.fields)
    assert again.fields["commit"] == ["abcdef0"]
    assert page.root.all(role="alert")


def test_what_somebody_saved_meanwhile_is_shown_before_anything_is_done(story: Story, ben: Browser) -> None:
    form = deed(story.shown(ben))
    story.tenant.save(story.orders, graph("more"))
    before = planned()
    page = ben.send(form, comment="why")
    # The rollback that was refused, and one preview of now.
    assert (page.status, planned() - before) == (412, 2)
    assert "Nothing was rolled back" in page.words
    assert "Orders v4 by ana" in page.words
    assert story.number(story.orders) == 4
    again = deed(page)
    assert again.fields["comment"] == ["why"]
    assert ben.send(again).status == 200
    assert story.number(story.orders) == 5


def test_what_others_save_elsewhere_hinders_nobody(story: Story, ben: Browser) -> None:
    form = deed(story.shown(ben))
    story.tenant.save(story.newer, {"more": 1})
    story.tenant.begin_another_tree()
    graphed(story.tenant, graph("elsewhere"))
    first, second = (ben.send(form, follow=False) for _ in range(2))
    assert (first.status, second.status) == (303, 303)
    assert [story.number(each) for each in (story.orders, story.stock, story.newer)] == [4, 4, 2]


def test_a_preview_is_made_once_though_others_save_before_it(story: Story, ben: Browser) -> None:
    group = story.tenant.server.context.committer._group  # type: ignore[attr-defined]
    before = planned()
    with ThreadPoolExecutor(2) as pool:
        with held(story.tenant):
            saving = pool.submit(story.tenant.save, story.newer, {"more": 1})
            until_taken(group)
            looking = pool.submit(story.shown, ben)
            until(lambda: group._waiting == 1)
        saving.result()
        page = looking.result()
    assert planned() - before == 2
    form = deed(page)
    assert form.fields["seen"] == [story.tenant.main()]
    assert ben.send(form, follow=False).status == 303
    assert planned() - before == 3


def test_a_form_that_does_not_tell_what_it_showed_changes_nothing(story: Story, ben: Browser) -> None:
    form = deed(story.shown(ben))
    story.tenant.save(story.newer, {"more": 1})
    assert ben.send(form, shown=None, follow=False).status == 412
    assert ben.send(form, seen=None, shown=None, follow=False).status == 412
    assert ben.send(form, seen="0" * 40, shown=None, follow=False).status == 412
    assert story.number(story.orders) == 3


def test_check_outs_of_others_are_listed_with_their_ends(story: Story, ben: Browser) -> None:
    form = deed(story.shown(ben))
    story.tenant.check_out(story.stock, story.tenant.ana)
    page = ben.send(form, comment="a long reason")
    before = ben.see(f"{story.path}?to={story.commit}&root={story.folder}")
    assert "You can’t roll back now." in before.words
    assert page.status == 423
    for each in (page, before):
        assert each.heading == "1 resource checked out"
        assert [cell.text for cell in each.root.one("table").all("td")[:3]] == [
            "Stock workflow",
            "workflow",
            "ana",
        ]
    assert "a long reason" in page.words
    assert story.number(story.orders) == 3


def test_a_moment_at_which_all_was_as_now_leaves_nothing_to_do(story: Story, ben: Browser) -> None:
    page = story.shown(ben, to=story.tenant.main())
    assert "Nothing to roll back" in page.words
    assert not [each for each in page.forms if each.method == "POST" and each.action != "/sign-out"]
    before = ben.see(f"{story.path}?root={story.folder}&to=1999-01-01T00:00:00Z")
    assert "Nothing to roll back" in before.words


def test_deleted_resources_are_told_to_stay_deleted(story: Story, ben: Browser) -> None:
    story.tenant.remove(story.stock)
    page = story.shown(ben)
    assert "1 resource deleted since" in page.words
    assert "Roll back 1 resource" in page.words


def test_an_unknown_commit_is_not_found(story: Story, ben: Browser) -> None:
    assert ben.see(f"{story.path}?root={story.folder}&to=abcdef0123", 404)


def test_readers_may_not_and_another_tenant_finds_nothing(
    story: Story, stranger: Tenant, tenant: Tenant
) -> None:
    asked = f"?root={story.folder}&to={story.commit}"
    reader = signed_in(tenant, tenant.vera)
    assert reader.get(story.path + asked).status == 403
    assert reader.post(story.path, root=story.folder, to=story.commit).status == 403
    foreigner = signed_in(stranger, stranger.ana)
    own = f"/s/{stranger.subscription_id}/roll-back"
    for path in (story.path, own):
        assert foreigner.get(path + asked).status == 404
        assert foreigner.post(path, root=story.folder, to=story.commit).status == 404
    assert foreigner.get(f"{own}?to={story.commit}").status == 404
    assert story.number(story.orders) == 3


@pytest.mark.parametrize("root", ["folders", "folders/nobody", "things/1", "/", "folders/../.."])
def test_a_malformed_root_is_not_found(story: Story, ben: Browser, root: str) -> None:
    assert ben.see(f"{story.path}?root={root}", 404)


def test_hostile_names_are_inert(story: Story, ben: Browser) -> None:
    story.tenant.amend(story.orders, name=f"x{HOSTILE}")
    page = story.shown(ben)
    assert "<script>alert" not in page.source
    assert '"><script>alert(1)</script>' in page.words
