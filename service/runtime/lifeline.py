"""How a process that `annals serve` started knows that it is still wanted: its standard input stays open.

The supervisor writes one line of JSON and keeps the pipe; however it ends, the pipe closes with it.
"""

import os
import sys
import threading
import time
from collections.abc import Callable


class Lifeline:
    """Ends the process when the supervisor is gone: at once while it starts, in good order later.

    `on_end` is what brings it to an end once it runs; past `grace_seconds` the process is gone in any case.
    """

    def __init__(self, *, grace_seconds: float) -> None:
        self.on_end: Callable[[], None] | None = None
        self._grace_seconds = grace_seconds
        threading.Thread(target=self._follow, name="lifeline", daemon=True).start()

    def _follow(self) -> None:
        # Not by `read` of the stream, whose lock this thread would hold while the interpreter shuts down.
        while os.read(sys.stdin.fileno(), 1):
            pass
        if self.on_end is not None:
            self.on_end()
            time.sleep(self._grace_seconds)
        # Nothing was begun yet, or something blocks the way out.
        os._exit(1)
