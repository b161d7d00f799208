"""Breath: long work in one thread rests as often as it computes, so that other threads get the interpreter.

Other threads need the interpreter a dozen times for a request, and wait each time until the thread that has
it yields: within 5 ms if it computes in Python, at the end if it parses or writes JSON.
"""

import time

# Shorter work is not worth a rest. Longer rests help nobody: others have had their turn by then.
_LEAST_SECONDS = 0.002
_MOST_SECONDS = 0.05


class Breath:
    """Rests of one thread; made where its work begins."""

    def __init__(self) -> None:
        self._began = time.thread_time()

    def take(self) -> None:
        """Rest for as long as this thread has computed since the last rest."""
        worked = time.thread_time() - self._began
        if worked >= _LEAST_SECONDS:
            time.sleep(min(worked, _MOST_SECONDS))
            self._began = time.thread_time()
