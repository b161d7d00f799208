"""Lifeline of a process of `annals serve`: its standard input, open as long as the supervisor lives.

The supervisor keeps the other end of the pipe open; however the supervisor ends, the pipe closes.
"""

import os
import sys
import threading
import time
from collections.abc import Callable


class Lifeline:
    """End the process when the supervisor has ended: at once during the start, in good order later.

    `on_end` ends the process in good order once it runs; after `grace_seconds` the process exits in any case.
    """

    def __init__(self, *, grace_seconds: float) -> None:
        self.on_end: Callable[[], None] | None = None
        self._grace_seconds = grace_seconds
        threading.Thread(target=self._follow, name="lifeline", daemon=True).start()

    def _follow(self) -> None:
        # Not with the stream's `read`: this thread would keep its lock while the interpreter shuts down.
        while os.read(sys.stdin.fileno(), 1):
            pass
        if self.on_end is not None:
            self.on_end()
            time.sleep(self._grace_seconds)
        # Nothing was begun yet, or something blocks the shutdown.
        os._exit(1)
