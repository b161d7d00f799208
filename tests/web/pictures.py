"""Pictures of all pages, in both themes and widths; `script/test --pictures DIR` takes them.

With `--only NAME` only the pictures of some pages are made.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.support.chromium import THEMES, WIDTHS, chromium
from tests.support.databases import Cluster, cluster_url
from tests.support.serving import serving
from tests.support.states import with_others
from tests.support.story import Story, told
from tests.web.pages import PAGES
from tests.web.windows import windows

ZONE = "Europe/Berlin"
# A longer page is cut: nobody looks at the end of it.
MOST_PIXELS = 2400


def take(story: Story, folder: Path, only: list[str]) -> int:
    """Take the pictures; returns how many."""
    pages = [page for page in PAGES if not only or page.name in only]
    taken = 0
    with chromium() as browser, windows(browser, story, timezone_id=ZONE) as people:
        for page in pages:
            reader = people.look_at(page)
            for width in WIDTHS:
                reader.set_width(width)
                for theme in THEMES:
                    reader.set_theme(theme)
                    height = min(reader.page.evaluate("document.documentElement.scrollHeight"), MOST_PIXELS)
                    reader.page.screenshot(
                        path=folder / f"{page.name}-{theme}-{width}.png",
                        clip={"x": 0, "y": 0, "width": width, "height": max(height, 600)},
                        full_page=True,
                    )
                    taken += 1
    return taken


def main() -> int:
    """Take the pictures on a server with the demo's story."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(cluster_url(), "pictures")
    try:
        with (
            tempfile.TemporaryDirectory() as name,
            serving(cluster, Path(name)) as server,
            ExitStack() as hours,
        ):

            def later(line: str) -> None:
                # Each step of the story is a while after the one before: all together less than the two hours
                # by which its week of executions is shorter than what the server takes.
                if line and not line.startswith(" "):
                    hours.enter_context(server.clock.moved(minutes=4))

            story = with_others(told(server, later))
            taken = take(story, options.folder, options.only)
    finally:
        cluster.close()
    sys.stdout.write(f"{taken} pictures in {options.folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
