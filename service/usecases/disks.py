"""Disks: the free space of each folder that Annals writes to, and a test write to it."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gitstore.errors import is_full
from service.archive import store as archive
from service.runtime.settings import Settings
from sql.embedded.server import running_folder

# A little more than the largest write that a small change makes: a page of a log and a small pack.
PROBE: Final = bytes(64 * 1024)
MEBIBYTE: Final = 1024**2
# PostgreSQL adds such a piece to its write-ahead log, and ends where there is no room for it.
WAL_SEGMENT_BYTES: Final = 16 * MEBIBYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """State of a disk: the bytes that this user may still write, and why a test write failed, if it did."""

    name: str
    folder: Path
    free_bytes: int
    is_full: bool
    fault: str | None

    def __str__(self) -> str:
        """Describe the state for an operator."""
        if self.is_full:
            return f"full: {self.free_bytes / MEBIBYTE:.1f} MiB free in {self.folder}"
        if self.fault is not None:
            return f"{self.folder} can't be written: {self.fault}"
        return f"{self.free_bytes} bytes free in {self.folder}"

    def is_short(self, settings: Settings) -> bool:
        """Tell if less is free than the operator wants."""
        return self.free_bytes < settings.min_free_mb * MEBIBYTE


def folders(settings: Settings, database_url: str | None) -> dict[str, Path]:
    """Name each folder on a disk of this machine: `git`, `postgres`, `archive`, `temporary`.

    `postgres` is only there if the database of `database_url` is the embedded one.
    """
    found = {"git": settings.git_dir}
    if (postgres := running_folder(settings.data_dir.absolute(), database_url)) is not None:
        found["postgres"] = postgres
    if (kept := archive.folder_of(settings)) is not None:
        found["archive"] = kept
    return found | {"temporary": Path(tempfile.gettempdir())}


def examine(of: Mapping[str, Path]) -> list[Disk]:
    """Read the free space of folders, and write to each; nothing is left behind."""
    return [_examined(name, folder) for name, folder in of.items()]


def _examined(name: str, folder: Path) -> Disk:
    free, fault, full = 0, None, False
    try:
        space = os.statvfs(folder)
        free = space.f_bavail * space.f_frsize
        # The file has no name where the file system can do so, and goes with its descriptor.
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            written = file.write(PROBE)
            full = written < len(PROBE)
            full = full or (name == "postgres" and free < WAL_SEGMENT_BYTES)
    except OSError as error:
        fault, full = error.strerror or str(error), is_full(error)
    return Disk(name=name, folder=folder, free_bytes=free, is_full=full, fault=fault)
