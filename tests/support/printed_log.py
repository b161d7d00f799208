"""The lines that a process prints, as a test reads them."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service.runtime import log_setup


@contextmanager
def printed_log(level: str) -> Iterator[io.StringIO]:
    """Print the process's own log into a text, from a level on, until the block ends."""
    real, sys.stderr = sys.stderr, io.StringIO()
    try:
        log_setup.configure("json", level)
        yield sys.stderr
    finally:
        sys.stderr = real
        log_setup.configure("json", "error")
