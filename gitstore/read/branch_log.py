"""Read the whole history of a branch in one run of the real `git log`, as a stream."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gitstore.read.inspection import output_of

_NO_OBJECT = b"0" * 40
_PLAIN_FILE = b"100644"
# NUL is the one character that neither a message nor a path can hold.
_LOG = ("log", "--reverse", "--topo-order", "-z", "--raw", "--no-abbrev", "--no-renames", "--root")
_PLAIN = ("--no-color", "--no-decorate", "--no-show-signature", "--no-notes", "--no-mailmap")
_FORM = ("--encoding=UTF-8", "--format=%x00%H %P%x00%B")


@dataclass(frozen=True, slots=True)
class BranchCommit:
    """A commit of a branch; a merge has no `changes`.

    `message` is as the commit holds it. `changes` maps each changed path to its new blob, or to None if the
    commit removes the file; `odd` are the paths among them that are not plain files (mode 100644).
    """

    commit_id: str
    parents: tuple[str, ...]
    message: bytes
    changes: dict[str, str | None]
    odd: tuple[str, ...] = ()


def read_branch(path: Path, head: str, *, without: str | None = None) -> Iterator[BranchCommit]:
    """Yield `head` and every commit it descends from, the oldest first, except `without` and its ancestors.

    Raises RepositoryMissing, GitStoreError if git can't read all of them, StoreUnavailable.
    """
    range_ = (head,) if without is None else (head, f"^{without}")
    with closing(_tokens(output_of(path, *_LOG, *_PLAIN, *_FORM, *range_, "--"))) as tokens:
        following = next(tokens, None)
        while following == b"" and (header := next(tokens, b"")):
            commit_id, *parents = header.decode().split()
            message = next(tokens)
            changes: dict[str, str | None] = {}
            odd = []
            # Git writes a line about each path, the first after a newline, and then the path.
            while (following := next(tokens, None)) and (about := following.lstrip(b"\n")).startswith(b":"):
                _, mode, _, blob, _ = about.split(b" ")
                name = next(tokens).decode("utf-8", "replace")
                changes[name] = None if blob == _NO_OBJECT else blob.decode()
                if blob != _NO_OBJECT and mode != _PLAIN_FILE:
                    odd.append(name)
            yield BranchCommit(commit_id, tuple(parents), message, changes, tuple(odd))


def _tokens(chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Cut the output of git at each NUL."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        yield rest
