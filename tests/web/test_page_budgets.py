"""Budgets of the pages: weight, elements, statements, and the files that all of them load."""

import gzip

import pytest

from service.web.static_files import FILES
from tests.support.statements import counted
from tests.support.story import Story
from tests.support.web import Browser
from tests.web.pages import PAGES, Listed

MOST_BYTES = 150 * 1024
MOST_PACKED_BYTES = 20 * 1024
MOST_ELEMENTS = 3000
MOST_STATEMENTS = 14
MOST_STATIC_BYTES = 30 * 1024
MOST_STATIC_FILES = 4


@pytest.fixture(scope="module")
def readers(story: Story) -> dict[str, Browser]:
    return {role: Browser(story.server).sign_in(story.caller(role)) for role in ("admin", "operator")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_keeps_its_budgets(story: Story, readers: dict[str, Browser], page: Listed) -> None:
    reader, path = readers[page.reader()], story.path(page.pattern)
    reader.see(path, page.status)
    with counted(story.server) as statements:
        found = reader.see(path, page.status)
    raw = found.source.encode()
    assert len(raw) <= MOST_BYTES
    assert len(gzip.compress(raw, 5)) <= MOST_PACKED_BYTES
    assert sum(1 for _ in found.root.elements()) <= MOST_ELEMENTS
    assert len(statements) <= MOST_STATEMENTS, "\n".join(statements)


def test_the_files_of_all_pages_are_few_and_light(story: Story, readers: dict[str, Browser]) -> None:
    named: set[str] = set()
    for page in PAGES:
        found = readers[page.reader()].see(story.path(page.pattern), page.status)
        for element in found.root.all("script", "link", "img"):
            named.add(element.get("src") or element["href"])
    files = [file for file in FILES.values() if file.address in named]
    assert len(files) == len(named) <= MOST_STATIC_FILES
    assert sum(len(file.packed) for file in files) <= MOST_STATIC_BYTES
