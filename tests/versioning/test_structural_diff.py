"""Patches between documents in linear time: exact to the byte with any library."""

import random
import time
from typing import Any

import jsonpatch
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents.structural_diff import document_patch, structural_patch

# Few keys and few numbers: two documents have much in common, and differ in details that are easily lost.
KEYS = st.sampled_from(["", "a", "b", "~", "/", "~1", "a/b~c", "0", "-", "é", "😀"])
NUMBERS = st.sampled_from([0, 0.0, -0.0, 1, 1.0, -1, 2**63, 2**64 - 1, -(2**63), 1e22, 5e-324, 0.1])
LEAVES = st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "0", "1", "x", "\u2028"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


def canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)


def applied(patch: Any, old: Any) -> Any:
    return jsonpatch.JsonPatch(patch).apply(orjson.loads(orjson.dumps(old)))


@given(VALUES, VALUES)
def test_a_patch_makes_exactly_the_new_document(old: Any, new: Any) -> None:
    assert canonical(applied(structural_patch(old, new), old)) == canonical(new)


@given(st.lists(LEAVES, max_size=12), st.data())
def test_items_that_were_inserted_removed_and_changed_end_up_where_they_belong(
    old: list[Any], data: st.DataObject
) -> None:
    new = list(old)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(new)))
        new[place : place + data.draw(st.integers(0, 2))] = data.draw(st.lists(LEAVES, max_size=2))
    assert canonical(applied(structural_patch(old, new), old)) == canonical(new)


@given(VALUES, VALUES)
def test_the_patch_between_two_texts_is_a_text_that_does_the_same(old: Any, new: Any) -> None:
    patch = document_patch(canonical(old), canonical(new))
    assert canonical(applied(patch, old)) == canonical(new)


@given(VALUES)
def test_between_equal_documents_there_is_nothing_to_do(value: Any) -> None:
    document = {"definition": value}
    assert structural_patch(document, orjson.loads(orjson.dumps(document))) == []


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({"n": 1}, {"n": 1.0}, [{"op": "replace", "path": "/n", "value": 1.0}]),
        ({"n": 1}, {"n": True}, [{"op": "replace", "path": "/n", "value": True}]),
        ({"n": 0.0}, {"n": -0.0}, [{"op": "replace", "path": "/n", "value": -0.0}]),
        ({"n": None}, {}, [{"op": "remove", "path": "/n"}]),
        ({}, {"n": None}, [{"op": "add", "path": "/n", "value": None}]),
        ({"": {"": 1}}, {"": {"": 2}}, [{"op": "replace", "path": "//", "value": 2}]),
        ({"a/b~c": 1}, {"a/b~c": 2}, [{"op": "replace", "path": "/a~1b~0c", "value": 2}]),
        ({"~1": 1}, {"~1": 2}, [{"op": "replace", "path": "/~01", "value": 2}]),
        ([1, 2, 3], [1, 3], [{"op": "remove", "path": "/1"}]),
        ([1, 3], [1, 2, 3], [{"op": "add", "path": "/1", "value": 2}]),
        ([1, 2], {"0": 1}, [{"op": "replace", "path": "", "value": {"0": 1}}]),
        ({"x": [[1]]}, {"x": [[1.0]]}, [{"op": "replace", "path": "/x/0/0", "value": 1.0}]),
    ],
)
def test_a_small_change_is_a_small_patch(old: Any, new: Any, patch: Any) -> None:
    # Compared as text: in Python 1, 1.0 and True are equal, and so are both zeros.
    assert orjson.dumps(structural_patch(old, new)) == orjson.dumps(patch)


def test_where_all_is_new_the_whole_is_replaced_by_the_bytes_that_are_stored() -> None:
    old = canonical({f"old {n}": n for n in range(100)})
    new = canonical({f"new {n}": n * 1.0 for n in range(100)})
    [operation] = document_patch(old, new)
    assert (operation["op"], operation["path"]) == ("replace", "")
    assert canonical(operation["value"]) == new


def test_a_patch_is_never_much_larger_than_the_document() -> None:
    old = list(range(10_000))
    new = old[::-1]
    assert len(orjson.dumps(document_patch(canonical(old), canonical(new)))) <= len(canonical(new)) + 100


@pytest.mark.parametrize("shuffled", [True, False])
def test_a_list_of_100_000_numbers_takes_about_a_second_at_most(shuffled: bool) -> None:
    old = list(range(100_000))
    new = list(old)
    if shuffled:
        random.Random(1).shuffle(new)
    else:
        new.insert(50_000, -1)
    began = time.process_time()
    patch = document_patch(canonical(old), canonical(new))
    assert time.process_time() - began < 1.5
    assert shuffled or patch == [{"op": "add", "path": "/50000", "value": -1}]


def test_time_grows_with_the_size_of_a_deep_document_and_no_faster() -> None:
    def seconds(size: int) -> float:
        def nested(last: int) -> Any:
            value: Any = last
            for _ in range(40):
                value = {"inner": value, "items": list(range(size))}
            return value

        old, new = nested(1), nested(2)
        began = time.process_time()
        assert structural_patch(old, new) == [{"op": "replace", "path": "/inner" * 40, "value": 2}]
        return time.process_time() - began

    seconds(10)
    assert seconds(4000) < 8 * max(seconds(1000), 0.01)
