"""Values too large for a log are cut: within the limit, with their true size, and without half a secret."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.masking.patterns import MASK
from service.masking.truncation import MIN_BYTES, bounded, bounded_patch, bounded_text, clean, clean_text

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF"
ANY_TEXT = st.text(st.characters(), max_size=400)
LIMITS = st.integers(MIN_BYTES, 400)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ANY_TEXT, inner, max_size=5),
    max_leaves=20,
)


def size(value: Any) -> int:
    return len(orjson.dumps(value))


@given(ANY_TEXT, LIMITS)
def test_a_text_is_within_its_limit_and_storable(text: str, limit: int) -> None:
    found = bounded_text(text, limit)
    assert len(found.encode()) <= limit
    assert "\0" not in found


@given(VALUES, LIMITS)
def test_a_value_is_within_its_limit_and_storable(value: Any, limit: int) -> None:
    found = bounded(value, limit)
    if isinstance(found, dict) and found.get("truncated") is True:
        assert size(found) <= limit
        assert found["bytes"] > 0
    assert clean(found) == found


def test_what_fits_is_returned_as_it_is() -> None:
    value = {"a": ["x" * 80]}
    assert bounded(value, MIN_BYTES) is value
    assert bounded_text("x" * MIN_BYTES, MIN_BYTES) == "x" * MIN_BYTES


def test_a_large_text_says_how_large_it_was() -> None:
    found = bounded_text("é" * 1_000_000, 200)
    assert found.startswith("éé")
    assert found.endswith("é … [cut: 2000000 bytes]")
    assert 198 <= len(found.encode()) <= 200


def test_a_large_value_says_how_large_it_was_and_how_it_began() -> None:
    value = {"a": "x", "b": ['"é"\\' * 1000]}
    found = bounded(value, 300)
    assert found["truncated"] is True
    assert found["bytes"] == size(value)
    assert found["beginning"].startswith('{"a":"x","b":["\\"é\\"')
    assert 290 <= size(found) <= 300


@pytest.mark.parametrize("before", range(60, 105))
def test_no_half_of_a_secret_stays_wherever_the_cut_is(before: int) -> None:
    text = "-" * before + TOKEN + " and more" * 5000
    assert "ghp_" not in bounded_text(text, 120)
    assert "ghp_" not in str(bounded({"a": text}, 150))
    # With a cut within the text that is read ahead.
    far = "password=" + "x" * (4 * 120 + 16 * 1024 - before) + " " + TOKEN + "." * 1000
    assert "ghp" not in bounded_text(far, 120)


def test_a_patch_is_masked_by_its_paths_before_it_is_cut() -> None:
    operations = [{"op": "add", "path": "/password", "value": "hunter2"}]
    assert bounded_patch(operations, 200) == [{"op": "add", "path": "/password", "value": MASK}]
    cut = bounded_patch(operations * 100, 200)
    assert cut["bytes"] == size(operations * 100)
    assert "hunter2" not in cut["beginning"]


def test_only_what_can_be_shown_of_a_large_value_is_searched_and_the_size_is_that_of_all() -> None:
    value = {"kept": "é", "password": "hunter2", "texts": [TOKEN] * 10_000, "unread": "x" * 100_000}
    found = bounded(value, 1000)
    assert found["bytes"] == size(value)
    assert found["beginning"].startswith(f'{{"kept":"é","password":"{MASK}","texts":["{MASK}","{MASK}"')
    assert "ghp_" not in found["beginning"]


@pytest.mark.parametrize("after", [{"name": "API_KEY"}, {"path": "/password"}])
def test_a_value_whose_name_comes_too_late_to_be_read_is_masked(after: dict[str, str]) -> None:
    operations = [{"op": "add", "value": ["hunter2"] * 10_000, **after}]
    assert "hunter2" not in str(bounded_patch(operations, 1000))


def test_what_can_not_be_stored_is_replaced() -> None:
    assert clean_text("a\0b\ud800é") == "a\ufffdb\ufffdé"
    assert clean({"a\0": ["\udfff", 2**80, {"b": "\0"}]}) == {"a\ufffd": ["\ufffd", 2**80, {"b": "\ufffd"}]}
    value = {"a": ["é", "\\u0000"]}
    assert clean(value) == value


def test_keys_that_become_the_same_stay_two() -> None:
    assert clean(dict(zip(("\0", "\ud800", "\ufffd"), (1, 2, 3), strict=True))) == {
        "\ufffd 1": 1,
        "\ufffd 2": 2,
        "\ufffd": 3,
    }


def test_too_deep_is_cut_unread() -> None:
    value: Any = "hunter2"
    for _ in range(5000):
        value = [value]
    assert "hunter2" not in str(bounded(value, 2000))
    assert bounded(value, MIN_BYTES)["truncated"] is True


def test_a_limit_without_room_for_the_marker_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        bounded_text("x", MIN_BYTES - 1)
