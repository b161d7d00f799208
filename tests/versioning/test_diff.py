"""Diffs: patches that give exactly the new document, and limits that hold for any documents."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitstore.errors import GitStoreError, StoreUnavailable
from gitstore.read.text_diff import RUNNING_AT_ONCE, unified
from service.documents.diff import CHILDREN_AT_ONCE, INLINE_BYTES, json_patch
from service.documents.diff_program import MAX_OPERATIONS, MAX_SMALL_PATCH_BYTES
from tests.support.seeded_documents import DOCUMENTS, ODD, mutated

Patch = list[dict[str, Any]]

SECONDS = 20.0
# Seconds that a busy machine may add to a limit.
MARGIN = 15.0
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


def shuffled(length: int) -> tuple[bytes, bytes]:
    """The same numbers in two orders: difflib takes far longer than any limit here."""
    numbers = list(range(length))
    random.Random(length).shuffle(numbers)
    return canonical(list(range(length))), canonical(numbers)


def tangled(lines: int) -> tuple[bytes, bytes]:
    """Two texts of two lines in random order: git takes far longer than any limit here."""
    rng = random.Random(lines)
    return canonical(rng.choices((0, 1), k=lines)), canonical(rng.choices((0, 1), k=lines))


def json_of(old: bytes, new: bytes, seconds: float = SECONDS) -> Patch:
    return json_patch(old, new, seconds=seconds)


def text_of(old: bytes, new: bytes, seconds: float = SECONDS) -> str:
    return unified(old, new, old_label="a/one.json", new_label="b/one.json", seconds=seconds)


def whole(new: bytes) -> Patch:
    return [{"op": "replace", "path": "", "value": orjson.loads(new)}]


def alike(old: Any, new: Any) -> bool:
    """True if both are objects or both lists, so that a patch need not replace the whole."""
    return isinstance(old, dict | list) and type(old) is type(new)


def applied(patch: Patch, document: Any) -> Any:
    """A document after a patch of RFC 6902; implemented here, so that an error of the library shows."""
    root = [document]
    for operation in orjson.loads(orjson.dumps(patch)):
        if operation["op"] in ("remove", "move"):
            place, step = _place(root, operation.get("from", operation["path"]))
            moved = place.pop(step)
        else:
            moved = operation["value"]
        if operation["op"] == "remove":
            continue
        place, step = _place(root, operation["path"])
        if operation["op"] == "replace" or isinstance(place, dict):
            assert operation["op"] != "replace" or isinstance(place, list) or step in place
            place[step] = moved
        else:
            assert step <= len(place)
            place.insert(step, moved)
    return root[0]


def _place(root: list[Any], pointer: str) -> tuple[Any, Any]:
    place: Any = root
    steps = ["0", *(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])]
    for step in steps[:-1]:
        place = place[int(step) if isinstance(place, list) else step]
    return place, int(steps[-1]) if isinstance(place, list) else steps[-1]


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


def children() -> set[int]:
    """The child processes of this one, live or zombies."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if f"PPid:\t{os.getpid()}\n" in (process / "status").read_text():
                found.add(int(process.name))
    return found


@contextmanager
def ticks() -> Iterator[Callable[[], float]]:
    """Run a thread that sleeps for 5 ms in a loop; yields the longest time in seconds between two ticks."""
    stopped = threading.Event()
    longest = 0.0

    def tick() -> None:
        nonlocal longest
        last = time.monotonic()
        while not stopped.wait(0.005):
            now = time.monotonic()
            last, longest = now, max(longest, now - last)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield lambda: longest
    finally:
        stopped.set()
        thread.join()


@pytest.fixture
def no_process_left() -> Iterator[None]:
    """Fail the test if it leaves a process behind."""
    before = children()
    yield
    assert children() <= before


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files in the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@settings(max_examples=300, deadline=None)
@given(pairs)
def test_a_json_patch_gives_exactly_the_new_document(pair: tuple[Any, Any]) -> None:
    old, new = canonical(pair[0]), canonical(pair[1])
    patch = json_of(old, new)
    assert canonical(applied(patch, orjson.loads(old))) == new
    assert (patch == []) == (old == new)
    assert all(operation["path"] for operation in patch) or not alike(*pair)


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


def test_a_child_makes_the_same_exact_patches() -> None:
    rng = random.Random(7)
    for name, document in DOCUMENTS.items():
        edited = mutated(document, rng)
        ballast = {"ballast": [f"{number} é" for number in range(3_000)]}
        old, new = canonical({name: document, **ballast}), canonical({name: edited, **ballast})
        assert len(old) > INLINE_BYTES
        patch = json_of(old, new)
        assert patch == json_of(canonical({name: document}), canonical({name: edited}))
        assert canonical(applied(patch, orjson.loads(old))) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *((1, 1.0), (1, True), (0, False), (0.0, -0.0), (None, 0), ("", None), ([], {}), ([1], [True])),
        *(([0.0, 1], [-0.0, 1]), ({"a": None}, {}), (2**64 - 1, 2**64 - 2), (2**53 + 1, float(2**53))),
        *(([1, 1.0, True], [True, 1, 1.0]), ([0.0, [1]], [[1.0], -0.0]), ({"a": 1}, {"b": 1.0})),
        *(({key: 1}, {key: 2, f"{key}/": 1}) for key in KEYS),
        ([[1, 2, 3]] * 3, [[3, 2, 1], [1, 2, 3], [1.0, 2, 3]]),
    ],
    ids=repr,
)
def test_what_json_tells_apart_a_patch_tells_apart(old: Any, new: Any) -> None:
    patch = json_of(canonical(old), canonical(new))
    assert patch
    assert all(operation["path"] for operation in patch) == alike(old, new)
    assert canonical(applied(patch, orjson.loads(canonical(old)))) == canonical(new)


@pytest.mark.parametrize("items", [3, 1_000], ids=["inline", "in a child"])
def test_a_change_sixty_levels_deep_is_one_operation(items: int) -> None:
    old: Any = {"list": list(range(items)), "x": 1}
    new: Any = {"list": list(range(items)), "x": 2}
    path = "/x"
    for level in range(62):
        old, new = ([old], [new]) if level % 2 else ({"é/~": old}, {"é/~": new})
        path = ("/0" if level % 2 else "/é~1~0") + path
    assert json_of(canonical(old), canonical(new)) == [{"op": "replace", "path": path, "value": 2}]


def test_equal_documents_have_no_diff() -> None:
    for document in ({}, {"a": [1, 2.5, None]}, list(range(100_000))):
        assert json_of(canonical(document), canonical(document)) == []
        assert text_of(canonical(document), canonical(document)) == ""


def test_a_patch_holds_no_more_operations_than_may_be() -> None:
    def changed(members: int) -> tuple[bytes, bytes]:
        ballast = "x" * 2**20
        old, new = ({f"{number}": value for number in range(members)} for value in (0, 1))
        return canonical({**old, "x": ballast}), canonical({**new, "x": ballast})

    assert len(json_of(*changed(MAX_OPERATIONS))) == MAX_OPERATIONS
    old, new = changed(MAX_OPERATIONS + 1)
    assert json_of(old, new) == whole(new)


def test_a_patch_is_no_larger_than_a_large_document() -> None:
    key = "k" * MAX_SMALL_PATCH_BYTES
    old, new = canonical({key: [1, {}, 3, []]}), canonical({key: [2, {}, 4, []]})
    assert json_of(old, new) == whole(new)
    small = canonical({"a": list(range(100))}), canonical({"a": list(range(100, 200))})
    assert len(json_of(*small)) == 100


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_a_json_patch_that_takes_too_long_is_the_whole_value_in_time(seconds: float) -> None:
    old, new = shuffled(100_000)
    started = time.monotonic()
    with ticks() as longest:
        patch = json_of(old, new, seconds)
        took = time.monotonic() - started
    assert patch == whole(new)
    assert took < seconds + MARGIN
    assert longest() < 0.5


def test_a_small_document_that_takes_long_is_limited_too() -> None:
    old, new = canonical([0] * 400), canonical([number if number % 2 else 0 for number in range(400)])
    assert len(old) + len(new) < INLINE_BYTES
    assert json_of(old, new, 0.0) == whole(new)
    assert json_of(canonical([0] * 20), canonical([0] * 19), 0.0) == [{"op": "remove", "path": "/19"}]


def test_eight_mebibytes_are_compared_in_time_and_hold_up_no_thread(temporary: Path) -> None:
    old = [{"id": number, "name": f"é {number}", "ratio": number / 7} for number in range(110_000)]
    new = [*old[:50_000], {"id": 50_000, "name": "new"}, *old[50_001:]]
    before, after = canonical(old), canonical(new)
    assert len(before) > 8 * 2**20
    for diff in (json_of, text_of):
        started = time.monotonic()
        with ticks() as longest:
            diff(before, after, 4.0)
            took = time.monotonic() - started
        assert took < 4.0 + MARGIN
        assert longest() < 0.5
    assert git_applied(text_of(before, after), before) == after
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize("seconds", [0.0, 0.7])
def test_a_text_diff_that_takes_too_long_is_the_whole_text_in_time(seconds: float, temporary: Path) -> None:
    old, new = tangled(1_500_000)
    started = time.monotonic()
    with ticks() as longest:
        diff = text_of(old, new, seconds)
        took = time.monotonic() - started
    assert took < seconds + MARGIN
    assert longest() < 0.5
    assert diff.startswith("--- a/one.json\n+++ b/one.json\n@@ -1,1500002 +1,1500002 @@\n-[\n-  ")
    assert git_applied(diff, old) == new
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
@pytest.mark.parametrize("seconds", [0.0, SECONDS], ids=["whole", "in hunks"])
def test_programs_take_every_text_diff(
    apply: Callable[[str, bytes], bytes], old: bytes, new: bytes, seconds: float
) -> None:
    if apply is patch_applied and shutil.which("patch") is None:
        pytest.skip("there is no patch program")
    assert apply(text_of(old, new, seconds), old) == new


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(
    ("diff", "documents", "slots", "afterwards"),
    [
        (json_of, lambda: shuffled(100_000), CHILDREN_AT_ONCE, "'path': '/1'}]"),
        (text_of, lambda: tangled(2_000_000), RUNNING_AT_ONCE, "@@ -1,6 +1,5 @@"),
    ],
    ids=["json", "text"],
)
def test_more_callers_than_slots_all_return_in_time(
    diff: Callable[[bytes, bytes, float], Any],
    documents: Callable[[], tuple[bytes, bytes]],
    slots: int,
    afterwards: str,
) -> None:
    old, new = documents()
    before = children()

    def late(seconds: float) -> float:
        started = time.monotonic()
        diff(old, new, seconds)
        return time.monotonic() - started - seconds

    most = 0
    with ThreadPoolExecutor(3 * slots) as pool:
        # The first ones occupy the slots for longer than the others may wait.
        calls = [pool.submit(late, 3.5) for _ in range(slots)]
        time.sleep(0.5)
        calls += [pool.submit(late, 0.5) for _ in range(2 * slots)]
        while not all(call.done() for call in calls):
            most = max(most, len(children() - before))
            time.sleep(0.01)
    assert max(call.result() for call in calls) < MARGIN
    assert most == slots
    quick = canonical([0, "removed", *range(9_999)]), canonical([0, *range(9_999)])
    assert afterwards in str(diff(*quick, SECONDS))


def test_a_child_ends_itself_when_nobody_does() -> None:
    old, new = shuffled(100_000)
    command = [sys.executable, "-m", "service.documents.diff_program", str(len(old)), "1.0"]
    ended = subprocess.run(command, input=old + new, capture_output=True, timeout=1.0 + MARGIN, check=False)
    assert ended.returncode == -signal.SIGALRM
    assert ended.stdout == b""


def test_a_child_takes_no_more_memory_than_it_may() -> None:
    # In a small process of its own: the memory of a parent counts as its child's.
    program = (
        "import resource, time; from service.documents.diff import json_patch;"
        "old, new = (b'[%d' % last + b',1' * 13_000_000 + b']' for last in (1, 2));"
        f"started = time.monotonic(); found = json_patch(old, new, seconds={SECONDS});"
        "took = time.monotonic() - started;"
        "print(len(found), found[0]['path'], took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    operations, path, took, kibibytes = ended.stdout.split(" ")
    # The patch replaces the whole document: the child gave up.
    assert (operations, path) == ("1", "")
    assert float(took) < SECONDS + MARGIN
    assert int(kibibytes) < 1024**2


def test_a_child_starts_wherever_the_server_was_started() -> None:
    old, new = canonical(list(range(10_000))), canonical([*range(9_999), -1])
    program = (
        "import sys; from service.documents.diff import json_patch;"
        "old, new = sys.stdin.buffer.read().split(b'|');"
        "print(json_patch(old, new, seconds=20))"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, input=old + b"|" + new, capture_output=True, cwd="/", env={}, check=True)
    assert ended.stdout == b"[{'op': 'replace', 'path': '/9999', 'value': -1}]\n"


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


def test_what_is_no_json_is_refused() -> None:
    for large in (b"", b" " * INLINE_BYTES):
        with pytest.raises(ValueError, match="unexpected"):
            json_of(b"{}" + large, b"{" + large)
