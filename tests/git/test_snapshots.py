"""Canonical bytes: a snapshot is spliced and split without parsing it again."""

import math
import subprocess
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitstore.snapshots import Snapshot, assemble, blob_id, canonical_definition, split

text = st.text(st.characters(exclude_categories=["Cs"]))
keys = text | st.sampled_from(
    ["description", "definition", "name", 'x",\n  "description": ', "\n", "a\u2028"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e22, -0.0, 5e-324, 1.7976931348623157e308, 2**53 + 1, "\U0001f600", "\0", "\n}\n"])
    | text
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
definitions = st.dictionaries(keys, values, max_size=5)
fields = st.fixed_dictionaries(
    {
        "description": st.none() | keys,
        "name": keys,
        "parent_id": st.none() | text,
        "resource_id": text,
        "resource_type": text,
    }
)


@given(definitions, fields)
@example({}, {"description": None, "name": "", "parent_id": None, "resource_id": "", "resource_type": ""})
def test_a_spliced_snapshot_equals_one_written_whole(
    definition: dict[str, Any], rest: dict[str, Any]
) -> None:
    whole = orjson.dumps(
        {"definition": definition, **rest},
        option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE,
    )
    assert assemble(definition=canonical_definition(definition), **rest) == whole


@given(definitions, fields)
def test_split_undoes_assemble(definition: dict[str, Any], rest: dict[str, Any]) -> None:
    canonical = canonical_definition(definition)
    assert split(assemble(definition=canonical, **rest)) == Snapshot(definition=canonical, **rest)


@given(definitions)
def test_a_canonical_definition_changes_no_value(definition: dict[str, Any]) -> None:
    # repr distinguishes 0.0 from -0.0 and 1 from 1.0, which == does not.
    assert repr(_ordered(orjson.loads(canonical_definition(definition)))) == repr(_ordered(definition))


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, "\ud800", 2**64, -(2**63) - 1, {1: "a"}, {"\udfff": 1}, b"bytes", {1, 2}],
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [None, {"deep": [value]}]])
def test_a_definition_that_json_cannot_hold_is_refused(value: object, wrap: Any) -> None:
    with pytest.raises(ValueError, match="not a JSON document"):
        canonical_definition({"a": wrap(value)})


def test_a_definition_nested_too_deeply_is_refused() -> None:
    value: object = 1
    for _ in range(2000):
        value = [value]
    with pytest.raises(ValueError, match="not a JSON document"):
        canonical_definition({"a": value})


def test_a_name_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="not a JSON document"):
        assemble(
            definition=b"{}",
            description=None,
            name="\ud800",
            parent_id=None,
            resource_id="",
            resource_type="",
        )


@given(st.binary() | definitions.map(orjson.dumps))
@example(b'{\n  "definition": {},\n  "description": 1\n}\n')
@example(b'{\n  "definition": {},\n  "description": \n')
def test_split_refuses_what_is_no_snapshot(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        split(data)


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b"")
def test_a_blob_id_is_the_one_git_computes(data: bytes) -> None:
    done = subprocess.run(["git", "hash-object", "--stdin"], input=data, capture_output=True, check=True)
    assert blob_id(data) == done.stdout.decode().strip()


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        return sorted((key, _ordered(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return [_ordered(inner) for inner in value]
    return value
