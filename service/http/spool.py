"""Spool: the bytes of a body on their way, in memory while they are few, then in a file without a name."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from anyio import to_thread

from gitstore.errors import is_full
from service.domain.errors import StorageFull

# Longer bodies of streams go to a file.
MEMORY_BYTES = 512 * 1024
# Written at once: a piece of the network is some 64 KiB.
_WRITTEN_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024


class Spool:
    """Bytes that arrive, and are read once all are there; `folder` has the file, which ends with its process.

    The file leaves `min_free_bytes` on its disk: that room is for the database and the repositories.
    """

    def __init__(self, folder: Path, *, memory_bytes: int, min_free_bytes: int) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._min_free_bytes = min_free_bytes
        self._parts: list[bytes] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        self.size = 0

    async def add(self, part: bytes) -> None:
        """Add bytes; raises StorageFull."""
        self._parts.append(part)
        self._held += len(part)
        self.size += len(part)
        if self._held > (self._memory_bytes if self._file is None else _WRITTEN_BYTES):
            await to_thread.run_sync(self._write)

    async def end(self) -> None:
        """Write the last bytes of a file; raises StorageFull."""
        if self._file is not None:
            await to_thread.run_sync(self._write)

    def read(self) -> Iterator[bytes]:
        """Read the bytes from the beginning."""
        if self._file is None:
            yield from self._parts
            return
        self._file.seek(0)
        while piece := self._file.read(_READ_BYTES):
            yield piece

    def close(self) -> None:
        """Free the memory and the file."""
        self._parts = []
        if self._file is not None:
            self._file.close()

    def _write(self) -> None:
        try:
            if self._file is None:
                # Unbuffered, so that no bytes are left to be written where the disk is full.
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed below
            space = os.fstatvfs(self._file.fileno())
            if space.f_bavail * space.f_frsize < self._min_free_bytes + self._held:
                raise StorageFull("The disk for bodies on their way has too little room; nothing was stored.")
            for part in self._parts:
                view = memoryview(part)
                while view:
                    view = view[self._file.write(view) or 0 :]
        except OSError as error:
            if is_full(error):
                raise StorageFull("The disk for bodies on their way is full; nothing was stored.") from error
            raise
        self._parts = []
        self._held = 0
