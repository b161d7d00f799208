"""The README is short and true: tour, folders, scripts; `tests.project.test_pages` runs its blocks."""

import re

import pytest

from tests.support.project import ROOT

README = (ROOT / "README.md").read_text()
LONGEST_TOUR = 100


def test_the_tour_has_at_most_a_hundred_lines() -> None:
    tour = re.search(r"^## A tour\n(.*?)^## ", README, flags=re.DOTALL | re.MULTILINE)
    assert tour is not None
    assert len(tour[1].splitlines()) <= LONGEST_TOUR


@pytest.mark.parametrize("folder", ["service", "gitstore", "sql", "jobs", "docs/decisions", "script"])
def test_what_the_readme_names_is_there(folder: str) -> None:
    assert folder in README
    assert (ROOT / folder).is_dir()


def test_every_script_that_the_readme_names_can_be_run() -> None:
    named = sorted(set(re.findall(r"script/[a-z]+", README)))
    assert named
    assert [name for name in named if not (ROOT / name).stat().st_mode & 0o111] == []
