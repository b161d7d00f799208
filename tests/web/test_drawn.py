"""Drawing of two versions by a document worker for a page."""

import pickle
from functools import partial
from uuid import UUID

import orjson

from service.domain.resource_kinds import Kind
from service.usecases.diffs import difference
from service.web.drawn import Drawn, drawn
from tests.support.api import Json
from tests.support.compared_pages import graph

RESOURCE_ID = UUID(int=1)


def snapshot(definition: Json) -> bytes:
    whole = {"definition": definition, "description": None, "name": "x", "parent_id": None}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2)


def of(old: Json, new: Json) -> Drawn:
    """Draw two documents as a document worker does: the call and its result are pickled."""
    before, after = snapshot(old), snapshot(new)
    made = difference(Kind.WORKFLOW, RESOURCE_ID, before, after)
    work = pickle.loads(pickle.dumps(partial(drawn, before, after, made)))  # noqa: S301 - pickled here
    found = pickle.loads(pickle.dumps(work()))  # noqa: S301 - pickled here
    assert isinstance(found, Drawn)
    return found


def test_it_survives_the_way_to_the_page() -> None:
    found = of(graph("a", "b"), graph("a", "c"))
    assert found.shown.difference.summary.text.startswith("1 node added, 1 node removed")
    assert found.operations > 0


def test_large_values_stay_behind() -> None:
    old, new = graph(*map(str, range(200))), graph(*map(str, range(200)))
    for each in (*old["nodes"], *new["nodes"]):
        each["data"]["code"] = "x" * 15_000
    new["nodes"][7]["data"]["code"] += "y"
    found = of(old, new)
    assert found.shown.difference.comparison is not None
    assert found.shown.difference.summary.text == "1 node changed"
    assert len(pickle.dumps(found)) < 200_000
