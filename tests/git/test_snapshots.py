"""Canonical bytes: a snapshot is spliced and split without parsing it again."""

import math
import subprocess
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitstore.snapshots import (
    Snapshot,
    assemble,
    blob_id,
    canonical_definition,
    double,
    split,
    with_canonical_doubles,
)

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
    whole = with_canonical_doubles(
        orjson.dumps(
            {"definition": definition, **rest},
            option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE,
        )
    )
    assert assemble(definition=canonical_definition(definition), **rest) == whole


DOUBLES = [
    (0.0, b"0.0"),
    (-0.0, b"-0.0"),
    (0.1, b"0.1"),
    (100.0, b"100.0"),
    (0.0001, b"0.0001"),
    (0.00001, b"0.00001"),
    (-0.000015, b"-0.000015"),
    (9.999999999999999e-6, b"9.999999999999999e-6"),
    (1e-7, b"1e-7"),
    (-2.5e-10, b"-2.5e-10"),
    (2.2250738585072014e-308, b"2.2250738585072014e-308"),
    (5e-324, b"5e-324"),
    (9007199254740993.0, b"9007199254740992.0"),
    (9999999999999998.0, b"9999999999999998.0"),
    (1e16, b"1e+16"),
    (-1.5e16, b"-1.5e+16"),
    (123456789012345680.0, b"1.2345678901234568e+17"),
    (1e22, b"1e+22"),
    (1e23, b"1e+23"),
    (1.7976931348623157e308, b"1.7976931348623157e+308"),
]


@pytest.mark.parametrize(("value", "written"), DOUBLES)
def test_a_double_has_these_bytes(value: float, written: bytes) -> None:
    assert canonical_definition({"a": value}) == b'{\n    "a": %s\n  }' % written
    assert (
        canonical_definition({"a": [value, {}]})
        == b'{\n    "a": [\n      %s,\n      {}\n    ]\n  }' % written
    )


def test_a_document_with_doubles_has_this_blob_id() -> None:
    definition: dict[str, object] = {
        "doubles": [value for value, _ in DOUBLES],
        "text": "1e16",
        " 1e16,": {"1e16": 16, "e": 1e16},
    }
    assert blob_id(canonical_definition(definition)) == "ee8379edc7a537d25e1a2e4e3e166071189d69ab"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_double_is_written_in_one_way(value: float) -> None:
    written = double(value)
    assert canonical_definition({"a": value}) == b'{\n    "a": %s\n  }' % written
    assert repr(float(written)) == repr(value)


@given(definitions)
def test_canonical_bytes_have_canonical_doubles(definition: dict[str, Any]) -> None:
    canonical = canonical_definition(definition)
    assert with_canonical_doubles(canonical) == canonical


def test_doubles_are_canonical_in_whichever_way_they_were_written() -> None:
    others = (
        b'{\n  " 1e16": 1e16,\n  "b": [\n    -1E+016,\n    1e-05,\n    12,\n    " 1e16",\n    1e-07\n  ]\n}\n'
    )
    ours = others.replace(b": 1e16", b": 1e+16").replace(b"-1E+016", b"-1e+16")
    ours = ours.replace(b"1e-05", b"0.00001").replace(b"1e-07", b"1e-7")
    assert with_canonical_doubles(others) == ours


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
