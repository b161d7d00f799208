"""Changes handed to a group commit of the same process, by a thread that waits for what becomes of them."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import cast

from service.committer.batch import Outcome
from service.committer.changes import Delete, Deleted, Purge
from service.committer.group_commit import GroupCommit


class _Asking:
    """Waits in this thread for what becomes of one deletion."""

    def __init__(self) -> None:
        self._future: Future[Deleted] = Future()

    def still_wants(self, _number: int) -> bool:
        """Always: whoever asked is not there to hang up."""
        return True

    def deliver(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Let the thread go on."""
        for _, outcome in outcomes:
            if isinstance(outcome, Exception):
                self._future.set_exception(outcome)
            else:
                self._future.set_result(cast("Deleted", outcome))

    def wait(self) -> Deleted:
        """The deletion; raises what refused it."""
        return self._future.result()


def carry_out(group: GroupCommit, change: Delete | Purge) -> Deleted:
    """Hand a deletion to the group and wait for it; raises what refused it."""
    asking = _Asking()
    group.put(change, asking, 0)
    return asking.wait()
