"""What can go wrong with the archive, without the names of its store's library.

ArchiveError          the store refused, is full or can't be reached, or what was asked for is not there
├── ArchiveDamaged    a file or its manifest is not what was written
└── ArchiveStopped    who asked for a new one does not want it any more
"""


class ArchiveError(Exception):
    """The archive could not be written or read; the message says which part of it, and why."""


class ArchiveDamaged(ArchiveError):
    """What lies in the archive is not what was written there."""


class ArchiveStopped(ArchiveError):
    """Whoever has an archive made was asked to stop; there is none."""
