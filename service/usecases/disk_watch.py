"""Watch the disks of this host: the moment at which one is full becomes a row of the server log."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gitstore.errors import StoreFull
from service.usecases import disks
from service.usecases.platform_events import PlatformEvents
from sql.errors import DiskFull

SECONDS: Final = 5.0
# A disk that was not seen full for so long has room again, and the next time is told anew.
FORGOTTEN_AFTER_SECONDS: Final = 60.0


class DiskWatch:
    """Looks at the disks every five seconds, and is told of each change that found one full."""

    def __init__(self, folders: Mapping[str, Path], events: PlatformEvents) -> None:
        self._folders = folders
        self._events = events
        self._lock = threading.Lock()
        self._full: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disks", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()

    def refused(self, error: Exception) -> None:
        """Note an error of a change, if it says that a disk is full."""
        if isinstance(error, DiskFull):
            self._note("postgres", f"the disk of the database has no room: {error}")
        elif isinstance(error, StoreFull):
            self._note("git", f"the disk of the repositories has no room: {error}")

    def look(self) -> None:
        """Look at each disk once."""
        for disk in disks.examine(self._folders):
            if disk.is_full:
                self._note(disk.name, f"the disk of {disk.folder} ({disk.name}) has no room")

    def _note(self, name: str, text: str) -> None:
        now = time.monotonic()
        with self._lock:
            seen = self._full.get(name)
            self._full[name] = now
        if seen is None or now - seen > FORGOTTEN_AFTER_SECONDS:
            self._events.record("storage_full", text.splitlines()[0])

    def _run(self) -> None:
        while not self._stop.wait(SECONDS):
            self.look()
