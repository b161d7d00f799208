"""The live tail in a real browser: lines come, wait while it is paused, and go on after each interruption."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Locator, Page

from service.http.tails import Tails
from tests.support.api import Server, ok
from tests.support.chromium import CHROMIUM, Reader, chromium, reading
from tests.support.following import sequencing
from tests.support.story import Story

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]


@pytest.fixture(scope="module")
def browser(lone_server: Server, story: Story) -> Iterator[Browser]:
    with sequencing(lone_server), chromium() as found:
        assert story
        yield found


@pytest.fixture
def reader(browser: Browser, story: Story) -> Iterator[Reader]:
    with reading(browser, story) as found:
        yield found.sign_in("auditor")


def send(story: Story, text: str, level: str = "INFO") -> None:
    path = story.path("/v1/subscriptions/{subscription}/execution-logs")
    about = {"execution_id": "seen", "execution_type": "workflow"}
    ok(story.caller("admin").post(path, [{**about, "log_level": level, "log_message": text}]), 201)


def open_tail(reader: Reader, query: str = "") -> Page:
    reader.go(reader.story.path("{base}/executions/tail") + query)
    said(reader.page, "Live.")
    return reader.page


def said(page: Page, words: str) -> None:
    page.locator("#tail-state", has_text=words).wait_for(timeout=15_000)


def line(page: Page, text: str) -> Locator:
    return page.locator("#lines > li", has_text=text)


def test_lines_come_and_wait_while_the_tail_is_paused(reader: Reader) -> None:
    page = open_tail(reader)
    send(reader.story, "first <b>line</b>")
    line(page, "first <b>line</b>").wait_for(timeout=3_000)
    assert "first" in page.locator("#lines > li").first.inner_text()
    page.get_by_role("button", name="Pause").click()
    for number in range(3):
        send(reader.story, f"waits {number}.")
    said(page, "Paused: 3 lines wait.")
    assert line(page, "waits").count() == 0
    page.get_by_role("button", name="Continue").click()
    said(page, "Live.")
    shown = line(page, "waits").all_inner_texts()
    assert [next(n for n in range(3) if f"waits {n}." in text) for text in shown] == [2, 1, 0]
    send(reader.story, "and goes on")
    line(page, "and goes on").wait_for(timeout=3_000)
    assert line(page, "waits").count() == 3
    reader.check()


def test_a_level_is_chosen(reader: Reader) -> None:
    page = open_tail(reader)
    page.get_by_label("Level").select_option("error")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/tail?level=error")
    said(page, "Live.")
    send(reader.story, "not so bad", "WARNING")
    send(reader.story, "quite bad", "ERROR")
    line(page, "quite bad").wait_for(timeout=3_000)
    assert line(page, "not so bad").count() == 0
    reader.check()


def test_a_stream_outlasts_the_time_of_other_requests(reader: Reader) -> None:
    def hasty(route: object) -> None:
        answer = route.fetch()  # type: ignore[attr-defined]
        body = answer.text().replace('"defaultTimeout": 20000', '"defaultTimeout": 1500')
        assert '"defaultTimeout": 1500' in body
        route.fulfill(response=answer, body=body)  # type: ignore[attr-defined]

    reader.context.route("**/executions/tail", hasty)
    asked: list[str] = []
    reader.page.on("request", lambda each: asked.append(each.url))
    page = open_tail(reader)
    page.wait_for_timeout(4_000)
    send(reader.story, "still there")
    line(page, "still there").wait_for(timeout=3_000)
    assert sum("/tail/lines" in each for each in asked) == 1
    reader.check()


def test_a_lost_connection_is_taken_up_without_a_gap(reader: Reader) -> None:
    page = open_tail(reader)
    send(reader.story, "before the loss")
    line(page, "before the loss").wait_for(timeout=3_000)
    tails = reader.story.server.app.state.tails
    reader.story.server.app.state.tails = Tails(tails.limits)
    # As a process that stops does it; the loop hears of it at the next look.
    tails.is_ending = True
    send(reader.story, "during the loss")
    line(page, "during the loss").wait_for(timeout=10_000)
    send(reader.story, "after the loss")
    line(page, "after the loss").wait_for(timeout=3_000)
    for text in ("before", "during", "after"):
        assert line(page, f"{text} the loss").count() == 1
    reader.check()


def test_a_tail_ends_after_its_time_and_goes_on_by_a_button(reader: Reader) -> None:
    state = reader.story.server.app.state
    usual = state.tails
    state.tails = Tails(replace(usual.limits, longest=1.5))
    page = open_tail(reader)
    said(page, "has ended")
    state.tails = usual
    send(reader.story, "in between")
    page.wait_for_timeout(1_500)
    assert line(page, "in between").count() == 0
    page.get_by_role("button", name="Go on").click()
    line(page, "in between").wait_for(timeout=3_000)
    said(page, "Live.")
    assert line(page, "in between").count() == 1
    reader.check()


def test_a_stream_that_does_not_begin_is_told_and_tried_again(reader: Reader) -> None:
    reader.context.route("**/tail/lines?**", lambda route: route.abort())
    reader.go(reader.story.path("{base}/executions/tail"))
    said(reader.page, "The server did not answer.")
    assert reader.page.locator("#lines > p").count() == 0
    reader.context.unroute("**/tail/lines?**")
    reader.page.get_by_role("button", name="Go on").click()
    said(reader.page, "Live.")


def test_a_fourth_tail_is_refused_in_its_place(reader: Reader) -> None:
    path = reader.story.path("{base}/executions/tail")
    for _ in range(3):
        page = reader.context.new_page()
        page.goto(reader.story.server.url + path)
        said(page, "Live.")
    reader.go(path)
    said(reader.page, "You follow 3 tails already")
    reader.page.get_by_role("button", name="Go on").wait_for()
    reader.context.pages[1].close()
    reader.page.wait_for_timeout(500)
    reader.page.get_by_role("button", name="Go on").click()
    said(reader.page, "Live.")
    assert reader.page.locator("#lines > li").count() > 0


def test_a_signed_out_reader_is_led_to_the_sign_in_and_back(reader: Reader) -> None:
    page = open_tail(reader)
    other = reader.context.new_page()
    other.goto(reader.story.server.url + reader.story.path("{base}/executions"))
    other.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/sign-in?**", timeout=15_000)
    assert "tail" in page.url
    assert "lines" not in page.url


def test_a_hidden_page_closes_its_stream_and_takes_it_up(reader: Reader) -> None:
    page = open_tail(reader)
    hide = "is => { Object.defineProperty(document, 'hidden', {value: is, configurable: true});"
    tails = reader.story.server.app.state.tails
    page.evaluate(f"{hide} document.dispatchEvent(new Event('visibilitychange')); }}", True)
    for _ in range(50):
        if not tails.count:
            break
        page.wait_for_timeout(100)
    assert tails.count == 0
    send(reader.story, "while it was hidden")
    page.wait_for_timeout(1_500)
    assert line(page, "while it was hidden").count() == 0
    page.evaluate(f"{hide} document.dispatchEvent(new Event('visibilitychange')); }}", False)
    line(page, "while it was hidden").wait_for(timeout=5_000)
    assert line(page, "while it was hidden").count() == 1
    reader.check()


def test_the_page_keeps_no_more_than_so_many_lines(reader: Reader) -> None:
    page = open_tail(reader)
    path = reader.story.path("/v1/subscriptions/{subscription}/execution-logs")
    about = {"execution_id": "many", "execution_type": "workflow", "log_level": "INFO"}
    events = [{**about, "log_message": f"many {number}."} for number in range(700)]
    page.get_by_role("button", name="Pause").click()
    ok(reader.story.caller("admin").post(path, events), 201)
    said(page, "the last of 700 lines")
    page.get_by_role("button", name="Continue").click()
    assert page.locator("#lines > li").count() == 500
    assert "many 699." in page.locator("#lines > li").first.inner_text()
    reader.check()


def test_without_scripts_the_last_lines_are_there(browser: Browser, story: Story) -> None:
    send(story, "for all browsers")
    with reading(browser, story, scripts=False) as reader:
        reader.sign_in("auditor")
        reader.go(story.path("{base}/executions/tail"))
        send(story, "a moment later")
        reader.page.wait_for_timeout(500)
        reader.page.get_by_role("link", name="Newer").click()
        line(reader.page, "a moment later").wait_for(timeout=3_000)
        assert not reader.page.locator("#tail-pause").is_visible()
