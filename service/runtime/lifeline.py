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

    Once the process runs, `on_end` is set and ends it in good order. `grace_seconds` after this call the
    process exits in any case.
    """

    def __init__(self, *, grace_seconds: float) -> None:
        self.on_end: Callable[[], None] | None = None
        self._grace_seconds = grace_seconds
        threading.Thread(target=self._follow, name="lifeline", daemon=True).start()

    def _follow(self) -> None:
        # `sys.stdin.read` would hold the stream's lock, which the interpreter needs when it shuts down.
        while os.read(sys.stdin.fileno(), 1):
            pass
        if self.on_end is not None:
            self.on_end()
            time.sleep(self._grace_seconds)
        # Either nothing has begun that would have to end in order, or something blocks the orderly end.
        os._exit(1)
