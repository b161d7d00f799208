"""Inspect a repository on the disk: its refs and the locks on them, its objects, and the output of git.

Refs are read from their files, so that a ref that git would skip is found as well.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import pygit2

from gitstore.errors import RepositoryMissing, translated
from gitstore.git import RunningGit, environment, started
from gitstore.store import open_repository

HEAD = "ref: refs/heads/main"
LOCK = ".lock"

_CHUNK_BYTES = 1024 * 1024
_SHOWN_CHARACTERS = 100
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}")
_PACKED = re.compile(rb"([0-9a-f]{40}) (refs/\S+)")


@dataclass(slots=True)
class Refs:
    """Refs by full name: the object that each names, the content of broken refs, and the locks on refs.

    Each lock has the time of its creation, in seconds.
    """

    head: str
    named: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    locks: dict[Path, float] = field(default_factory=dict)


def read_refs(path: Path) -> Refs:
    """Read every ref of a repository; raises RepositoryMissing and StoreUnavailable.

    If the caller does not have the lock on the refs, they may move meanwhile.
    """
    if not path.is_dir():
        raise RepositoryMissing(str(path))
    with translated():
        refs = Refs(_shown(_content(path / "HEAD") or b""))
        locks = [path / "HEAD.lock", path / "packed-refs.lock"]
        # Loose refs are read first, so that none is missed: pack-refs writes the packed file, then removes
        # them.
        loose = {}
        # Unlike rglob, os.walk tolerates folders that are removed meanwhile.
        for folder, _, names in os.walk(path / "refs"):
            for file in (Path(folder, name) for name in names):
                if file.name.endswith(LOCK):
                    locks.append(file)
                elif (content := _content(file)) is not None:
                    loose[str(file.relative_to(path))] = content
        for lock in locks:
            with suppress(FileNotFoundError):
                refs.locks[lock] = lock.lstat().st_mtime
        for line in (_content(path / "packed-refs") or b"").splitlines():
            if match := _PACKED.fullmatch(line):
                refs.named[match[2].decode("utf-8", "replace")] = match[1].decode()
        for name, content in loose.items():
            if _OBJECT_ID.fullmatch(content):
                refs.named[name] = content.decode()
            else:
                refs.named.pop(name, None)
                refs.broken[name] = _shown(content)
        return refs


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes().strip()
    except FileNotFoundError:
        return None


def _shown(content: bytes) -> str:
    return ascii(content[:_SHOWN_CHARACTERS].decode("utf-8", "replace"))[1:-1] if content else "nothing"


class Objects:
    """Objects of one repository by id, for one thread; raises RepositoryMissing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._repository = open_repository(path)

    def close(self) -> None:
        """Close the repository's files."""
        self._repository.free()

    def is_commit(self, object_id: str) -> bool:
        """Check that there is such a commit."""
        return isinstance(self._get(object_id), pygit2.Commit)

    def exists(self, object_id: str) -> bool:
        """Check that there is such an object."""
        return self._get(object_id) is not None

    def descends(self, commit: str, ancestor: str) -> bool:
        """Check that one commit descends from another; both exist."""
        with translated():
            return self._repository.descendant_of(pygit2.Oid(hex=commit), pygit2.Oid(hex=ancestor))

    def tag_of(self, object_id: str) -> tuple[str | None, str] | None:
        """Return the name in a tag object, and its target; for a light tag, None and the commit."""
        found = self._get(object_id)
        if isinstance(found, pygit2.Tag):
            return found.name, str(found.target)
        return (None, object_id) if isinstance(found, pygit2.Commit) else None

    def blob(self, object_id: str) -> bytes | None:
        """Read a blob, or return None if it is missing or can't be read."""
        found = self._get(object_id)
        return found.data if isinstance(found, pygit2.Blob) else None

    def _get(self, object_id: str) -> object:
        try:
            oid = pygit2.Oid(hex=object_id)
        except ValueError:
            return None
        with suppress(KeyError, pygit2.GitError):
            return cast("object", self._repository[oid])
        # Upkeep may have moved the blob into a pack that libgit2 does not know: look once more, afresh.
        self._repository.free()
        self._repository = open_repository(self._path)
        with suppress(KeyError, pygit2.GitError):
            return cast("object", self._repository[oid])
        return None


def output_of(path: Path, *arguments: str) -> Iterator[bytes]:
    """Yield the output of git in a repository, in pieces; raises the errors of `fsck`, and GitStoreError."""
    with _git(path, arguments) as git:
        output = cast("IO[bytes]", git.process.stdout)
        while chunk := output.read(_CHUNK_BYTES):
            yield chunk
        git.check()


def fsck(path: Path) -> list[str]:
    """Return the complaints of `git fsck --strict` about every object and ref, a line each.

    While others write, git may report an object as missing that was not there when it began. Only a complaint
    that a second run repeats is certain. Raises RepositoryMissing and StoreUnavailable.
    """
    arguments = ("fsck", "--strict", "--full", "--no-dangling", "--no-progress", "--no-reflogs")
    with _git(path, arguments) as git:
        output = cast("IO[bytes]", git.process.stdout).read()
        status = git.process.wait()
        git.errors.seek(0)
        lines = (output + b"\n" + git.errors.read()).decode("utf-8", "replace").splitlines()
    found = [line.strip() for line in lines if line.strip() and not line.startswith(("notice:", "hint:"))]
    if status != 0 and not found:
        found = [f"git fsck ended with status {status}"]
    return found


def _git(path: Path, arguments: tuple[str, ...]) -> AbstractContextManager[RunningGit]:
    if not path.is_dir():
        raise RepositoryMissing(str(path))
    # Git has to read files of any owner, and the objects themselves, not their substitutes in refs/replace.
    as_it_is = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": str(path),
        "GIT_NO_REPLACE_OBJECTS": "1",
    }
    return started(
        arguments[0],
        ["git", f"--git-dir={path}", *arguments],
        stdout=subprocess.PIPE,
        env=environment(**as_it_is),
    )
