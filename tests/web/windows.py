"""Windows of a browser in which people look at the pages of a story."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from playwright.sync_api import Browser

from tests.support.chromium import Reader, reading
from tests.support.story import Story
from tests.web.pages import Listed


class Windows:
    """A window for each subscription and role, opened and signed in where a page needs it first."""

    def __init__(self, browser: Browser, story: Story, stack: ExitStack, **options: Any) -> None:
        self._browser = browser
        self._story = story
        self._stack = stack
        self._options = options
        self._readers: dict[tuple[str, str | None], Reader] = {}

    def look_at(self, page: Listed) -> Reader:
        """Open a page in the window of somebody who sees most of it, and send its form where it has one."""
        reader = self._reader(page.place, None if page.right is None else page.reader())
        reader.wrong.clear()
        status = reader.go(page.path(self._story))
        assert status == page.status, page.name
        if page.sent is not None:
            status = reader.send(*page.sent.filled(self._story.of(page.place)))
            assert status == page.last_status, page.name
        if page.last_status != 200:
            # The browser itself reports the status of a page of an error.
            reader.wrong = [each for each in reader.wrong if "status of 4" not in each]
        return reader

    def _reader(self, place: str, role: str | None) -> Reader:
        found = self._readers.get((place, role))
        if found is None:
            window = reading(self._browser, self._story.of(place), **self._options)
            found = self._readers[place, role] = self._stack.enter_context(window)
            if role is not None:
                found.sign_in(role)
        return found


@contextmanager
def windows(browser: Browser, story: Story, **options: Any) -> Iterator[Windows]:
    """Keep windows open until the block ends."""
    with ExitStack() as stack:
        yield Windows(browser, story, stack, **options)
