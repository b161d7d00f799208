"""The references of the service: a plain durable pygit2 loop (A), and `git fast-import` (B).

Both write into a bare repository like the service's own, with the same 256-way fan-out and 10,000 documents
that are there before the clock starts. Each runs in a process of its own: `python -m bench.reference` with
`a` or `b` prints its figures as JSON.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

import pygit2
from pygit2.enums import FileMode

from bench import documents
from gitstore.git import environment
from gitstore.store import Store, open_repository

RESOURCES = 10_000
_SUBSCRIPTION = str(UUID(int=0))
_PARENT = str(UUID(int=1))
_AUTHOR = ("bench", "bench@annals.invalid")
# Edits prepared for each second: far more than a loop of pygit2 with fsync can commit. A loop that uses them
# up fails with an error.
_PER_SECOND = 1_500
# At least so many edits are prepared, because a short turn in memory commits more a second.
_AT_LEAST = 1_500


@dataclass(frozen=True)
class Figures:
    """The figures of a reference: documents and commits in a number of seconds, latencies in milliseconds."""

    documents: int
    commits: int
    seconds: float
    cpu_seconds: float
    p50: float = 0.0
    p99: float = 0.0

    @property
    def rate(self) -> float:
        """The number of documents a second."""
        return self.documents / self.seconds


class Corpus:
    """The documents of a reference's repository, and edits of them in a seeded order."""

    def __init__(self, resources: int) -> None:
        self.ids = documents.identities(resources)
        self._definitions: dict[int, bytes] = {}

    def snapshot(self, number: int) -> bytes:
        """Make the canonical bytes of a document in its present state."""
        definition = self._definitions.get(number) or documents.document(number)
        return documents.snapshot(definition, self.ids[number], f"workflow {number}", _PARENT)

    def edits(self, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of edited documents, one edit after the other."""
        rng = random.Random(seed)
        for _ in range(count):
            number = rng.randrange(len(self.ids))
            before = self._definitions.get(number) or documents.document(number)
            self._definitions[number] = documents.edited(before, rng)
            yield documents.path_of(self.ids[number]), self.snapshot(number)

    def all(self) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of every document."""
        for number, resource_id in enumerate(self.ids):
            yield documents.path_of(resource_id), self.snapshot(number)


def prepare(folder: Path, resources: int = RESOURCES) -> Path:
    """Make a repository as the service makes them, with one commit of all documents in one pack."""
    repository = Store(folder).ensure(_SUBSCRIPTION)
    stream = b"".join(stream_of([list(Corpus(resources).all())], has_parent=False))
    fast_import(repository, stream)
    return repository


def stream_of(commits: Iterable[Sequence[tuple[str, bytes]]], *, has_parent: bool) -> Iterator[bytes]:
    """Write the commits as a stream for `git fast-import`."""
    for number, writes in enumerate(commits):
        message = b"workflows: %d documents" % len(writes)
        yield from _head(message, number, has_parent=number == 0 and has_parent)
        for path, content in writes:
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content)


def change_of(places: Mapping[str, str | None]) -> bytes:
    """Make one commit that puts blobs at some paths, and removes the paths whose blob is None."""
    message = b"workspaces: %d paths" % len(places)
    lines = (f"D {path}\n" if blob is None else f"M 100644 {blob} {path}\n" for path, blob in places.items())
    return b"".join((*_head(message, 0, has_parent=True), "".join(lines).encode()))


def _head(message: bytes, number: int, *, has_parent: bool) -> Iterator[bytes]:
    name, email = _AUTHOR
    yield b"commit refs/heads/main\n"
    yield f"committer {name} <{email}> {1_700_000_000 + number} +0000\n".encode()
    yield b"data %d\n%s\n" % (len(message), message)
    if has_parent:
        yield b"from refs/heads/main^0\n"


def fast_import(repository: Path, stream: bytes) -> tuple[float, float]:
    """Feed a stream to `git fast-import`; returns its seconds, and its seconds of processor time.

    The repository's own configuration makes git fsync its writes, as the service does.
    """
    file = repository.parent / "stream"
    file.write_bytes(stream)
    before = _children_cpu()
    with file.open("rb") as source:
        began = time.perf_counter()
        subprocess.run(
            ["git", "fast-import", "--quiet"],
            cwd=repository,
            stdin=source,
            env=environment(),
            check=True,
        )
        seconds = time.perf_counter() - began
    file.unlink()
    return seconds, _children_cpu() - before


def loop(repository: Path, seconds: float, resources: int = RESOURCES, seed: int = 1) -> Figures:
    """Run reference A: one commit per edit, each object and the ref fsynced, until the time is up."""
    pygit2.settings.enable_fsync_gitdir(True)
    edits = list(Corpus(resources).edits(int(seconds * _PER_SECOND) + _AT_LEAST, seed))
    opened = open_repository(repository)
    latencies = []
    cpu, began = time.process_time(), time.perf_counter()
    end, now = began + seconds, began
    for path, content in edits:
        _commit(opened, path, content)
        before, now = now, time.perf_counter()
        latencies.append(now - before)
        if now >= end:
            break
    else:
        raise RuntimeError("reference A ran out of documents: raise _PER_SECOND")
    latencies_ms = sorted(latency * 1000 for latency in latencies)
    return Figures(
        documents=len(latencies),
        commits=len(latencies),
        seconds=now - began,
        cpu_seconds=time.process_time() - cpu,
        p50=latencies_ms[len(latencies) // 2],
        p99=latencies_ms[len(latencies) * 99 // 100],
    )


def stream(repository: Path, commits: int, per_commit: int, resources: int = RESOURCES) -> Figures:
    """Run reference B: the edited documents, `per_commit` of them in each commit, by `git fast-import`."""
    edits = list(Corpus(resources).edits(commits * per_commit, seed=2))
    # A commit may change a path only once, as the service demands of a bulk check-in.
    parts = [dict(edits[at : at + per_commit]) for at in range(0, len(edits), per_commit)]
    whole = b"".join(stream_of([list(part.items()) for part in parts], has_parent=True))
    seconds, cpu = fast_import(repository, whole)
    return Figures(documents=sum(map(len, parts)), commits=len(parts), seconds=seconds, cpu_seconds=cpu)


def git(repository: Path, *arguments: str) -> str:
    """Run git, and return its output."""
    return subprocess.run(
        ["git", *arguments], cwd=repository, env=environment(), check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def copy(template: Path, to: Path) -> None:
    """Copy a repository, and write the copy to the disk."""
    shutil.copytree(template, to)
    # Without this, the reference would wait for the writes of the copy.
    subprocess.run(["sync", "--file-system", str(to)], check=True)


def in_a_process(template: Path, *arguments: str) -> Figures:
    """Run a reference on a fresh copy of the prepared repository, in a process of its own."""
    repository = template.parent.parent / "reference-turn" / template.name
    shutil.rmtree(repository.parent, ignore_errors=True)
    copy(template, repository)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.reference", arguments[0], str(repository), *arguments[1:]],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    finally:
        shutil.rmtree(repository.parent)
    return Figures(**json.loads(done.stdout))


def _commit(repository: pygit2.Repository, path: str, content: bytes) -> None:
    collection, fan_out, file = path.split("/")
    head = repository.references["refs/heads/main"].target
    root = repository[head].peel(pygit2.Tree)
    folder = _subtree(root, collection)
    leaf = _subtree(folder, fan_out)
    blob = repository.create_blob(content)
    tree = _with(repository, leaf, file, blob, FileMode.BLOB)
    tree = _with(repository, folder, fan_out, tree, FileMode.TREE)
    tree = _with(repository, root, collection, tree, FileMode.TREE)
    author = pygit2.Signature(*_AUTHOR)
    repository.create_commit("refs/heads/main", author, author, f"{path}: edited", tree, [head])


def _subtree(tree: pygit2.Tree, name: str) -> pygit2.Tree:
    found = tree[name]
    if not isinstance(found, pygit2.Tree):
        raise TypeError(f"{name} is no folder")
    return found


def _with(
    repository: pygit2.Repository, tree: pygit2.Tree, name: str, oid: pygit2.Oid, mode: FileMode
) -> pygit2.Oid:
    builder = repository.TreeBuilder(tree)
    builder.insert(name, oid, mode)
    return builder.write()


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run one reference on a prepared repository."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("a", "b"))
    parser.add_argument("repository", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--resources", type=int, default=RESOURCES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--per-commit", type=int, default=500)
    given = parser.parse_args()
    if given.which == "a":
        figures = loop(given.repository, given.seconds, given.resources, given.seed)
    else:
        figures = stream(given.repository, given.commits, given.per_commit, given.resources)
    sys.stdout.write(json.dumps(asdict(figures)) + "\n")


if __name__ == "__main__":
    main()
