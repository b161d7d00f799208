"""Fixtures of the pages: the demo's story, told once a file."""

import pytest

from tests.support.api import Server
from tests.support.following import sequence
from tests.support.states import with_others
from tests.support.story import Story, told


@pytest.fixture(scope="module")
def story(lone_server: Server) -> Story:
    """The demo's story with all other states, on a server of the file's own; its logs can be followed."""
    story = with_others(told(lone_server))
    sequence(lone_server)
    return story
