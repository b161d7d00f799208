"""The unified diff of two versions: git's own, exact, and the same for the same texts under any load."""

import itertools
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitstore.errors import DiffTooSlow, GitStoreError, StoreUnavailable
from gitstore.read import text_diff
from gitstore.read.text_diff import unified
from tests.support.seeded_documents import DOCUMENTS, ODD, mutated

KEYS = ("", "a", "0", "-", "/", "~", "~1", "a/b~c", "é", "😀", " ", '"')

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.sampled_from(ODD) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(KEYS) | text, inner, max_size=5)
    ),
    max_leaves=25,
)
documents = st.dictionaries(st.sampled_from(KEYS) | text, values, max_size=4)
edits = st.builds(
    lambda document, rng: (document, mutated(document, rng)),
    documents | st.sampled_from(list(DOCUMENTS.values())),
    st.randoms(use_true_random=False),
)
pairs = st.tuples(values, values) | edits


def canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def text_of(old: bytes, new: bytes) -> str:
    return unified(old, new, old_label="a/one.json", new_label="b/one.json").text


def alike(one: bytes, other: bytes) -> int:
    """The length of the common beginning of two texts."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)


def git_applied(diff: str, old: bytes) -> bytes:
    return _patched(["git", "apply", "-"], diff, old)


def patch_applied(diff: str, old: bytes) -> bytes:
    return _patched(["patch", "--posix", "--strip=1", "--quiet"], diff, old)


def _patched(command: list[str], diff: str, old: bytes) -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "one.json"
        file.write_bytes(old)
        environment = {"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(Path(folder).parent)}
        subprocess.run(command, cwd=folder, env=environment, input=diff.encode(), check=True)
        return file.read_bytes()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files in the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_a_text_diff_gives_exactly_the_new_text(pair: tuple[Any, Any]) -> None:
    old, new = canonical(pair[0]), canonical(pair[1])
    diff = text_of(old, new)
    if old == new:
        assert diff == ""
    else:
        assert diff.startswith("--- a/one.json\n+++ b/one.json\n@@ -")
        assert git_applied(diff, old) == new


def test_equal_documents_have_no_text_diff() -> None:
    for document in ({}, {"a": [1, 2.5, None]}, list(range(100_000))):
        assert text_of(canonical(document), canonical(document)) == ""


@given(st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9))
def test_lines_are_counted_between_the_common_beginning_and_end(
    begin: bytes, end: bytes, old: bytes, new: bytes
) -> None:
    before, after = begin + old + end, begin + new + end
    common = alike(before, after)
    rest = [text[common:] for text in (before, after)]
    tail = alike(rest[0][::-1], rest[1][::-1])
    expected = sum(text[: len(text) - tail].count(b"\n") for text in rest)
    assert text_diff._lines_between(before, after) == expected


def test_a_text_with_more_changed_lines_than_may_be_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = canonical(list(range(100))), canonical([*range(40), -1, *range(41, 60), -2, *range(61, 100)])
    # From the first changed line to the last one: 21 in each text.
    assert text_diff._lines_between(old, new) == 40
    for most, truncated in ((40, False), (39, True)):
        monkeypatch.setattr(text_diff, "MAX_LINES", most)
        made = unified(old, new, old_label="a/one.json", new_label="b/one.json")
        assert made.truncated == truncated
        assert ("@@ -1,102 +1,102 @@\n-[\n-  0,\n" in made.text) == truncated
        assert git_applied(made.text, old) == new


def test_texts_of_more_bytes_than_may_be_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = canonical(["x" * 100]), canonical(["y" * 100])
    for most, truncated in ((len(old) + len(new), False), (len(old) + len(new) - 1, True)):
        monkeypatch.setattr(text_diff, "MAX_BYTES", most)
        made = unified(old, new, old_label="a/one.json", new_label="b/one.json")
        assert made.truncated == truncated
        assert git_applied(made.text, old) == new


def test_a_git_that_does_not_end_is_killed_and_no_other_text_is_made(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(1)
    old, new = (canonical(rng.choices((0, 1), k=400_000)) for _ in range(2))
    monkeypatch.setattr(text_diff, "SAFETY_SECONDS", 0)
    with pytest.raises(DiffTooSlow):
        text_of(old, new)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("apply", [git_applied, patch_applied])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        *((b"", b"{}\n"), (b"{}\n", b""), (b"{}\n", b"[]\n"), (b"\n", b"\n\n"), (b"[\n  1\n]\n", b"1\n")),
        *((b"1", b"2\n"), (b"1\n", b"2"), (b"\xc3\xa9", b"\xe2\x80\xa8\r\n-\n+\n")),
    ],
    ids=repr,
)
@pytest.mark.parametrize("most", [-1, text_diff.MAX_LINES], ids=["whole", "in hunks"])
def test_programs_take_every_text_diff(
    apply: Callable[[str, bytes], bytes],
    old: bytes,
    new: bytes,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_diff, "MAX_LINES", most)
    if apply is patch_applied and shutil.which("patch") is None:
        pytest.skip("there is no patch program")
    assert apply(text_of(old, new), old) == new


def test_git_heeds_no_configuration(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "--quiet", temporary], check=True)
    config = "[diff]\nalgorithm = one that makes git fail\nexternal = false\n[color]\nui = always\n"
    for file in (temporary / ".git" / "config", temporary / ".gitconfig", temporary / "git" / "config"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(config)
    for file in (temporary / ".gitattributes", temporary / "git" / "attributes"):
        file.write_text("* -diff\n")
    monkeypatch.setenv("HOME", str(temporary))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(temporary))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_DIFF_OPTS", "--unified=0")
    diff = text_of(canonical([*range(9)]), canonical([*range(8), "é"]))
    assert diff == '--- a/one.json\n+++ b/one.json\n@@ -7,5 +7,5 @@\n   5,\n   6,\n   7,\n-  8\n+  "é"\n ]\n'


def test_a_store_without_git_or_room_is_unavailable(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(temporary))
        with pytest.raises(StoreUnavailable, match="git"):
            text_of(b"1\n", b"2\n")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "gone"))
    with pytest.raises(StoreUnavailable, match="gone"):
        text_of(b"1\n", b"2\n")
    assert list(temporary.iterdir()) == []


def test_a_git_that_fails_is_an_error_with_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\necho 'fatal: no luck' >&2\nexit 128\n")
    git.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitStoreError, match=r"status 128: fatal: no luck") as raised:
        text_of(b"1\n", b"2\n")
    assert not isinstance(raised.value, StoreUnavailable)
