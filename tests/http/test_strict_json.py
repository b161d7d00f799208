"""Two readers of a body that have to agree: the quick one, and the one that names the faults."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.documents import strict_json
from service.domain.errors import AnnalsError, Invalid

ODD_NUMBERS = st.sampled_from(
    [
        *("-0", "0.0", "-0.0", "1e22", "1E400", "-1e309", "1e-400", "18446744073709551615", "0x1"),
        *("18446744073709551616", "-9223372036854775808", "-9223372036854775809", "9" * 5000),
        *("NaN", "Infinity", "-Infinity", "nul", "null", "true", "1.0", "01", "1.", "5e-324"),
    ]
)
ODD_STRINGS = st.sampled_from(
    [
        *('""', '"\\u0000"', '"\\\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"null"'),
        *('"\\n  "', '"\x7f"', '"\t"', '"\u2028"', '"😀"', '"\\/"', '"a', '"' + " " * 130 + '"'),
    ]
)
KEYS = st.sampled_from(['"a"', '"b"', '""', '"null"', '"\\u0061"', '"\\u0000"', '"\\ud800"', "a"])


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(KEYS, inner).map(":".join)
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.lists(pairs, max_size=4).map(lambda items: f"{{{' , '.join(items)}}}"),
        st.tuples(st.integers(50, 70), inner).map(lambda deep: "[" * deep[0] + deep[1] + "]" * deep[0]),
    )


TEXTS = st.recursive(ODD_NUMBERS | ODD_STRINGS, _containers, max_leaves=12)


def outcome(read: Any, raw: bytes) -> tuple[str, Any]:
    """Result of reading: the value as the text that is stored, or the refusal's faults."""
    try:
        return "read", orjson.dumps(read(raw), option=orjson.OPT_INDENT_2)
    except AnnalsError as refusal:
        return type(refusal).__name__, (refusal.detail, refusal.faults)


def check_agreement(raw: bytes) -> None:
    """Assert that the quick reader gives up or agrees with the careful one, and that `parse` does as well."""
    careful = outcome(strict_json._carefully, raw)
    try:
        quick = strict_json._plainly(raw)
    except (ValueError, TypeError, RecursionError):
        pass
    else:
        # By type as well: the texts distinguish 1 from 1.0, and both zeros.
        assert ("read", orjson.dumps(quick, option=orjson.OPT_INDENT_2)) == careful
    assert outcome(strict_json.parse, raw) == careful


@given(TEXTS)
@settings(max_examples=400)
@example("")
@example('{"a":1,"a":1}')
@example("[" * 64 + "]" * 64)
@example("[" * 65 + "]" * 65)
@example("[" * 64 + "1" + "]" * 64)
@example("[" * 63 + '{"k":[]}' + "]" * 63)
@example("[" * 100_000)
@example("\ufeff1")
def test_both_ways_agree_on_texts_that_are_nearly_json(text: str) -> None:
    check_agreement(text.encode())


@given(st.binary(max_size=60))
@example(b"\xff")
@example(b'"\xed\xa0\x80"')
@example(b"\0")
def test_both_ways_agree_on_any_bytes(raw: bytes) -> None:
    check_agreement(raw)


@given(TEXTS, st.data())
def test_both_ways_agree_where_a_byte_was_changed(text: str, data: st.DataObject) -> None:
    raw = bytearray(text.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    check_agreement(bytes(raw))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False)
        # Any other body is read by the careful reader, and refused.
        | st.integers(-(2**63), 2**64 - 1)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
        ),
    )
)
def test_what_json_writes_is_read_as_it_was(value: Any) -> None:
    raw = json.dumps(value).encode()
    check_agreement(raw)
    if b"\\u0000" not in raw:
        assert json.dumps(strict_json.parse(raw)) == json.dumps(value)


MANY = strict_json.MAX_VALUES - 1
FULL = {
    "items": b"[" + b",".join([b"1"] * MANY) + b"]",
    "empty containers": b"[" + b",".join([b"[]", b"{}"] * (MANY // 2) + [b"0"]) + b"]",
    "members": b"{" + b",".join(b'"%d":0' % n for n in range(MANY)) + b"}",
    "strings": b"[" + b" , ".join([rb'"[,{\",\\"'] * MANY) + b"]",
    "containers": b"[" + b",".join([b'{"a":{"b":1}}'] * (MANY // 3)) + b"]",
}


@pytest.mark.parametrize("raw", FULL.values(), ids=FULL)
def test_a_text_has_100_000_values_and_no_more(raw: bytes) -> None:
    assert orjson.dumps(strict_json.parse(raw)) == orjson.dumps(json.loads(raw))
    with pytest.raises(Invalid) as refusal:
        strict_json.parse(b"[0," + raw + b"]")
    assert refusal.value.faults[0].detail == "the document has more than 100,000 values"


def test_the_first_value_too_many_is_named() -> None:
    raw = b'{"a":{"b\\"":[[],{"c":[' + b",".join([b"1"] * 200_000) + b"]}]}}"
    with pytest.raises(Invalid) as refusal:
        strict_json.parse(raw)
    # Seven values come before the numbers.
    assert [fault.pointer for fault in refusal.value.faults] == ['/a/b\\"/1/c/99994']


def test_commas_and_brackets_in_a_string_are_no_values() -> None:
    text = "[,{" * 1_000_000
    assert strict_json.parse(json.dumps({"a": text}).encode()) == {"a": text}


def test_most_texts_are_read_the_quick_way() -> None:
    document = {"nodes": [{"id": n, "x": n / 7, "on": None, "name": f"é {n}"} for n in range(100)]}
    assert strict_json._plainly(json.dumps(document).encode()) == document
