"""Patches between documents in counted steps: exact to the byte with any library."""

import os
import random
import sys
import time
from types import FrameType
from typing import Any

import jsonpatch
import orjson
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from service.documents import common_items as search
from service.documents.common_items import Steps, common_items
from service.documents.structural_diff import (
    MAX_OPERATIONS,
    MAX_SMALL_PATCH_BYTES,
    Patch,
    document_patch,
    searched_patch,
    structural_patch,
)
from tests.support.seeded_documents import DOCUMENTS, mutated

# script/test tells of it.
EXAMPLES = int(os.environ.get("ANNALS_TEST_DOCUMENTS", "500"))

# Few keys and few numbers: two documents have much in common, and differ in details that are easily lost.
KEYS = st.sampled_from(["", "a", "b", "~", "/", "~1", "a/b~c", "0", "-", "é", "😀"])
NUMBERS = st.sampled_from([0, 0.0, -0.0, 1, 1.0, -1, 2**63, 2**64 - 1, -(2**63), 1e22, 5e-324, 0.1])
LEAVES = st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "0", "1", "x", "\u2028"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


EDITS = st.builds(
    lambda document, rng: (document, mutated(document, rng)),
    st.dictionaries(KEYS, VALUES, max_size=4) | st.sampled_from(list(DOCUMENTS.values())),
    st.randoms(use_true_random=False),
)
# Items that differ for JSON, though Python finds many of them equal.
ITEMS = st.sampled_from([0, 1, 1.0, True, False, -0.0, [1], [True], {"a": 1}, {"a": 1.0}])


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
    patch = document_patch(canonical(old), canonical(new)).operations
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
    [operation] = document_patch(old, new).operations
    assert (operation["op"], operation["path"]) == ("replace", "")
    assert canonical(operation["value"]) == new


def test_a_patch_is_never_much_larger_than_the_document() -> None:
    old = list(range(10_000))
    new = old[::-1]
    assert (
        len(orjson.dumps(document_patch(canonical(old), canonical(new)).operations))
        <= len(canonical(new)) + 100
    )


@pytest.mark.parametrize("shuffled", [True, False])
def test_a_list_of_100_000_numbers_takes_about_a_second_at_most(shuffled: bool) -> None:
    old = list(range(100_000))
    new = list(old)
    if shuffled:
        random.Random(1).shuffle(new)
    else:
        new.insert(50_000, -1)
    began = time.process_time()
    patch = document_patch(canonical(old), canonical(new)).operations
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


def searched(old: Any, new: Any, steps: int = search.MAX_STEPS) -> Patch:
    return searched_patch(canonical(old), canonical(new), Steps(steps))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.tuples(VALUES, VALUES) | EDITS, st.sampled_from([search.MAX_STEPS, 40, 5, 0]))
def test_a_searched_patch_gives_exactly_the_other_side(pair: tuple[Any, Any], steps: int) -> None:
    old, new = pair
    patch = searched(old, new, steps)
    assert canonical(applied(patch.operations, old)) == canonical(new)
    assert (patch.operations == []) == (canonical(old) == canonical(new))
    assert patch == searched(old, new, steps)
    assert {operation["op"] for operation in patch.operations} <= {"add", "remove", "replace"}


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=10), st.lists(ITEMS, max_size=10))
def test_as_many_items_stay_as_can(old: list[Any], new: list[Any]) -> None:
    longest = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for at, one in enumerate(old, 1):
        for to, other in enumerate(new, 1):
            longest[at][to] = (
                longest[at - 1][to - 1] + 1
                if orjson.dumps(one) == orjson.dumps(other)
                else max(longest[at - 1][to], longest[at][to - 1])
            )
    runs = common_items(old, new, Steps())
    for at, to, length in runs:
        assert orjson.dumps(old[at : at + length]) == orjson.dumps(new[to : to + length])
    assert sum(run.length for run in runs) == longest[-1][-1]


def lines_of_search(old: list[Any], new: list[Any], steps: Steps) -> int:
    """Count the lines of code that the search for common items runs."""
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != search.__file__:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        common_items(old, new, steps)
    finally:
        sys.settrace(before)
    return lines


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 3), max_size=300) | st.integers(0, 300).map(lambda size: list(range(size))),
    st.lists(st.integers(0, 3), max_size=300) | st.permutations(list(range(200))),
)
def test_no_lists_take_more_work_than_the_steps_allow(old: list[Any], new: list[Any]) -> None:
    most = 1_000
    steps = Steps(most)
    lines = lines_of_search(old, new, steps)
    target(float(lines))
    assert 0 <= steps.left <= most
    # Steps are counted some thousand at a time; a step has twenty lines at the most, an item ten.
    assert lines < 20 * (most + search.STEPS_AT_A_TIME) + 10 * (len(old) + len(new)) + 100


def test_where_no_steps_are_left_items_are_compared_by_position() -> None:
    old, new = {"a": [1, 2, 3, 4, 5]}, {"a": [9, 1, 2, 3, 4, 6]}
    assert searched(old, new) == Patch(
        [
            {"op": "add", "path": "/a/0", "value": 9},
            {"op": "replace", "path": "/a/5", "value": 6},
        ],
        truncated=False,
    )
    coarse = searched(old, new, 3)
    assert coarse == Patch(structural_patch(old, new), truncated=True)
    assert len(coarse.operations) == 6


def test_items_that_moved_far_are_removed_and_added() -> None:
    old = [{"id": number} for number in range(100)]
    new = [*old[50:], *old[:50]]
    patch = searched(old, new)
    assert not patch.truncated
    assert [operation["op"] for operation in patch.operations] == ["remove"] * 50 + ["add"] * 50


def test_a_change_in_a_list_whose_items_all_differ_is_found_at_once() -> None:
    old = [{"id": number, "at": 1} for number in range(1_000)]
    new = [{"id": number, "at": 2} for number in range(1_000)]
    patch = searched(old, new)
    assert not patch.truncated
    assert [operation["path"] for operation in patch.operations] == [f"/{n}/at" for n in range(1_000)]


def test_lists_in_random_order_stop_at_the_bound_with_the_same_answer() -> None:
    rng = random.Random(4)
    old, new = ({"a": rng.sample(range(4_000), 4_000), "b": "x" * 10**6} for _ in range(2))
    first, second = (searched(old, new, 100_000) for _ in range(2))
    assert first.truncated
    assert first == second
    assert canonical(applied(first.operations, old)) == canonical(new)


def test_a_patch_holds_no_more_operations_than_may_be() -> None:
    def changed(members: int) -> Patch:
        ballast = "x" * 2**20
        old, new = ({f"{number}": value for number in range(members)} for value in (0, 1))
        return searched({**old, "x": ballast}, {**new, "x": ballast})

    exact, coarse = changed(MAX_OPERATIONS), changed(MAX_OPERATIONS + 1)
    assert (len(exact.operations), exact.truncated) == (MAX_OPERATIONS, False)
    assert ([operation["path"] for operation in coarse.operations], coarse.truncated) == ([""], True)


def test_a_patch_is_no_larger_than_a_large_document() -> None:
    key = "k" * MAX_SMALL_PATCH_BYTES
    old, new = {key: [1, {}, 3, []]}, {key: [2, {}, 4, []]}
    assert searched(old, new) == Patch([{"op": "replace", "path": "", "value": new}], truncated=True)
    small = searched({"a": list(range(100))}, {"a": list(range(100, 200))})
    assert (len(small.operations), small.truncated) == (100, False)


def test_a_change_sixty_levels_deep_is_one_operation() -> None:
    old: Any = {"list": [0], "x": 1}
    new: Any = {"list": [0], "x": 2}
    path = "/x"
    for level in range(62):
        old, new = ([old], [new]) if level % 2 else ({"é/~": old}, {"é/~": new})
        path = ("/0" if level % 2 else "/é~1~0") + path
    assert searched(old, new) == Patch([{"op": "replace", "path": path, "value": 2}], truncated=False)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="unexpected"):
        searched_patch(b"{}", b"{", Steps())
