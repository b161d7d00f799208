"""One word, one meaning: no name of a class of the product stands for two classes."""

import ast
from collections import defaultdict

from tests.support.project import PACKAGES, ROOT

# Names that may stand for several classes, each with its reason.
EXCEPTIONS: dict[str, str] = {}


def classes() -> dict[str, list[str]]:
    """The places of each class name, without a leading underscore."""
    found = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name.lstrip("_")].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_no_class_name_of_the_product_stands_twice() -> None:
    several = {name: places for name, places in classes().items() if len(places) > 1}
    assert {name: places for name, places in several.items() if name not in EXCEPTIONS} == {}
    assert set(EXCEPTIONS) <= set(several), "an exception is no longer needed"
