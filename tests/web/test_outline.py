"""Outlines of documents that are no graphs: two levels, bounded, of any value."""

from typing import Any

from hypothesis import given, settings

from service.web import outline
from service.web.outline import MAX_BELOW, MAX_ENTRIES
from tests.support.workflows import HOSTILE, calls_of, json_values, rendered


def test_an_outline_has_two_levels_with_kinds_and_sizes() -> None:
    found = outline.of(
        {
            "title": "Nightly",
            "steps": [{"name": "Load", "n": 1}, 7],
            "retry": {"times": 3, "on": None, "x": True},
        }
    )
    assert found.kind == "object with 3 members"
    title, steps, retry = found.entries
    assert (title.name, title.kind, title.text) == ("title", "text", "Nightly")
    assert steps.kind == "list of 2 items"
    assert [(each.name, each.kind, each.text) for each in steps.below] == [
        ("Load", "object with 2 members", ""),
        ("[1]", "number", "7"),
    ]
    assert [(each.name, each.kind, each.text) for each in retry.below] == [
        ("times", "number", "3"),
        ("on", "nothing", "null"),
        ("x", "yes or no", "true"),
    ]


def test_an_outline_is_bounded() -> None:
    wide = {f"{number}{'k' * 500}": list(range(5000)) for number in range(5000)}
    made: list[outline.Outline] = []
    assert calls_of(lambda: made.append(outline.of(wide))) < 60_000
    found = made[0]
    assert (len(found.entries), found.more) == (MAX_ENTRIES, 5000 - MAX_ENTRIES)
    assert (len(found.entries[0].below), found.entries[0].more) == (MAX_BELOW, 5000 - MAX_BELOW)
    assert len(found.entries[0].name) == 80
    assert len(rendered("{{ graphs.outline(found) }}", found=found)) < 100_000


def test_a_long_text_is_cut_and_its_length_told() -> None:
    entry = outline.of({"a": "b" * 1000}).entries[0]
    assert (entry.kind, len(entry.text)) == ("text of 1,000 characters", 80)


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_any_value_has_an_outline(value: Any) -> None:
    found = outline.of(value)
    assert len(found.entries) <= MAX_ENTRIES
    assert rendered("{{ graphs.outline(found) }}", found=found)


def test_an_outline_shows_hostile_text_as_text() -> None:
    page = rendered(
        "{{ graphs.outline(found, note) }}", found=outline.of({HOSTILE: {HOSTILE: HOSTILE}}), note=HOSTILE
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 4


def test_an_empty_document_says_so() -> None:
    assert "The document is empty." in rendered("{{ graphs.outline(found) }}", found=outline.of({}))
