"""Repositories with many small packs, as batches leave them, and checks that their content is readable."""

import json
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gitstore.identity import Identity
from gitstore.store import Store, snapshot_path
from gitstore.upkeep.repack import Upkeep, upkeep
from gitstore.write.commit_builder import CommitBuilder

ANN = Identity("0190a1b2-0000-7000-8000-00000000000a", "ann")
SUBSCRIPTION = "0190a1b2-0000-7000-8000-000000000001"
_NODES = 22
_WORDS = ("customer", "orders", "SELECT", "total", "warehouse", "invoice", "JOIN", "region", "week", "price")


def git(path: Path, *arguments: str) -> str:
    """Return the output of git in a repository; raises CalledProcessError if git fails."""
    done = subprocess.run(["git", "-C", path, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout.strip()


@dataclass
class History:
    """A repository that batches are written to: documents of 6.6 KB and small edits of them."""

    path: Path
    documents: int = 30
    seed: int = 1
    head: str | None = None
    versions: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._documents = [self._document() for _ in range(self.documents)]
        self.builder = CommitBuilder(self.path)

    def write(self, batches: int = 1, size: int = 4, *, keep: bool = True) -> None:
        """Write batches, each a pack, and move `main`; with `keep`, contents are remembered for `check`."""
        for _ in range(batches):
            self.prepare(size, keep=keep)
            git(self.path, "update-ref", "refs/heads/main", self.head or "")

    def prepare(self, size: int = 4, *, keep: bool = True) -> None:
        """Write one batch without moving `main`, as before its transaction commits."""
        self.builder.begin(self.head)
        made: dict[str, bytes] = {}
        for _ in range(size):
            number = self.versions % self.documents
            place = self.versions if self.versions < self.documents else self._rng.randrange(self.documents)
            document = self._documents[place % self.documents]
            document["nodes"][self._rng.randrange(_NODES)]["retries"] = self._rng.randrange(10**6)
            content = json.dumps(document, indent=2).encode()
            commit = self.builder.commit(
                writes={snapshot_path("workflows", f"etl-{place % self.documents}"): content},
                message=f"workflows/etl-{number}: v{self.versions}\n",
                actor=ANN,
                time=datetime.fromtimestamp(1_780_000_000 + self.versions, UTC),
            )
            self.head = commit.commit_id
            self.versions += 1
            made.update(dict.fromkeys(commit.blob_ids.values(), content))
        self.builder.write()
        if keep:
            self.blobs.update(made)

    def check(self) -> None:
        """Check that git can read every version, and finds no fault."""
        assert git(self.path, "fsck", "--strict", "--full", "--no-dangling") == ""
        assert int(git(self.path, "rev-list", "--count", "main")) == self.versions
        given = "".join(f"{blob}\n" for blob in self.blobs).encode()
        shown = subprocess.run(
            ["git", "-C", self.path, "cat-file", "--batch"], input=given, capture_output=True, check=True
        ).stdout
        for blob, content in self.blobs.items():
            header = f"{blob} blob {len(content)}\n".encode()
            assert shown.startswith(header + content), blob
            shown = shown[len(header) + len(content) + 1 :]

    def _document(self) -> dict[str, Any]:
        return {
            "nodes": [
                {
                    "id": f"node-{number}",
                    "sql": " ".join(self._rng.choice(_WORDS) for _ in range(26)),
                    "token": f"{self._rng.getrandbits(64):016x}",
                    "retries": 3,
                }
                for number in range(_NODES)
            ]
        }


@contextmanager
def kept_up(path: Path) -> Iterator[Upkeep]:
    """Begin the upkeep of a repository; no other process may be doing it."""
    with upkeep(path) as work:
        assert work is not None
        yield work


def pack_names(path: Path) -> set[str]:
    """Return the names of the packs, without suffixes."""
    return {file.stem for file in (path / "objects" / "pack").glob("*.idx")}


def size(path: Path) -> int:
    """Return the size of all files, in bytes."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def new_history(folder: Path, **how: Any) -> History:
    """Make an empty repository in a folder."""
    return History(Store(folder).ensure(SUBSCRIPTION), **how)
