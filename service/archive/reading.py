"""Reading of archives: list them, check that they are whole, and read their rows."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from service.archive import manifests, ndjson, parquet
from service.archive.errors import ArchiveDamaged, ArchiveError
from service.archive.manifests import SUFFIX, Manifest
from service.archive.store import ArchiveStore

# A callback, called with the number of bytes that were read from a file.
Seen = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Files of the archive: valid manifests, damage of other manifests by path, files without a manifest."""

    manifests: list[Manifest]
    damaged: dict[str, str]
    strays: list[str]

    def chosen(
        self, ids: Iterable[UUID] = (), since: datetime | None = None, until: datetime | None = None
    ) -> list[Manifest]:
        """Choose the archives with these ids, or without ids those that may have rows of a span of time.

        Raises ArchiveError if an id is unknown.
        """
        if wanted := set(ids):
            found = [each for each in self.manifests if each.archive_id in wanted]
            if missing := wanted - {each.archive_id for each in found}:
                raise ArchiveError(f"there is no archive {', '.join(sorted(map(str, missing)))}")
            return found
        return [each for each in self.manifests if each.overlaps(since, until)]


def listing(store: ArchiveStore, log: str | None = None) -> Listing:
    """List the archives of all logs or of one, in order of time; raises ArchiveError."""
    files = sorted(store.paths(log))
    found, damaged = [], {}
    for path in files:
        if path.endswith(SUFFIX):
            try:
                found.append(manifests.read(store, path))
            except ArchiveDamaged as error:
                damaged[path] = str(error)
    known = {path.removesuffix(SUFFIX) for path in files if path.endswith(SUFFIX)}
    strays = [path for path in files if not path.endswith(SUFFIX) and path not in known]
    found.sort(key=lambda manifest: (manifest.log, manifest.range_start, manifest.archive_id))
    return Listing(manifests=found, damaged=damaged, strays=strays + store.unfinished(log))


def blocks(store: ArchiveStore, manifest: Manifest, seen: Seen = int) -> Generator[bytes, None, None]:
    """Read the rows of an archive, as blocks of whole lines of JSON; at the end, check that it is whole.

    Raises ArchiveDamaged if it is not whole, and ArchiveError.
    """
    left = b""
    for piece in _pieces(store, manifest, seen):
        end = piece.rfind(b"\n") + 1
        if end:
            yield left + piece[:end]
            left = piece[end:]
        else:
            left += piece


def check(store: ArchiveStore, manifest: Manifest, seen: Seen = int) -> None:
    """Read an archive, with rows or without, and check that it is whole; raises the errors of `blocks`."""
    for _ in _pieces(store, manifest, seen):
        pass


def check_rows(store: ArchiveStore, manifest: Manifest, seen: Seen = int) -> None:
    """Check that an archive is whole, and that each line is a row; raises the errors of `blocks`."""
    names = {column.name for column in manifest.columns}
    for block in blocks(store, manifest, seen):
        for line in block.splitlines():
            try:
                is_row = orjson.loads(line).keys() == names
            except (orjson.JSONDecodeError, AttributeError):
                is_row = False
            if not is_row:
                raise ArchiveDamaged(f"{manifest.file} holds a line that is no row of {manifest.log}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSearch:
    """A search for rows; `until` is exclusive, and `where` compares columns with texts or numbers."""

    subscription_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    where: dict[str, str]


def matching(store: ArchiveStore, archives: Iterable[Manifest], search: RowSearch) -> Iterator[bytes]:
    """Find the rows that match, a line of JSON each.

    Raises ArchiveError for a column that an archive does not have, and the errors of `blocks`.
    """
    for manifest in archives:
        names = [column.name for column in manifest.columns]
        if unknown := sorted(search.where.keys() - set(names)):
            raise ArchiveError(
                f"{manifest.log} has no column {', '.join(unknown)}: it has {', '.join(names)}"
            )
        with closing(blocks(store, manifest)) as read:
            for block in read:
                for line in block.splitlines():
                    if _matches(line, search, manifest.time_column):
                        yield line


def _matches(line: bytes, search: RowSearch, time_column: str | None) -> bool:
    subscription_id = search.subscription_id
    # Most rows belong to other subscriptions, and need not be parsed.
    if subscription_id is not None and str(subscription_id).encode() not in line:
        return False
    row = orjson.loads(line)
    if subscription_id is not None and row.get("subscription_id") != str(subscription_id):
        return False
    if time_column is not None and (search.since or search.until):
        time = datetime.fromisoformat(row[time_column])
        if (search.since and time < search.since) or (search.until and time >= search.until):
            return False
    return all(_equals(row[name], text) for name, text in search.where.items())


def _equals(value: Any, text: str) -> bool:
    if isinstance(value, str):
        return value == text
    try:
        return bool(value == orjson.loads(text))
    except orjson.JSONDecodeError:
        return False


def _pieces(store: ArchiveStore, manifest: Manifest, seen: Seen) -> Iterator[bytes]:
    """Read the lines of an archive in pieces, which may end within a line; only check a file without rows."""
    file = _File(store, manifest, seen)
    if not manifest.columns:
        file.read()
        return
    rows = 0
    for piece in file.decoded():
        rows += piece.count(b"\n")
        yield piece
    if rows != manifest.rows:
        raise ArchiveDamaged(f"{manifest.file} holds {rows} rows, its manifest says {manifest.rows}")


class _File:
    """The file of an archive, compared with its manifest while it is read."""

    def __init__(self, store: ArchiveStore, manifest: Manifest, seen: Seen) -> None:
        self._store = store
        self._manifest = manifest
        self._seen = seen
        self._digest = sha256()
        self._bytes = 0

    def decoded(self) -> Iterator[bytes]:
        manifest = self._manifest
        if manifest.format == parquet.SUFFIX:
            # A reader of Parquet begins at the end of the file, so the whole file is checked first.
            self.read()
            with self._store.reader(manifest.file) as reader:
                yield from parquet.decode(reader, manifest.columns)
            return
        try:
            yield from ndjson.decode(self._chunks())
        except ArchiveDamaged as error:
            raise ArchiveDamaged(f"{manifest.file}: {error}") from None
        self._check()

    def read(self) -> None:
        for _ in self._chunks():
            pass
        self._check()

    def _chunks(self) -> Iterator[bytes]:
        for chunk in self._store.chunks(self._manifest.file):
            self._digest.update(chunk)
            self._bytes += len(chunk)
            self._seen(len(chunk))
            yield chunk

    def _check(self) -> None:
        manifest = self._manifest
        if self._bytes != manifest.bytes:
            raise ArchiveDamaged(
                f"{manifest.file} has {self._bytes} bytes, its manifest says {manifest.bytes}"
            )
        if self._digest.hexdigest() != manifest.sha256:
            raise ArchiveDamaged(f"{manifest.file} has another SHA-256 than its manifest says")
