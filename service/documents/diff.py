"""Compute the JSON patch between two documents within a time limit, without blocking other threads."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO, Any

import orjson
import structlog

from service.documents.diff_program import NO_PATCH, patch_between

log = structlog.get_logger(__name__)

# Children at once of one process: each takes a processor, and up to a gibibyte of addresses.
CHILDREN_AT_ONCE = 2
# Documents that together are no larger, and whose lists take no more steps, are compared in this process. The
# longest comparison found within both limits takes 34 ms of a processor: the worst case below with 100 items,
# and sixteen lists of 40 numbers reversed. 200 changes below a key of 3,000 tildes take 30 ms, but 55 ms in
# 16 KiB and 190 ms in 32 KiB. Starting a child takes 40 ms.
INLINE_BYTES = 12 * 1024
# The worst case of difflib is one number repeated against a list where every other number is new. It takes
# the cube of the length: 22 ms for 126 items, which are four million steps, but 650 ms for 400 and 1.2 s for
# 500.
INLINE_EFFORT = 4_000_000

_SLOTS = threading.BoundedSemaphore(CHILDREN_AT_ONCE)
_COMPLAINT_BYTES = 4 * 1024


def json_patch(old: bytes, new: bytes, *, seconds: float) -> list[dict[str, Any]]:
    """Compute the RFC 6902 operations from one canonical JSON document to exactly the other.

    Equal documents have none. The whole value is replaced if the search takes longer than `seconds`,
    including the wait for other diffs, or if the operations would be too many to be of use. Raises ValueError
    if `new` is not JSON.
    """
    if old == new:
        return []
    text = patch_between(old, new) if _is_quick(old, new) else _limited(old, new, time.monotonic() + seconds)
    patch: list[dict[str, Any]] | None = orjson.loads(text)
    return [{"op": "replace", "path": "", "value": orjson.loads(new)}] if patch is None else patch


def _is_quick(old: bytes, new: bytes) -> bool:
    if len(old) + len(new) > INLINE_BYTES:
        return False
    return _effort(orjson.loads(old)) + _effort(orjson.loads(new)) <= INLINE_EFFORT


def _effort(value: Any) -> int:
    """Return an upper bound of the steps that difflib takes for the lists in a document."""
    if isinstance(value, dict):
        return sum(map(_effort, value.values()))
    if isinstance(value, list):
        return len(value) ** 3 + sum(map(_effort, value))
    return 0


def _limited(old: bytes, new: bytes, deadline: float) -> bytes:
    """Run `patch_between` in a child process; NO_PATCH at the deadline."""
    if not _SLOTS.acquire(timeout=_remaining(deadline)):
        return NO_PATCH
    try:
        # The child gets files, because pipes are filled and emptied in pieces, and each piece waits for the
        # GIL.
        with _memory_file() as documents, _memory_file() as patch:
            documents.write(old)
            documents.write(new)
            documents.seek(0)
            if not _run_child(len(old), documents, patch, deadline):
                return NO_PATCH
            patch.seek(0)
            return patch.read()
    except OSError as error:
        log.warning("diff_not_started", error=str(error))
        return NO_PATCH
    finally:
        _SLOTS.release()


def _memory_file() -> IO[bytes]:
    return os.fdopen(os.memfd_create("annals-diff"), "w+b")


def _run_child(old_bytes: int, documents: IO[bytes], patch: IO[bytes], deadline: float) -> bool:
    """Run the child until it ends or is killed; returns True if it wrote a patch."""
    seconds = _remaining(deadline)
    if not seconds:
        return False
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "service.documents.diff_program", str(old_bytes), str(seconds)],
        # The child imports from the same paths as this process, and gets no secrets.
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=documents,
        stdout=patch,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            _, complaint = process.communicate(timeout=_remaining(deadline))
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    # A negative status means a signal: the child reached one of its limits, which is no failure to report.
    if process.returncode > 0:
        said = complaint[-_COMPLAINT_BYTES:].decode("utf-8", "replace")
        log.warning("diff_failed", status=process.returncode, error=said)
    return process.returncode == 0


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
