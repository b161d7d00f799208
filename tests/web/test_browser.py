"""A real browser: people who sign in, compare and roll back, and every page in each theme and width."""

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.support.api import Server, ok
from tests.support.chromium import CHROMIUM, THEMES, WIDTHS, Reader, chromium, reading
from tests.support.project import ROOT
from tests.support.story import Story
from tests.web.pages import PAGES, SEEN, USUAL, Listed
from tests.web.windows import Windows, windows

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]

ALL_RULES = {"rules": {"target-size": {"enabled": True}}}
MOST_TABS = 150


@pytest.fixture(scope="module")
def browser(lone_server: Server) -> Iterator[Browser]:
    assert lone_server.url
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def people(browser: Browser, story: Story) -> Iterator[Windows]:
    with windows(browser, story) as found:
        yield found


def test_axe_is_the_file_that_was_checked() -> None:
    folder = ROOT / "tests/vendor/axe-core"
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("listed", SEEN, ids=lambda page: page.name)
@pytest.mark.sampled(12)
def test_a_page_is_sound_in_both_themes_and_widths(people: Windows, listed: Listed) -> None:
    reader = people.look_at(listed)
    found = []
    for number, width in enumerate(WIDTHS):
        reader.set_width(width)
        found += [f"{width}: {each}" for each in reader.overflow()]
        # A rare state differs from its page in few elements: it is seen once in each theme and in each width.
        for theme in THEMES if listed in USUAL else (THEMES[number],):
            reader.set_theme(theme)
            found += [f"{width} {theme}: {each}" for each in reader.findings(**ALL_RULES)]
    assert found == []
    reader.check()


def test_on_a_narrow_page_a_table_is_read_without_scrolling_and_a_long_name_takes_two_lines(
    people: Windows,
) -> None:
    reader = people.look_at(next(page for page in PAGES if page.name == "moment"))
    reader.set_width(min(WIDTHS))
    boxes = reader.page.locator(".scroll")
    assert boxes.count() > 0
    assert boxes.evaluate_all("all => all.filter(box => box.scrollWidth > box.clientWidth).length") == 0
    lines = reader.page.locator(".tenant bdi").evaluate(
        "(name, text) => { name.textContent = text;"
        " return name.clientHeight / parseFloat(getComputedStyle(name).lineHeight); }",
        "Kiln works " * 23,
    )
    assert lines <= 2


def go_back_to_the_version_before(reader: Reader, workflow: str) -> None:
    """From a history to the comparison, and from there to the roll-back, by links and buttons."""
    page = reader.page
    reader.go(workflow)
    page.get_by_role("button", name="Compare", exact=False).first.click()
    page.wait_for_url("**/compare?**")
    page.get_by_role("link", name="Roll back", exact=False).first.click()
    page.wait_for_url("**/roll-back?**")
    page.get_by_label("Why", exact=False).fill("It was better before")
    page.locator("main form button.first").click()
    page.wait_for_url(lambda address: "/roll-back" not in address)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_person_compares_and_rolls_back(browser: Browser, story: Story, scripts: bool) -> None:
    workflow = story.path("{base}/{refund_approval}")
    at = story.path("/v1/subscriptions/{subscription}/{refund_approval}")
    before = ok(story.caller("admin").get(at))["current_version"]
    with reading(browser, story, scripts=scripts) as reader:
        reader.sign_in("editor")
        go_back_to_the_version_before(reader, workflow)
        if scripts:
            reader.check()
        now = ok(story.caller("admin").get(f"{at}/versions/current"))
        assert now["version_number"] == before + 1
        assert "It was better before" in reader.page.content()


def test_a_roll_back_of_what_is_not_current_any_more_is_shown_anew(browser: Browser, story: Story) -> None:
    at = story.path("/v1/subscriptions/{subscription}/{survey}")
    ana = story.caller("admin")
    data = ok(ana.get(f"{at}/versions/current"))["data"]
    ok(ana.post(f"{at}/versions", {"data": data | {"round": 2}}), 201)
    with reading(browser, story) as reader:
        reader.sign_in("editor")
        reader.go(story.path("{base}/{survey}/roll-back?to=1"))
        ok(ana.post(f"{at}/versions", {"data": data | {"round": 3}}), 201)
        reader.page.get_by_label("Why", exact=False).fill("The first round was better")
        with reader.page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            reader.page.locator("main form button.first").click()
        assert answered.value.status == 412
        assert "The first round was better" in reader.page.content()
        reader.page.wait_for_load_state()
        reader.page.locator("main form button.first").click()
        reader.page.wait_for_url(lambda address: "/roll-back" not in address)
    now = ok(ana.get(f"{at}/versions/current"))
    assert (now["version_number"], now["data"]) == (4, data)


def tab_to(page: Page, words: str) -> None:
    """Press Tab until the focus is on what has these words."""
    named = """() => {
        const at = document.activeElement;
        if (!at.matches("a, button, input, select, textarea, summary")) return "";
        return [at.innerText, at.value, at.getAttribute("aria-label"), at.labels?.[0]?.innerText].join(" ");
    }"""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if words in page.evaluate(named):
            return
    raise AssertionError(f"no Tab reaches {words!r} on {page.url}")


def test_all_is_done_by_keyboard_alone(browser: Browser, story: Story) -> None:
    at = story.path("/v1/subscriptions/{subscription}/{nightly_export}")
    before = ok(story.caller("admin").get(at))["current_version"]
    with reading(browser, story) as reader:
        page, keys = reader.page, reader.page.keyboard
        reader.go("/")
        keys.type(str(story.caller("editor").key))
        keys.press("Enter")
        page.wait_for_url("**/s/*")
        tab_to(page, "Resources")
        keys.press("Enter")
        page.wait_for_url("**/resources")
        keys.press("/")
        keys.type("nightly")
        keys.press("Enter")
        page.wait_for_url("**q=nightly**")
        tab_to(page, "Nightly export")
        keys.press("Enter")
        page.wait_for_url("**/workflows/**")
        tab_to(page, "Compare")
        keys.press("Enter")
        page.wait_for_url("**/compare?**")
        keys.press("n")
        first = page.evaluate("document.activeElement.outerHTML")
        assert page.evaluate("document.activeElement.matches('[data-stop]')")
        keys.press("p")
        assert page.evaluate("document.activeElement.matches('[data-stop]')"), first
        tab_to(page, "Roll back")
        keys.press("Enter")
        page.wait_for_url("**/roll-back?**")
        tab_to(page, "Why")
        keys.type("By keyboard")
        tab_to(page, "Roll back")
        keys.press("Enter")
        page.wait_for_url(lambda address: "/roll-back" not in address)
        reader.check()
    assert ok(story.caller("admin").get(at))["current_version"] == before + 1


def test_a_link_from_another_site_keeps_the_session_and_its_form_is_refused(
    browser: Browser, story: Story
) -> None:
    here = story.server.url + story.path("{base}/{order_etl}")
    form = f'<form method="post" action="{here}/check-out"><button>Send</button></form>'
    with reading(browser, story) as reader:
        reader.sign_in("editor")
        reader.context.route(
            "http://elsewhere.example/**",
            lambda route: route.fulfill(content_type="text/html", body=f'<a href="{here}">Look</a>{form}'),
        )
        reader.page.goto("http://elsewhere.example/")
        reader.page.click("a")
        reader.page.wait_for_url(here)
        assert reader.page.locator("h1").inner_text().startswith("Order ETL")
        reader.page.goto("http://elsewhere.example/")
        with reader.page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            reader.page.click("button")
        assert answered.value.status == 403


def test_a_wide_drawing_is_scrolled_to_what_changed(browser: Browser, story: Story) -> None:
    with reading(browser, story) as reader:
        reader.sign_in("viewer")
        reader.set_width(390)
        reader.go(story.path("{base}/{ticket_triage}/compare?from=1&to=2"))
        box = reader.page.locator(".graph-box")
        wide = box.evaluate("box => box.scrollWidth - box.clientWidth")
        assert wide > 300, "the change is out of sight at first"
        seen = """box => {
            const edges = each => each.getBoundingClientRect();
            const [view, node] = [edges(box), edges(box.querySelector(".node.added rect"))];
            return view.left <= node.left && node.right <= view.right;
        }"""
        assert box.evaluate("box => box.scrollLeft") > 0
        assert box.evaluate(seen)
        reader.check()


def drag_over_half(reader: Reader, *, told: str) -> None:
    """Drag over the middle of the first chart, which tells its figures under the pointer."""
    page = reader.page
    box = page.locator(".plot").first.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    assert told in page.locator(".tip").first.inner_text()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=4)
    with page.expect_navigation():
        page.mouse.up()


def test_a_drag_over_a_chart_chooses_its_time(browser: Browser, story: Story) -> None:
    with reading(browser, story) as reader:
        reader.sign_in("editor")
        reader.go(story.path("{base}"))
        drag_over_half(reader, told="Succeeded: ")
        asked = parse_qs(urlsplit(reader.page.url).query)
        assert set(asked) == {"since", "until"}
        since, until = (datetime.fromisoformat(asked[name][0]) for name in ("since", "until"))
        assert timedelta(days=3) < until - since < timedelta(days=4)
        shown = reader.page.locator(".chart").first.locator("tr[data-at]")
        assert shown.first.get_attribute("data-at") == asked["since"][0]
        last = shown.last.get_attribute("data-at")
        assert last is not None
        assert since < datetime.fromisoformat(last) < until
        reader.page.go_back()
        assert reader.page.url == reader.page.url.partition("?")[0]
        reader.check()


def test_an_audit_log_is_filtered_shared_zoomed_and_taken_as_a_file(browser: Browser, story: Story) -> None:
    with reading(browser, story) as reader, reading(browser, story) as another:
        reader.sign_in("auditor")
        page = reader.page
        reader.go(story.path("{base}/audit?range=90d"))
        page.locator(".facet a", has_text="CREATE").first.click()
        page.locator(".chip", has_text="CREATE").wait_for()
        # The form answers in place, and tells the address.
        page.get_by_label("User name").fill("ana")
        page.keyboard.press("Enter")
        page.locator(".chip", has_text="ana").wait_for()
        asked = {"range": ["90d"], "action": ["CREATE"], "username": ["ana"]}
        page.wait_for_url(lambda address: parse_qs(urlsplit(address).query) == asked)
        events = page.locator("details.event").count()
        assert events > 0
        shared = page.url
        page.locator(".chip", has_text="ana").click()
        page.wait_for_url(lambda address: "username" not in address)
        page.go_back()
        page.wait_for_url(shared)
        assert page.locator("details.event").count() == events

        another.sign_in("auditor")
        another.go(shared.removeprefix(story.server.url))
        assert another.page.locator("details.event").count() == events
        assert another.page.locator(".chip", has_text="ana").count() == 1

        drag_over_half(another, told="Success: ")
        zoomed = parse_qs(urlsplit(another.page.url).query)
        assert set(zoomed) == {"since", "until", "action", "username"}
        another.go(shared.removeprefix(story.server.url))
        with another.page.expect_download() as download:
            another.page.get_by_role("link", name="CSV", exact=True).click()
        rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(), newline="")))
        assert len(rows) >= events
        assert {(row["action"], row["username"]) for row in rows} == {("CREATE", "ana")}
        reader.check()
        another.check()


def test_a_branch_that_does_not_come_is_told_in_its_place(browser: Browser, story: Story) -> None:
    with reading(browser, story) as reader:
        reader.sign_in("viewer")
        reader.go(story.path("{base}/resources?under={kind_and_id_of_finance_operations}"))
        reader.context.route("**/resources?under=folder/**", lambda route: route.abort())
        reader.page.get_by_text("Pipelines", exact=True).click()
        told = reader.page.get_by_role("alert")
        told.wait_for()
        assert told.inner_text() == "The server did not answer. Load the page again."
        # The link that does the same without a script is still in that place.
        assert told.evaluate("told => told.parentElement.querySelectorAll('.branch > a').length") == 1


def test_figures_fit_wide_and_narrow_windows_and_paper(browser: Browser, story: Story) -> None:
    with reading(browser, story) as reader:
        reader.sign_in("operator")
        reader.set_width(260)
        reader.go("/platform")
        heading = reader.page.locator("h1")
        lines = "heading => heading.offsetHeight / parseFloat(getComputedStyle(heading).lineHeight)"
        assert heading.evaluate(lines) < 1.5
    with reading(browser, story) as reader:
        reader.sign_in("viewer")
        reader.set_width(1280)
        reader.go(story.path("{base}"))
        tile = reader.page.locator(".tile", has_text="Rows processed")
        number, spark = (tile.locator(each).bounding_box() for each in ("b", ".spark"))
        assert number is not None
        assert spark is not None
        assert number["x"] + number["width"] <= spark["x"]
        assert spark["y"] < number["y"] + number["height"]
        reader.page.emulate_media(media="print")
        times = reader.page.locator("main .printed").all_inner_texts()
        written = re.compile(r"From \d+ \w+ \d{4} [\d:]+ to \d+ \w+ \d{4} [\d:]+ \(.+\)")
        assert any(written.fullmatch(each) for each in times), times


def test_a_theme_is_kept(browser: Browser, story: Story) -> None:
    with reading(browser, story) as reader:
        reader.sign_in("viewer")
        button = reader.page.locator("[data-theme-next]:visible").first
        button.click()
        button.click()
        reader.go(story.path("{base}/resources"))
        assert reader.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert reader.page.locator("[data-theme-next]:visible").first.inner_text() == "Theme: dark"
        reader.check()


def test_a_history_is_printed(browser: Browser, story: Story, tmp_path: Path) -> None:
    with reading(browser, story) as reader:
        reader.sign_in("auditor")
        reader.go(story.path("{base}/{order_etl}"))
        reader.set_theme("dark")
        reader.page.emulate_media(media="print")
        # Ink is dark on paper in each theme.
        ink = reader.page.locator("h1").evaluate("heading => getComputedStyle(heading).color")
        assert ink == "rgb(28, 29, 31)"
        assert reader.page.locator(".printed").is_visible()
        assert not reader.page.locator(".side").is_visible()
        file = tmp_path / "history.pdf"
        reader.page.pdf(path=file, format="A4", print_background=True)
        content = file.read_bytes()
        assert content.startswith(b"%PDF")
        assert 1 <= content.count(b"/Type /Page\n") <= 5
