"""Sample what a process uses and holds into gauges, which `/metrics` of any process of this server shows."""

import os
import resource
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from service.runtime import metrics
from sql.database import Database

log = structlog.get_logger(__name__)

SECONDS: Final = 2.0
_PAGE: Final = resource.getpagesize()
_SELF: Final = Path("/proc/self")


class Sampler:
    """Samples one process: its memory, processor time, files and threads, and its pools of connections.

    `further` samples what else the process holds.
    """

    def __init__(self, process: str, pools: Mapping[str, Database], *further: Callable[[], None]) -> None:
        self._process = process
        self._pools = pools
        self._further = further
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampling", daemon=True)

    def start(self) -> None:
        """Sample every two seconds from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the samples."""
        self._stop.set()
        self._thread.join()

    def sample(self) -> None:
        """Sample now; what can't be read keeps its last value."""
        try:
            self._read()
        except OSError as error:
            # Where no file handle is left, say, the process has to go on without its figures.
            log.warning("this process could not be sampled", error=str(error))

    def _read(self) -> None:
        name = self._process
        pages = (_SELF / "statm").read_text().split()[1]
        metrics.PROCESS_MEMORY.labels(name).set(int(pages) * _PAGE)
        times = os.times()
        metrics.PROCESS_CPU.labels(name).set(times.user + times.system)
        metrics.PROCESS_FILES.labels(name).set(sum(1 for _ in (_SELF / "fd").iterdir()))
        metrics.PROCESS_THREADS.labels(name).set(threading.active_count())
        for pool, database in self._pools.items():
            used, opened, most = database.connections()
            for state, number in (("in use", used), ("open", opened), ("at most", most)):
                metrics.CONNECTIONS.labels(name, pool, state).set(number)
        for each in self._further:
            each()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.sample()
            self._stop.wait(SECONDS)
