"""Budgets of the pages: weight, elements, statements, and the files that all of them load."""

import gzip

import pytest

from service.web.static_files import FILES
from tests.support.statements import counted
from tests.support.story import Story
from tests.support.web import assert_light
from tests.web.pages import PAGES, Browsers, Listed

MOST_PACKED_BYTES = 20 * 1024
MOST_STATEMENTS = 14
MOST_STATIC_BYTES = 30 * 1024
MOST_STATIC_FILES = 4
# Files that a page of this name loads beside those of all pages.
MORE_FILES = {"tail": 2}


@pytest.fixture(scope="module")
def readers(story: Story) -> Browsers:
    return Browsers(story)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.sampled(30)
def test_a_page_keeps_its_budgets(story: Story, readers: Browsers, page: Listed) -> None:
    readers.look_at(page)
    with counted(story.server) as statements:
        found = readers.look_at(page)
    assert_light(found)
    assert len(gzip.compress(found.source.encode(), 5)) <= MOST_PACKED_BYTES
    # A form takes its own page, and then the page of its refusal.
    most = page.more + MOST_STATEMENTS * (1 if page.sent is None else 3)
    assert len(statements) <= most, "\n".join(statements)


def test_the_files_of_all_pages_are_few_and_light(readers: Browsers) -> None:
    everywhere: set[str] = set()
    for page in PAGES:
        elements = readers.look_at(page).root.all("script", "link", "img")
        named = {element.get("src") or element["href"] for element in elements}
        files = [file for file in FILES.values() if file.address in named]
        more = MORE_FILES.get(page.name.partition("-")[0], 0)
        assert len(files) == len(named) <= MOST_STATIC_FILES + more, page.name
        assert sum(len(file.packed) for file in files) <= MOST_STATIC_BYTES
        everywhere |= named
    assert len(everywhere) == MOST_STATIC_FILES + sum(MORE_FILES.values())
