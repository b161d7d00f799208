"""Each page for each role, of its own subscription and of another's; and every link of every page."""

import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest

from tests.support.api import Tenant
from tests.support.states import BUSY, CLOSED, NEW
from tests.support.story import ROLES, Story
from tests.support.web import Browser, Page
from tests.web.pages import LEADING, PAGES, Browsers, Listed, routes

DEPTH = 4
# Pages that a crawl of one role visits at most; the story has fewer.
MOST_PAGES = 600
# Each combination of filters of a log has an address: so many of each log are looked at.
LOGS = ("/audit", "/changes", "/server", "/executions", "/executions/", "/figures")
MOST_OF_A_LOG = 8
# Pages that have an address: a refused form is an answer to what was sent.
ADDRESSES = [page for page in PAGES if page.sent is None]
# Addresses beside the pages, which the crawler does not follow.
_OTHER_TIME = re.compile(r"[?&]range=(24h|30d|90d)$")
_ELSEWHERE = ("/docs", "/openapi.json", "/v1/", "/git/")


@pytest.fixture(scope="module")
def readers(story: Story) -> Browsers:
    """A signed-in browser for each role."""
    return Browsers(story)


def test_every_page_of_the_server_is_in_the_list() -> None:
    known = {page.route for page in PAGES} | LEADING
    assert routes() == known


@pytest.mark.parametrize("page", ADDRESSES, ids=lambda page: page.name)
@pytest.mark.sampled(30)
def test_a_page_is_for_those_who_have_its_right(story: Story, readers: Browsers, page: Listed) -> None:
    for role in story.of(page.place).roles:
        found = readers.of(page.place, role).get(page.path(story))
        expected = page.status_for(role)
        assert found.status == expected, (role, page.name, found.words)
        if expected == 403:
            assert found.heading
            assert "role" in found.words, role


@pytest.mark.parametrize("page", ADDRESSES, ids=lambda page: page.name)
@pytest.mark.sampled(24)
def test_nobody_is_led_to_the_sign_in_and_back(story: Story, page: Listed) -> None:
    nobody = Browser(story.server)
    found = nobody.get(page.path(story))
    if page.right is None:
        assert found.status == 200
        return
    assert found.status == 303
    assert found.location.startswith("/sign-in?next=")
    form = nobody.see(found.location).form("/sign-in")
    back = nobody.send(form, key=story.of(page.place).caller(page.reader()).key, follow=False)
    assert back.status == 303
    assert nobody.get(back.location).status == page.status
    # A key has so many sessions, of which the oldest ends: those of the readers stay.
    assert nobody.post("/sign-out").status == 303


@pytest.mark.parametrize("page", [each for each in PAGES if each.sent], ids=lambda page: page.name)
def test_a_refused_form_says_why_without_words_of_programs(readers: Browsers, page: Listed) -> None:
    found = readers.look_at(page)
    (told,) = found.root.all(role="alert")
    assert not re.search("Field required|(Input|String|Value) should|If-Match", told.text)


def test_another_tenants_pages_are_the_page_of_what_is_not_there(story: Story) -> None:
    stranger = Browser(story.server).sign_in(Tenant(story.server, "stranger").ana)
    nothing = stranger.see("/s/019a0000-0000-7000-8000-000000000000/resources", 404)
    for page in ADDRESSES:
        if page.is_of_tenant:
            found = stranger.see(page.path(story), 404)
            assert _without_id(found) == _without_id(nothing), page.name


def _without_id(page: Page) -> str:
    words = page.words.replace(page.headers["x-request-id"], "")
    return re.sub(r"printed by .*? ·", "", words)


@pytest.mark.parametrize(
    ("place", "role", "depth"),
    [
        *(("", role, DEPTH) for role in ROLES),
        *((place, role, DEPTH) for place, role in ((NEW, "admin"), (CLOSED, "admin"), (CLOSED, "viewer"))),
        # Its lists lead to many pages of one kind.
        (BUSY, "admin", 3),
    ],
)
@pytest.mark.sampled(3)
def test_no_link_leads_to_an_error(readers: Browsers, place: str, role: str, depth: int) -> None:
    reader = readers.of(place, role)
    seen: dict[str, str] = {}
    of_logs: Counter[str] = Counter()
    level = [("/", "the address bar")]
    for _ in range(depth + 1):
        below: list[tuple[str, str]] = []
        for path, origin in level:
            page_of_log = _log_of(path)
            if path in seen or of_logs[page_of_log] >= MOST_OF_A_LOG:
                continue
            of_logs[page_of_log] += page_of_log.endswith(LOGS)
            assert len(seen) < MOST_PAGES, role
            seen[path] = origin
            page = reader.get(path)
            if page.status == 303:
                below.append((_clean(urljoin(path, page.location)), path))
                continue
            assert page.status == 200, (role, path, origin, page.words)
            if page.headers["content-type"].startswith("text/html"):
                below += [(each, path) for each in _addresses(page, path)]
        level = below
    assert len(seen) > 5


def _addresses(page: Page, path: str) -> Iterator[str]:
    """Paths of this server that a page names."""
    for element in page.root.elements():
        for name in ("href", "src", "hx-get"):
            given = element.get(name)
            # Pages of figures link to themselves for other times.
            if given is None or given.startswith(("#", "data:")) or _OTHER_TIME.search(given):
                continue
            parts = urlsplit(given)
            assert not parts.netloc, (path, given)
            address = _clean(urljoin(path, given))
            if not address.startswith(_ELSEWHERE):
                yield address


def _log_of(path: str) -> str:
    """Return the page of an address: all executions are one, and so are all times of the overview."""
    page, _, query = path.partition("?")
    before, found, _ = page.partition("/executions/")
    return f"{page}/figures" if query and page.count("/") == 2 else before + found


def _clean(address: str) -> str:
    return urldefrag(address).url
