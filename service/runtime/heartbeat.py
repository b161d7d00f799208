"""Heartbeat of a process of `annals serve`, by which the supervisor sees that it still does its work."""

import mmap
import threading

BEAT_SECONDS = 1.0


class Heartbeat:
    """Count beats in memory that a process shares with its fork; made before the fork.

    The processes share no clock and no file: a beat is a byte that has another value than before.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    @property
    def count(self) -> int:
        """Number of beats, modulo 256; 0 before the first one."""
        return self._memory[0]

    def beat(self) -> None:
        """Count one beat."""
        # Never 0 again, so that a process that has begun to beat is known as such.
        self._memory[0] = self._memory[0] % 255 + 1

    def beat_in_thread(self) -> None:
        """Beat each second in a thread of its own, for a process whose steps may take minutes."""
        threading.Thread(target=self._go_on, name="heartbeat", daemon=True).start()

    def _go_on(self) -> None:
        pause = threading.Event()
        while True:
            self.beat()
            pause.wait(BEAT_SECONDS)
