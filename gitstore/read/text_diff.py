"""Make the unified diff of two texts by the real `git diff`, whose work is bounded by lines and bytes.

Libgit2's `Patch.create_from` is no replacement. It keeps the interpreter's lock for the whole diff: for texts
of 1 MiB another thread waited 86 to 706 ms, and 6 to 16 ms beside `git diff`. Nor are its hunks always git's:
2 of 202 pairs of real state machines differed.
"""

import resource
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from gitstore.errors import DiffTooSlow, translated
from gitstore.git import environment, started
from gitstore.priority import give_way

# Lines of both texts together, without their common beginning and end. Lists of zeros and ones by lot are the
# worst found: two of 500,000 take 2.6 s of a processor, two of 200,000 take 1.0 s. A document of 100,000
# values has at most 200,000 lines.
MAX_LINES = 1_000_000
# Bytes of both texts together: git takes eight times as many in memory.
MAX_BYTES = 48 * 1024 * 1024
# Far more than the worst diff within the bounds takes on a busy machine.
SAFETY_SECONDS = 60

# Others wait for their answers while a large diff is made.
_NICENESS = 10
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv")
_COMMAND = ("git", "--no-pager", "diff", "--no-index", "--text", "--unified=3", *_PLAIN, "--", "old", "new")
# The exit status of `git diff --no-index` for files that differ.
_DIFFERENT = 1


class TextDiff(NamedTuple):
    """A unified diff; `truncated` if it replaces the whole text, because the texts are past a bound."""

    text: str
    truncated: bool


def unified(old: bytes, new: bytes, *, old_label: str, new_label: str) -> TextDiff:
    """Make the unified diff of two texts in UTF-8 with three lines of context, empty for equal ones.

    The same texts always have the same diff. Past MAX_LINES or MAX_BYTES all of the old text is shown as
    removed and all of the new one as added. The labels must not hold a newline. Raises StoreUnavailable if
    the file system refuses or git can't be started, DiffTooSlow after SAFETY_SECONDS, GitStoreError if git
    fails, ValueError for bytes that are not UTF-8.
    """
    if old == new:
        return TextDiff("", truncated=False)
    truncated = len(old) + len(new) > MAX_BYTES or _lines_between(old, new) > MAX_LINES
    hunks = _replacement(old, new) if truncated else _hunks(old, new)
    return TextDiff(f"--- {old_label}\n+++ {new_label}\n{hunks.decode()}", truncated)


def _lines_between(old: bytes, new: bytes) -> int:
    """Count the line ends in both texts that lie between their common beginning and end."""
    begin = _common(old, new)
    shorter = min(len(old), len(new)) - begin
    end = _common(old[len(old) - shorter :][::-1], new[len(new) - shorter :][::-1])
    return sum(text.count(b"\n", begin, len(text) - end) for text in (old, new))


def _common(old: bytes, new: bytes) -> int:
    """Return the length of the common beginning; reading each text once or twice, as fast as memory."""
    known, step = 0, min(len(old), len(new))
    while step:
        if known + step <= min(len(old), len(new)) and old[known : known + step] == new[known : known + step]:
            known += step
        else:
            step //= 2
    return known


def _hunks(old: bytes, new: bytes) -> bytes:
    """Return git's output below its header."""
    with translated(), TemporaryDirectory(prefix="annals-diff-") as name:
        folder = Path(name)
        (folder / "old").write_bytes(old)
        (folder / "new").write_bytes(new)
        _run(folder)
        output = (folder / "hunks").read_bytes()
        return output[output.index(b"\n@@ ") + 1 :]


def _run(folder: Path) -> None:
    """Write git's diff of `old` and `new` to `hunks`."""
    # The temporary folder may lie in somebody's working copy, whose configuration git would otherwise apply.
    outside = {"GIT_ATTR_NOSYSTEM": "1", "GIT_CEILING_DIRECTORIES": str(folder.parent.resolve())}
    with (
        # The output is a file, because a pipe would be emptied in pieces, and each piece waits for the GIL.
        (folder / "hunks").open("wb") as output,
        started("diff", _COMMAND, stdout=output, cwd=folder, env=environment(**outside)) as git,
    ):
        give_way(git.process.pid, _NICENESS)
        with suppress(ProcessLookupError):
            # The kernel enforces this limit, in case this process is killed before it can kill git.
            resource.prlimit(git.process.pid, resource.RLIMIT_CPU, (SAFETY_SECONDS, SAFETY_SECONDS))
        try:
            git.check(success=_DIFFERENT, seconds=SAFETY_SECONDS)
        except subprocess.TimeoutExpired:
            raise DiffTooSlow(f"git took longer than {SAFETY_SECONDS} s for a diff") from None


def _replacement(old: bytes, new: bytes) -> bytes:
    """Make one hunk that removes every old line and adds every new one."""
    header = f"@@ -{_extent(old)} +{_extent(new)} @@\n".encode()
    return header + _marked(b"-", old) + _marked(b"+", new)


def _extent(text: bytes) -> str:
    lines = text.count(b"\n") + (not text.endswith(b"\n"))
    return f"1,{lines}" if text else "0,0"


def _marked(sign: bytes, text: bytes) -> bytes:
    if not text:
        return b""
    marked = sign + text.removesuffix(b"\n").replace(b"\n", b"\n" + sign) + b"\n"
    return marked if text.endswith(b"\n") else marked + b"\\ No newline at end of file\n"
