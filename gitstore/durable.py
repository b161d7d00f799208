"""Write files and folders so that they are on the disk when the call returns."""

import os
from collections.abc import Sequence
from pathlib import Path


def write_file(path: Path, chunks: Sequence[bytes], mode: int) -> None:
    """Create `path`, which must not exist, and fsync it; its name is durable once its folder is synced too.

    Raises OSError; a half-written file is then left behind.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        rest = memoryview(b"".join(chunks))
        # Each system call releases the interpreter's lock and has to take it again. A file object makes six.
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
