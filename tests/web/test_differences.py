"""Differences of documents: values with paths, and summaries in few words."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from service.web import differences, text_lines, words
from service.web.differences import Difference
from service.web.fitted import fitted
from service.web.value_changes import MAX_CHANGES, MAX_PATH, MAX_TEXT, MISSING, ValueChange, between
from tests.support.workflows import (
    HOSTILE,
    SHAPES,
    calls_of,
    json_values,
    loaded,
    react_flows,
    rendered,
    shapeless,
)


def shown(found: Difference, old: str = "v1", new: str = "v2") -> str:
    """Write a difference as a page has it, without its text."""
    whole = fitted(found, text_lines.read(""))
    return rendered("{{ differences.whole(whole, old, new) }}", whole=whole, old=old, new=new)


def snapshot(definition: Any, **fields: Any) -> dict[str, Any]:
    return {"definition": definition, "description": None, "name": "Order ETL", "parent_id": None, **fields}


def changes(old: Any, new: Any) -> list[tuple[str, str | None, str | None]]:
    return [(each.path, each.before, each.after) for each in between(old, new).items]


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert between(value, copy.deepcopy(value)).count == 0


@settings(max_examples=150, deadline=None)
@given(json_values, json_values)
def test_values_differ_the_same_both_ways(old: Any, new: Any) -> None:
    there, back = between(old, new), between(new, old)
    # Items of lists can be matched in several ways, which are not the same both ways.
    assert (there.count > 0) == (back.count > 0)
    assert (there.count > 0) == (orjson.dumps(old, option=orjson.OPT_SORT_KEYS) != sorted_text(new))
    if not has_lists(old):
        assert there.count == back.count
        turned = {(each.path, each.after, each.before) for each in back.items}
        assert {(each.path, each.before, each.after) for each in there.items} == turned


def sorted_text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def has_lists(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and any(map(has_lists, value.values())))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 2}, [("a", "1", "2")]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, [("a.b[1]", "2", "3")]),
        ({"a": 1}, {"a": 1.0}, [("a", "1", "1.0")]),
        ({"a": 1}, {"a": True}, [("a", "1", "true")]),
        ({"a": 1}, {"a": "1"}, [("a", "1", '"1"')]),
        ({"a": 0.0}, {"a": -0.0}, [("a", "0.0", "-0.0")]),
        ({"a": None}, {}, [("a", "null", None)]),
        ({}, {"a": {"b": 1}}, [("a", None, '{"b": 1}')]),
        ({"a.b": {"": 1}}, {"a.b": {"": 2}}, [('["a.b"][""]', "1", "2")]),
        (1, 2, [("(all)", "1", "2")]),
        ([1, 2, 3], [0, 1, 2, 3], [("[0]", None, "0")]),
        ([1, 2, 3], [1, 3], [("[1]", "2", None)]),
    ],
)
def test_a_changed_value_has_a_path(old: Any, new: Any, expected: list[tuple[str, Any, Any]]) -> None:
    assert changes(old, new) == expected


def test_items_with_ids_are_matched_by_them() -> None:
    old = {"rules": [{"id": "a", "min": 1}, {"id": "b", "min": 2}]}
    new = {"rules": [{"id": "c", "min": 0}, {"id": "b", "min": 2}, {"id": "a", "min": 5}]}
    assert changes(old, new) == [
        ("rules[c]", None, '{"id": "c", "min": 0}'),
        ("rules[a].min", "1", "5"),
        ("rules (order)", '["a", "b"]', '["b", "a"]'),
    ]


def test_long_texts_are_shown_from_where_they_differ() -> None:
    change = between("a" * 5000 + "1", "a" * 5000 + "2").items[0]
    assert change == ValueChange("(all)", f"…{'a' * 60}1", f"…{'a' * 60}2")


def test_many_changes_are_counted_and_long_ones_cut() -> None:
    def document(values: dict[str, Any]) -> Any:
        below = {"d" * 500: {"e" * 500: {"f" * 500: values}}}
        return {f"{'k' * 500}{number}": below for number in range(100)}

    found = between(document({}), document({str(number): "v" * 1000 for number in range(300)}))
    assert (len(found.items), found.count) == (MAX_CHANGES, 100 * 300)
    assert all(len(each.path) <= MAX_PATH for each in found.items)
    assert all(len(each.after or "") <= MAX_TEXT + 1 for each in found.items)


def test_the_largest_documents_are_compared_in_a_bounded_number_of_steps() -> None:
    old = {"a": [[number] for number in range(20_000)]}
    new = {"a": [[number * 7 % 20_001] for number in range(20_000)]}
    assert calls_of(lambda: between(old, new)) < 1_500_000


def edited(change: str) -> Any:
    document = loaded(SHAPES["react_flow"])
    match change:
        case "node":
            document["nodes"].append({"id": "new", "position": {"x": 1, "y": 1}, "data": {}})
            document["retry"] = {"attempts": 5, "backoff_seconds": 60.0}
        case "layout":
            document["nodes"][0]["position"]["x"] = 10
            document["viewport"] = {"x": 1, "y": 1, "zoom": 2}
        case "removed":
            del document["nodes"][2]
    return document


def test_summaries_of_versions() -> None:
    first = loaded(SHAPES["react_flow"])

    def text(new: Any, **fields: Any) -> str:
        return differences.summary(snapshot(first), snapshot(new, **fields)).text

    assert differences.summary(None, snapshot(first)).text == "created"
    assert text(first) == "no change"
    assert text(edited("node")) == "1 node added, 2 settings changed"
    assert text(edited("layout")) == "nothing but layout"
    assert text(edited("removed")) == "1 node removed, 3 connections lead nowhere"
    assert text(first, name="Other") == "renamed"
    assert text(first, parent_id="1") == "moved to another place"
    assert text(first, name="Other", description="Why") == "renamed, description changed"
    assert text({}) == "9 nodes removed, 8 connections removed, 2 settings changed"


def test_summaries_of_documents_without_a_graph_count_values() -> None:
    old, new = snapshot({"a": 1, "b": [1]}), snapshot({"a": 2, "b": [1, 2]})
    assert differences.summary(old, new).text == "2 values changed"


def test_a_large_document_is_not_compared_in_the_history() -> None:
    large = snapshot({"a": "x" * differences.MAX_SUMMARY_BYTES})
    assert differences.summary(snapshot({}), large) == differences.TOO_LARGE
    raw = orjson.dumps(large)
    assert differences.summary_of(raw, b"no JSON").text == "too large to compare here"
    assert (
        differences.summary_of(orjson.dumps(snapshot({"a": 1})), orjson.dumps(snapshot({}))).text
        == "1 value changed"
    )


@settings(max_examples=60, deadline=None)
@given(shapeless, shapeless)
def test_any_two_documents_have_a_difference(old: Any, new: Any) -> None:
    found = differences.of(snapshot(old), snapshot(new))
    assert found.is_equal == (sorted_text(old) == sorted_text(new))
    assert shown(found)


@settings(max_examples=60, deadline=None)
@given(react_flows)
def test_equal_documents_have_none(definition: Any) -> None:
    found = differences.of(snapshot(definition), snapshot(copy.deepcopy(definition)))
    assert found.is_equal
    assert found.summary.text == "no change"
    assert found.nodes == ()


def test_a_difference_tells_the_values_of_nodes_and_settings() -> None:
    old, new = loaded(SHAPES["react_flow"]), edited("node")
    new["nodes"][1]["data"]["batch_size"] = 50
    found = differences.of(snapshot(old), snapshot(new, name="Orders"))
    assert [(each.compared.node.label, each.values.items) for each in found.nodes] == [
        ("New orders", (ValueChange("data.batch_size", "500", "50"),)),
        ("new", ()),
    ]
    assert [each.path for each in found.settings.items] == ["retry.attempts", "retry.backoff_seconds"]
    assert found.fields.items == (ValueChange("name", "Order ETL", "Orders"),)
    assert not found.is_layout_only


def test_a_renamed_state_tells_both_names() -> None:
    old = loaded(SHAPES["step_functions"])
    new = copy.deepcopy(old)
    new["States"]["Shaped"] = new["States"].pop("Format parameters")
    new["StartAt"] = "Shaped"
    found = differences.of(snapshot(old), snapshot(new))
    assert found.summary.text == "1 node changed"
    assert found.nodes[0].values.items == (ValueChange("name", "Format parameters", "Shaped"),)


def test_a_document_that_becomes_a_graph_is_compared_as_one() -> None:
    found = differences.of(snapshot({"title": "Order ETL"}), snapshot(loaded(SHAPES["react_flow"])))
    assert found.summary.text == "9 nodes added, 8 connections added, 1 setting changed"


def test_a_graph_that_is_too_large_is_compared_by_its_values() -> None:
    old = {"nodes": [{"id": str(number), "a": 1} for number in range(301)], "edges": []}
    new = copy.deepcopy(old)
    new["nodes"][7]["a"] = 2
    found = differences.of(snapshot(old), snapshot(new))
    assert found.comparison is None
    assert found.note == "The workflow has more than the 300 nodes that are drawn."
    assert found.settings.items == (ValueChange("nodes[7].a", "1", "2"),)


def test_a_missing_value_is_not_null() -> None:
    assert between(MISSING, None).items == (ValueChange("(all)", None, "null"),)


def test_the_page_shows_hostile_text_as_text() -> None:
    node = {"id": HOSTILE, "type": HOSTILE, "data": {"label": HOSTILE, HOSTILE: HOSTILE}}
    edge = {"source": HOSTILE, "target": f"{HOSTILE}2", "label": HOSTILE}
    old = {"nodes": [node], "edges": [], HOSTILE: 1}
    new = {"nodes": [{**node, "data": {HOSTILE: f"{HOSTILE}3"}}], "edges": [edge], HOSTILE: HOSTILE}
    found = differences.of(snapshot(old, name=HOSTILE), snapshot(new, name=f"{HOSTILE}4"))
    page = shown(found, old=HOSTILE, new=HOSTILE)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 12
    assert 'id="node-1"' in page


def test_the_page_of_equal_versions_says_so() -> None:
    found = differences.of(snapshot({"a": 1}), snapshot({"a": 1}))
    assert "v1 and v2 are equal." in shown(found)
    moved = differences.of(snapshot(loaded(SHAPES["react_flow"])), snapshot(edited("layout")))
    assert "Only the layout differs" in shown(moved)


def test_characters_that_turn_or_hide_text_are_named() -> None:
    found = differences.of(snapshot({"a": "ab"}), snapshot({"a": "a\u202eb\u200b"}))
    page = shown(found)
    assert "a⟨U+202E⟩b⟨U+200B⟩" in page
    # Persian words and signs of people are made with joiners.
    assert words.revealed("می\u200cخواهم 👩\u200d🚀") == "می\u200cخواهم 👩\u200d🚀"


def test_a_label_of_which_nothing_is_seen_says_so() -> None:
    new = {"nodes": [{"id": "\u200b"}], "edges": [{"source": "\u200b", "target": ""}]}
    found = differences.of(snapshot({}), snapshot(new))
    page = shown(found)
    assert page.count("<bdi>(no name)</bdi> → <bdi>(no name)</bdi>") == 2
