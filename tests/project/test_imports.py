"""Rules about imports that no linter knows."""

import ast
from pathlib import Path

from tests.support.project import ROOT


def imported(path: Path) -> set[str]:
    """The modules that a file imports, and the names it takes from them as modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def is_of_pytest(module: str) -> bool:
    """True for the modules that pytest collects or loads itself."""
    last = module.rpartition(".")[2]
    return module.startswith("tests.") and (last.startswith("test_") or last == "conftest")


def test_nothing_imports_from_a_test() -> None:
    """Tests and programs share helpers by `tests.support`, or by the models and stages beside the tests."""
    files = [path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in files
        if (wrong := sorted(name for name in imported(path) if is_of_pytest(name)))
    }
    assert found == {}
