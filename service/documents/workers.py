"""Work on large documents in processes of their own, so that no thread waits for the interpreter meanwhile.

The parsers and writers of JSON keep the interpreter's lock, as libgit2 does when it reads a blob: some 10 ms
for each MiB, in which no other request of the process is served. A caller sends a function with its arguments
to a document worker (`service/processes/document_worker.py`), and waits for the result without that lock.
"""

import socket
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import structlog

from gitstore.read.blob_reader import LARGE_BYTES, LargeBlob
from service.domain.errors import Busy
from service.runtime.pickles import message, receive, survives

log = structlog.get_logger(__name__)

# A caller waits for others' work, too: a bounded number of calls, of which the longest take seconds.
ANSWER_SECONDS = 120

P = ParamSpec("P")
Result = TypeVar("Result")


class WorkOutcome(NamedTuple):
    """The result of a function, or the error that it raised."""

    result: Any
    error: Exception | None


class DocumentWorkers:
    """The document workers behind a Unix socket; without one, all work is done by the caller's thread."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def run(self, size: int, function: Callable[P, Result], *arguments: P.args, **more: P.kwargs) -> Result:
        """Call a function of so many bytes, by a document worker if they are LARGE_BYTES or more.

        The function, its arguments and its result have to be fit for pickle. Raises the function's errors,
        and Busy if the worker ends before it answers.
        """
        if size < LARGE_BYTES:
            return function(*arguments, **more)
        return self.aside(function, *arguments, **more)

    def aside(self, function: Callable[P, Result], *arguments: P.args, **more: P.kwargs) -> Result:
        """Call a function by a document worker, if there is one. The rules and errors are those of `run`."""
        if self._path is None:
            return function(*arguments, **more)
        outcome = self._asked(self._path, partial(function, *arguments, **more))
        if outcome.error is not None:
            raise outcome.error
        return cast("Result", outcome.result)

    def read(self, blob: LargeBlob) -> bytes:
        """Read a large blob; raises RepositoryMissing, ObjectMissing and Busy."""
        return self.run(len(blob), blob.read)

    def _asked(self, path: Path, work: Callable[[], Any]) -> WorkOutcome:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.connect(str(path))
                for part in message(work):
                    connection.sendall(part)
                with connection.makefile("rb") as answers:
                    return cast("WorkOutcome", receive(answers))
        except (OSError, EOFError) as error:
            log.warning("a document worker did not answer", error=repr(error))
            raise Busy(
                "A large document can't be worked on just now; nothing was changed, try again."
            ) from error


# For processes that nobody waits for, and for those that have no document workers beside them.
IN_THREAD = DocumentWorkers()


def outcome_of(work: Callable[[], Any]) -> WorkOutcome:
    """Do some work; its error gets the traceback as a note, since pickle drops it."""
    try:
        return WorkOutcome(work(), None)
    except Exception as error:  # noqa: BLE001 - the caller raises it
        error.add_note("".join(traceback.format_exception(error)))
        return WorkOutcome(None, error if survives(error) else RuntimeError(repr(error)))
