"""Text that means harm, or is hard to show, in every field of every page: it is inert, readable, and fits."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ViewportSize

from tests.support.api import Server
from tests.support.chromium import CHROMIUM, WIDTHS, chromium
from tests.support.hostile_story import MARKUP, hostile
from tests.support.story import Story
from tests.web.pages import PAGES, SEEN, Browsers, Listed
from tests.web.windows import Windows, windows

_SHOWN = [page for page in PAGES if page.right is not None and page.status == 200]

# Pages with text of people or of documents, whose every character may be there; names have fewer.
_REVEALING = {
    "history",
    "version",
    "compare",
    "publish",
    "release",
    "check-outs",
    "deletion",
    "purge",
    "hold",
    "history-of-holder",
    "check-out-of-holder",
    "history-of-deleted",
    "history-of-purged",
    "deletion-of-restored",
    "version-closed",
    "second-history",
    "second-comments",
    "publish-stale",
}


@pytest.fixture(scope="module")
def harm(lone_server: Server) -> Story:
    return hostile(lone_server)


@pytest.fixture(scope="module")
def plain(harm: Story) -> Browsers:
    return Browsers(harm, **{"user-agent": MARKUP})


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def narrow(browser: Chromium, harm: Story) -> Iterator[Windows]:
    size: ViewportSize = {"width": WIDTHS[1], "height": 900}
    with windows(browser, harm, viewport=size) as found:
        yield found


@pytest.mark.parametrize("page", _SHOWN, ids=lambda page: page.name)
@pytest.mark.sampled(24)
def test_text_is_shown_as_text(plain: Browsers, page: Listed) -> None:
    found = plain.look_at(page)
    assert "<script>alert" not in found.source
    assert "<img src=x" not in found.source
    # Characters that turn or hide text are named, and so they turn and hide nothing.
    assert not {"\u202e", "\u202c", "\u200b"} & set(found.words)
    assert page.name not in _REVEALING or "⟨U+202E⟩" in found.words
    # The name of the subscription is on each of its pages.
    if page.is_of_tenant:
        assert "<script>alert(1)</script>" in found.words


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
@pytest.mark.parametrize("page", [page for page in _SHOWN if page in SEEN], ids=lambda page: page.name)
@pytest.mark.sampled(10)
def test_text_is_inert_and_fits_a_narrow_window(narrow: Windows, page: Listed) -> None:
    reader = narrow.look_at(page)
    assert reader.overflow() == []
    reader.check()
