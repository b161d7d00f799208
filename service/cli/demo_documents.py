"""Documents of the demo's workflows."""

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

Document = dict[str, Any]
Say = Callable[[str], None]


def document(name: str) -> Document:
    """Read a document of the demo."""
    file = resources.files("service.cli").joinpath("demo_workflows", f"{name}.json")
    text = file.read_text(encoding="utf-8")
    found: Document = json.loads(text)
    return found


def node(definition: Document, node_id: str) -> Document:
    """Return the data of a node."""
    data: Document = next(each["data"] for each in definition["nodes"] if each["id"] == node_id)
    return data
