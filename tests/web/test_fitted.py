"""Differences cut to the room of a page, whatever the documents are."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gitstore.read import text_diff
from service.web import differences, text_lines
from service.web.fitted import ELEMENTS, SIZE, Fitted, fitted
from tests.support.api import Json
from tests.support.compared_pages import graph
from tests.support.html import parsed
from tests.support.workflows import rendered

# Cards, headings and the legend, which every comparison has.
FRAME_ELEMENTS = 60
FRAME_SIZE = 6 * 1024
QUOTES = "\"'<&>" * 60


def snapshot(definition: Json) -> bytes:
    return orjson.dumps(
        {"definition": definition, "description": None, "name": "x", "parent_id": None},
        option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS,
    )


def of(old: Json, new: Json) -> Fitted:
    texts = snapshot(old), snapshot(new)
    text = text_diff.unified(*texts, old_label="a", new_label="b").text
    return fitted(differences.of(*map(orjson.loads, texts)), text_lines.read(text))


def workflow(count: int, value: Any, name: str = "step") -> Json:
    return graph(*(f"{name} {number}" for number in range(count)), value=value)


def changed(made: Callable[[Any], Json]) -> tuple[Json, Json]:
    return made(QUOTES), made(f"{QUOTES}!")


SHAPES: dict[str, tuple[Json, Json]] = {
    "few nodes": (workflow(3, 1), workflow(3, 2)),
    "another workflow": (workflow(150, 1, "old"), workflow(150, 2, "new")),
    "a large workflow": (workflow(300, 1), workflow(290, 2)),
    "long names": (workflow(80, 1, QUOTES), workflow(80, 2, f"!{QUOTES}")),
    "values": changed(lambda value: {f"{QUOTES}{number}": value for number in range(300)}),
    "nodes with values": changed(
        lambda value: {
            "nodes": [
                {"id": f"n{number}", "data": {f"key {each}": value for each in range(12)}}
                for number in range(60)
            ],
            "edges": [],
        }
    ),
    "lines": changed(lambda value: {"rows": [f"{number} {value[-1]}" for number in range(5000)]}),
    "lines of quotes": changed(lambda value: {"rows": [value] * 2000}),
    "lines of other scripts": ({"rows": ["\u0939" * 300] * 900}, {"rows": ["\U0001f680" * 300] * 900}),
    "connections that lead nowhere": (
        {"nodes": [{"id": "a"}], "edges": []},
        {"nodes": [{"id": "a"}], "edges": [{"source": "a", "target": f"{QUOTES}{n}"} for n in range(900)]},
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_difference_keeps_the_room_of_a_page(shape: str) -> None:
    old, new = SHAPES[shape]
    found = of(old, new)
    page = rendered("{{ differences.whole(found, 'v1', 'v2', '/o', 'git diff') }}", found=found)
    assert sum(1 for _ in parsed(page).elements()) <= ELEMENTS + FRAME_ELEMENTS
    assert len(page.encode()) <= SIZE + FRAME_SIZE
    # No part takes all of the room.
    assert found.text.rows


def test_what_has_room_is_whole_and_the_rest_is_counted() -> None:
    few = of(*SHAPES["few nodes"])
    assert (few.text.is_cut, few.drawing is not None and few.drawing.boxes != ()) == (False, True)
    many = of(*SHAPES["nodes with values"])
    assert len(many.difference.nodes) + many.difference.more_nodes == 60
    assert all(each.values.count == 12 for each in many.difference.nodes)
    lost = of(*SHAPES["connections that lead nowhere"]).lost
    assert (0 < len(lost.items) <= 100, len(lost.items) + lost.more) == (True, 900)
    large = of(*SHAPES["another workflow"])
    assert large.drawing is not None
    assert large.drawing.note.startswith("The two versions have 300 nodes together: too much")
