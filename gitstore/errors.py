"""The errors of repositories, without libgit2's names.

GitStoreError
├── RepositoryMissing   the subscription has no repository yet, or no longer
├── ObjectMissing       no such commit, tree or blob in the repository
├── NotUnderstood       a commit, tag or tree is not one that Annals makes
├── RefDiverged         a ref is neither at nor behind the commit that its row names
├── UploadPackFailed    `git upload-pack` ended with an error or ran out of time
├── UploadPackBusy      the limit of clones is reached, and none ended in time
├── DiffTooSlow         git did not end a diff in time
├── MaintenanceFailed   upkeep could not do its work; nothing is lost
└── StoreUnavailable    the file system refused: read-only, unmounted
    └── StoreFull       the file system has no room, or this user's quota is used up
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pygit2

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Libgit2 and git repeat the words of the C library, and say no number.
_FULL_IN_WORDS: Final = tuple(os.strerror(number) for number in sorted(_FULL))


class GitStoreError(Exception):
    """A repository could not be read or written."""


class RepositoryMissing(GitStoreError):
    """There is no such repository."""


class ObjectMissing(GitStoreError):
    """There is no such object in the repository."""


class NotUnderstood(GitStoreError):
    """A commit, tag or tree is not one that Annals makes; the message names it and says why."""


class RefDiverged(GitStoreError):
    """A ref is neither at nor an ancestor of the commit that its row names."""

    def __init__(self, ref: str, expected: str, found: str) -> None:
        super().__init__(f"{ref} is at {found}, which is not in the history of {expected}")
        self.ref = ref
        self.expected = expected
        self.found = found

    def __reduce__(self) -> tuple[type["RefDiverged"], tuple[str, str, str]]:
        # Errors are pickled to cross a socket. By default an exception is rebuilt from its message alone.
        return type(self), (self.ref, self.expected, self.found)


class UploadPackFailed(GitStoreError):
    """`git upload-pack` ended with an error or ran out of time."""


class UploadPackBusy(GitStoreError):
    """The limit of clones and fetches that run at once is reached, and none ended in time."""


class DiffTooSlow(GitStoreError):
    """Git did not finish a diff that it finishes in seconds elsewhere: the machine is busy."""


class MaintenanceFailed(GitStoreError):
    """Upkeep could not do its work; nothing is lost, and the next run tries again."""


class StoreUnavailable(GitStoreError):
    """The file system refused to read or write."""


class StoreFull(StoreUnavailable):
    """The file system has no room: the same work may succeed once there is some."""


def is_full(error: BaseException) -> bool:
    """Tell if an error says that a disk, or a quota of it, is full."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return any(words in str(error) for words in _FULL_IN_WORDS)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of libgit2 and the file system into this module's, once, at the edge of the store."""
    try:
        yield
    except KeyError as error:
        raise ObjectMissing(str(error.args[0])) from error
    except pygit2.GitError as error:
        raise (StoreFull if is_full(error) else GitStoreError)(str(error)) from error
    except OSError as error:
        raise (StoreFull if is_full(error) else StoreUnavailable)(str(error)) from error
