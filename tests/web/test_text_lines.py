"""Rows of a unified diff: they give both texts back, whatever the texts are."""

from difflib import unified_diff

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitstore.read import text_diff
from service.web import text_lines
from service.web.text_lines import MAX_CHARACTERS, MAX_ROWS, TextRows
from tests.support.workflows import HOSTILE, calls_of, rendered

# A line may look like a sign of the diff, and have every end of line but \n.
lines = st.lists(
    st.sampled_from(["", "a", "a b", "a c", "-- a", "++ b", "@@ -1 +1 @@", "x\ry", "\u2028", HOSTILE])
    | st.text("!? a", max_size=60)
    | st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=6),
    max_size=12,
)


def diff(old: list[str], new: list[str], context: int = 1000) -> str:
    made = unified_diff([f"{line}\n" for line in old], [f"{line}\n" for line in new], n=context)
    return "".join(made)


def texts(rows: TextRows) -> tuple[list[str], list[str]]:
    """Both texts that rows with all lines were made of."""
    old = [row.text for row in rows.rows if row.kind in ("same", "del")]
    return old, [row.text for row in rows.rows if row.kind in ("same", "add")]


@settings(max_examples=200, deadline=None)
@given(lines, lines)
def test_rows_give_both_texts_back(old: list[str], new: list[str]) -> None:
    rows = text_lines.read(diff(old, new))
    assert texts(rows) == (([], []) if old == new else (old, new))
    assert rows.added - rows.removed == len(new) - len(old)
    assert not rows.is_cut


@settings(max_examples=100, deadline=None)
@given(lines, lines)
def test_rows_have_the_numbers_of_their_lines(old: list[str], new: list[str]) -> None:
    for row in text_lines.read(diff(old, new, context=1)).rows:
        if row.old is not None:
            assert row.text == old[row.old - 1]
        if row.new is not None:
            assert row.text == new[row.new - 1]


def test_git_writes_the_same_rows() -> None:
    old, new = b'{\n  "a": 1,\n  "b": 2\n}\n', b'{\n  "a": 1,\n  "b": 3\n}'
    rows = text_lines.read(text_diff.unified(old, new, old_label="a/x", new_label="b/x").text)
    assert texts(rows) == (old.decode().splitlines(), new.decode().splitlines())
    assert [row.kind for row in rows.rows] == ["hunk", "same", "same", "del", "del", "add", "add"]


def test_words_that_differ_are_marked() -> None:
    rows = text_lines.read(diff(['  "precision": 2,'], ['  "precision": 4,'])).rows
    assert [row.parts for row in rows[1:]] == [
        (('  "precision": ', False), ("2", True), (",", False)),
        (('  "precision": ', False), ("4", True), (",", False)),
    ]


def test_lines_that_have_little_in_common_have_no_marks() -> None:
    rows = text_lines.read(diff(["one two three"], ["4 5 6 7 8"])).rows
    assert [row.parts for row in rows[1:]] == [(("one two three", False),), (("4 5 6 7 8", False),)]


def test_a_long_diff_is_cut_and_still_counted() -> None:
    rows = text_lines.read(diff([], ["a"] * (MAX_ROWS + 50)))
    assert len(rows.rows) == MAX_ROWS
    assert rows.is_cut
    assert rows.added == MAX_ROWS + 50


def test_a_diff_of_one_endless_line_is_cut() -> None:
    rows = text_lines.read(diff(["a"], ["b" * (MAX_CHARACTERS + 1)]))
    assert rows.is_cut
    assert [row.kind for row in rows.rows] == ["hunk", "del"]


def test_marks_of_a_long_diff_take_a_bounded_number_of_steps() -> None:
    old = [" ".join(f"{number} {word}" for word in range(40)) for number in range(1500)]
    new = [line.replace(" 7", " x").replace("3", "y") for line in old]
    text = diff(old, new)
    assert calls_of(lambda: text_lines.read(text)) < 1_500_000


def test_marks_of_lines_with_few_different_words_take_a_bounded_number_of_steps() -> None:
    text = diff(["!" * 200] * 100, ["!?" * 100] * 100)
    assert calls_of(lambda: text_lines.read(text)) < 100_000
    # Each takes as many steps as a pair of lines may.
    text = diff(["! a b c" * 12] * 1000, ["? ! d" * 20] * 1000)
    assert calls_of(lambda: text_lines.read(text)) < 4_000_000


def test_what_would_take_long_to_match_is_marked_as_a_whole() -> None:
    begin = "a " * 30
    rows = text_lines.read(diff([begin + "!" * 130], [begin + "!?" * 65])).rows
    assert [row.parts for row in rows[1:]] == [
        ((f"{begin}!", False), ("!" * 129, True)),
        ((f"{begin}!", False), ("?" + "!?" * 64, True)),
    ]


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_table_of_rows_shows_hostile_text_as_text(is_cut: bool) -> None:
    text = text_lines.read(
        diff([HOSTILE, "same"], [f"{HOSTILE} more", "same"]) + ("+a\n" * MAX_ROWS) * is_cut
    )
    page = rendered("{{ differences.lines(text, '/operations', 'git diff a b') }}", text=text)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<mark> more</mark>" in page
    assert ("git diff a b" in page) == is_cut
