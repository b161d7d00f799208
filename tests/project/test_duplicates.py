"""No two places of the product share more than twelve lines of code without a reason."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.support.project import PACKAGES, ROOT

MOST = 12

# Pairs of files that may share more, each with its reason.
EXCEPTIONS: dict[tuple[str, str], str] = {}

Place = tuple[str, int]


def code_of(path: Path) -> list[tuple[int, str]]:
    """The numbered lines of code: no comments, docstrings, imports or signatures."""
    text = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import() | ast.ImportFrom():
                left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                left_out.update(range(node.lineno, node.body[0].lineno))
            case ast.Expr(value=ast.Constant(value=str())):
                left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = (re.sub(r"(^|\s+)#.*$", "", line).strip() for line in text.splitlines())
    return [(number, line) for number, line in enumerate(lines, 1) if line and number not in left_out]


def shared() -> dict[tuple[str, str], tuple[Place, Place]]:
    """The first place that two files share, by the names of the two."""
    places: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name, code = str(path.relative_to(ROOT)), code_of(path)
            for start in range(len(code) - MOST):
                window = code[start : start + MOST + 1]
                places[tuple(line for _, line in window)].append((name, window[0][0]))
    found: dict[tuple[str, str], tuple[Place, Place]] = {}
    for first, *others in places.values():
        for other in others:
            found.setdefault((first[0], other[0]), (first, other))
    return found


def test_no_two_places_share_more_than_twelve_lines() -> None:
    found = shared()
    unexplained = {pair: places for pair, places in found.items() if pair not in EXCEPTIONS}
    assert unexplained == {}
    assert set(EXCEPTIONS) <= set(found), "an exception is no longer needed"
