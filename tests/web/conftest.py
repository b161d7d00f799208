"""Fixtures of the pages: the demo's story, told once a file."""

import pytest

from tests.support.api import Server
from tests.support.story import Story, told


@pytest.fixture(scope="module")
def story(lone_server: Server) -> Story:
    """The demo's story on a server of the file's own."""
    return told(lone_server)
