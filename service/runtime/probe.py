"""A value that is made at most once a second, in a thread of its own, for all who ask for it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Final, Generic, TypeVar

from service.runtime.clock import Clock

T = TypeVar("T")

FRESH: Final = timedelta(seconds=1)


class Probe(Generic[T]):
    """Makes a value when somebody asks and the last one is older than a second.

    Whoever asks meanwhile shares the value, or waits for the one that is being made. A probe that hangs costs
    one thread, however many wait for it.
    """

    def __init__(self, name: str, make: Callable[[], T], clock: Clock) -> None:
        self._name = name
        self._make = make
        self._clock = clock
        self._lock = threading.Lock()
        self._made: Future[T] | None = None
        self._at = clock()
        self._began = 0.0

    def asked(self) -> Future[T]:
        """Return the value that is at most a second old, or the one that is being made."""
        with self._lock:
            if self._made is None or (self._made.done() and self._is_old()):
                self._made = future = Future[T]()
                # From here on nobody who stops waiting can cancel it for the others.
                future.set_running_or_notify_cancel()
                self._began = time.monotonic()
                thread = threading.Thread(target=self._run, args=(future,), name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    # No thread was left: this is the value, and the next second tries again.
                    self._at = self._clock()
                    future.set_exception(error)
            return self._made

    def seconds(self) -> float:
        """Return for how long the value that is being made, or was made last, has been asked for."""
        return time.monotonic() - self._began

    def _is_old(self) -> bool:
        # A clock that was set back makes a value old, too.
        return abs(self._clock() - self._at) > FRESH

    def _run(self, future: Future[T]) -> None:
        try:
            made = self._make()
        except BaseException as error:  # noqa: BLE001 - those who wait raise it
            self._at = self._clock()
            future.set_exception(error)
        else:
            self._at = self._clock()
            future.set_result(made)
