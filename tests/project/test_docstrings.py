"""A docstring begins with a verb or a noun, and so names its subject."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import PACKAGES, ROOT

# The first line of an error's docstring is the title of its problem, and so part of the HTTP contract.
TITLES = ROOT / "service" / "domain" / "errors.py"
FOLDERS = (*PACKAGES, "bench", "tests")
WITHOUT_SUBJECT = {
    *("What", "Let", "Whether", "Who", "Whom", "Whose", "How", "Which", "When", "Where", "Why"),
    *("It", "That", "This", "Those", "These"),
}


def docstrings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_docstring_begins_without_a_subject(folder: str) -> None:
    files = sorted(set((ROOT / folder).rglob("*.py")) - {TITLES})
    found = [(file, text) for file in files for text in docstrings(file)]
    assert found
    assert [(str(file), text) for file, text in found if text.split()[0].strip(",:") in WITHOUT_SUBJECT] == []
