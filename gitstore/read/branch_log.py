"""The whole history of a branch in one reading, by the real `git log`, for comparing it with the rows."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gitstore.read.inspection import output_of

_GONE = "0" * 40
# NUL is the one character that neither a message nor a path can hold.
_LOG = ("log", "--reverse", "--topo-order", "-z", "--raw", "--no-abbrev", "--no-renames", "--root")
_PLAIN = ("--no-color", "--no-decorate", "--no-show-signature", "--no-notes", "--no-mailmap")
_FORM = ("--encoding=UTF-8", "--format=%x00%H %P%x00%B")


@dataclass(frozen=True, slots=True)
class WalkedCommit:
    """A commit as it stands on a branch: `changes` are the blobs that it puts at paths, None for nothing."""

    commit_id: str
    parents: tuple[str, ...]
    message: str
    changes: dict[str, str | None]


def walk(path: Path, head: str, *, without: str | None = None) -> Iterator[WalkedCommit]:
    """The commits that `head` descends from and itself, the oldest first, except those that `without` has.

    Of a merge no changes are told. Raises RepositoryMissing, GitStoreError where git can't read all of them,
    StoreUnavailable.
    """
    range_ = (head,) if without is None else (head, f"^{without}")
    with closing(_tokens(output_of(path, *_LOG, *_PLAIN, *_FORM, *range_, "--"))) as tokens:
        following = next(tokens, None)
        while following == "" and (header := next(tokens, "")):
            commit_id, *parents = header.split()
            message = next(tokens)
            changes: dict[str, str | None] = {}
            # A line about a path, with a newline before the first, is followed by the path.
            while (following := next(tokens, None)) and (about := following.lstrip("\n")).startswith(":"):
                blob = about.split(" ")[3]
                changes[next(tokens)] = None if blob == _GONE else blob
            yield WalkedCommit(commit_id, tuple(parents), message, changes)


def _tokens(chunks: Iterator[bytes]) -> Generator[str, None, None]:
    """What git prints, cut at each NUL."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\0")
        for token in whole:
            yield token.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")
