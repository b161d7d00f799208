"""Make the unified diff of two texts by the real `git diff`, within a time limit.

Libgit2's `Patch.create_from` is no replacement. It keeps the interpreter's lock for the whole diff: for texts
of 1 MiB another thread waited 86 to 706 ms, and 6 to 16 ms beside `git diff`. Nor are its hunks always git's:
2 of 202 pairs of real state machines differed.
"""

import math
import resource
import subprocess
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from gitstore.errors import translated
from gitstore.git import environment, started

# Diffs at once in one process. Git takes 15 times the bytes of a text in memory: 570 MB for two of 36 MB.
RUNNING_AT_ONCE = 2

_SLOTS = threading.BoundedSemaphore(RUNNING_AT_ONCE)
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv")
_COMMAND = ("git", "--no-pager", "diff", "--no-index", "--text", "--unified=3", *_PLAIN, "--", "old", "new")
# The exit status of `git diff --no-index` for files that differ.
_DIFFERENT = 1


def unified(old: bytes, new: bytes, *, old_label: str, new_label: str, seconds: float) -> str:
    """Make the unified diff of two texts in UTF-8 with three lines of context, empty for equal ones.

    If git takes longer than `seconds`, including the wait for other diffs, all of the old text is shown as
    removed and all of the new one as added. The labels must not hold a newline. Raises StoreUnavailable if
    the file system refuses or git can't be started, GitStoreError if git fails, ValueError for bytes that are
    not UTF-8.
    """
    if old == new:
        return ""
    hunks = _hunks(old, new, time.monotonic() + seconds)
    if hunks is None:
        hunks = _replacement(old, new)
    return f"--- {old_label}\n+++ {new_label}\n{hunks.decode()}"


def _hunks(old: bytes, new: bytes, deadline: float) -> bytes | None:
    """Return git's output below its header, or None if the deadline passes first."""
    if not _SLOTS.acquire(timeout=_remaining(deadline)):
        return None
    try:
        with translated(), TemporaryDirectory(prefix="annals-diff-") as name:
            folder = Path(name)
            (folder / "old").write_bytes(old)
            (folder / "new").write_bytes(new)
            if not _run(folder, deadline):
                return None
            output = (folder / "hunks").read_bytes()
            return output[output.index(b"\n@@ ") + 1 :]
    finally:
        _SLOTS.release()


def _run(folder: Path, deadline: float) -> bool:
    """Write git's diff of `old` and `new` to `hunks`; False if the time ran out."""
    # The temporary folder may lie in somebody's working copy, whose configuration git would otherwise apply.
    outside = {"GIT_ATTR_NOSYSTEM": "1", "GIT_CEILING_DIRECTORIES": str(folder.parent.resolve())}
    with (
        # The output is a file, because a pipe would be emptied in pieces, and each piece waits for the GIL.
        (folder / "hunks").open("wb") as output,
        started("diff", _COMMAND, stdout=output, cwd=folder, env=environment(**outside)) as git,
    ):
        # The kernel enforces this limit, in case this process is killed before it can kill git.
        limit = math.ceil(_remaining(deadline)) + 1
        resource.prlimit(git.process.pid, resource.RLIMIT_CPU, (limit, limit))
        try:
            git.check(success=_DIFFERENT, seconds=_remaining(deadline))
        except subprocess.TimeoutExpired:
            return False
    return True


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


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
