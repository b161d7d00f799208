"""Cells of CSV: what a reader gets back, and what a spreadsheet would take for a formula."""

import csv
import io
from datetime import UTC, datetime
from uuid import UUID

import orjson
from hypothesis import given
from hypothesis import strategies as st

from service.documents.tabular import FileFormat, cell, head, lines, unguarded

FORMULAS = tuple("=+-@\t\r\n＝＋－＠")
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("'=+-@\t\r\n\",x")


def read_back(text: str) -> list[list[str]]:
    """Return the rows that a reader of CSV finds."""
    return list(csv.reader(io.StringIO(text, newline="")))


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_texts_are_read_back_and_none_begins_a_formula(texts: list[str]) -> None:
    columns = [str(number) for number in range(len(texts))]
    line = lines(FileFormat.CSV, columns, [dict(zip(columns, texts, strict=True))]).decode()
    [row] = read_back(line)
    assert [unguarded(each) for each in row] == texts
    assert not [each for each in row if each.startswith(FORMULAS)]


@given(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_numbers(number: float) -> None:
    assert float(cell(number)) == float(number)


@given(TEXTS.filter(lambda text: not text.lstrip("'").startswith(FORMULAS)))
def test_other_texts_are_left_as_they_are(text: str) -> None:
    assert read_back(f"{cell(text)},\r\n") == [[text, ""]]


def test_values_that_are_no_texts() -> None:
    assert cell(None) == ""
    assert cell("") == '""'
    assert (cell(True), cell(0.5), cell(-3)) == ("true", "0.5", "-3")
    assert cell(UUID(int=7)) == "00000000-0000-0000-0000-000000000007"
    assert cell(datetime(2026, 1, 2, 3, 4, 5, 6000, UTC)) == "2026-01-02T03:04:05.006000Z"
    assert cell({"a": [1, "="]}) == '"{""a"":[1,""=""]}"'
    assert cell(orjson.Fragment(b'{"n": 1e400}')) == '"{""n"": 1e400}"'


def test_lines_end_as_the_standard_says() -> None:
    assert head(FileFormat.CSV, ["a", "b"]) == b"a,b\r\n"
    assert lines(FileFormat.CSV, ["a", "b"], [{"a": 1, "b": None}]) == b"1,\r\n"
    assert head(FileFormat.NDJSON, ["a"]) == b""
    assert lines(FileFormat.NDJSON, ["a"], [{"a": 1}, {"a": None}]) == b'{"a":1}\n{"a":null}\n'
