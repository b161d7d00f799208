"""Errors of the archive, without the names of its store's library.

ArchiveError          the store refused or cannot be reached, or a wanted archive is not there
├── ArchiveFull       the disk of the archive's folder has no room
├── ArchiveDamaged    a file or its manifest is not as it was written
└── ArchiveStopped    the maker of an archive was asked to stop
"""


class ArchiveError(Exception):
    """The archive could not be written or read; the message names the archive or file, and the reason."""


class ArchiveFull(ArchiveError):
    """The disk of the archive is full; no archive was made, and no row was let go."""


class ArchiveDamaged(ArchiveError):
    """A file in the archive is not as it was written."""


class ArchiveStopped(ArchiveError):
    """The maker of an archive was asked to stop; no archive was made."""
