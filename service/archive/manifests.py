"""Manifests: a small JSON file beside each archive, written last. A file without one is not an archive."""

from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from service.archive.errors import ArchiveDamaged
from service.archive.store import ArchiveStore
from sql.queries.archives import Column

SUFFIX = ".manifest.json"
_OWN_DIGEST = "manifest_sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One archive: its log and range, and the file that has the rows.

    `log` is the table; `range_end` is exclusive. `oldest` and `newest` are the first and last time of the
    rows in their column `time_column`; all three are None if the rows have no such column. `columns` is empty
    for a file that has no rows. `schema_version` is the database's version.
    """

    archive_id: UUID
    log: str
    subscription_id: UUID | None
    range_start: datetime
    range_end: datetime
    time_column: str | None
    oldest: datetime | None
    newest: datetime | None
    rows: int
    format: str
    file: str
    bytes: int
    sha256: str
    schema_version: str
    columns: tuple[Column, ...]
    made_at: datetime
    run_id: UUID | None

    @property
    def path(self) -> str:
        """The path of the manifest itself."""
        return path_of(self.file)

    def overlaps(self, since: datetime | None, until: datetime | None) -> bool:
        """Return whether the archive may have rows from `since` until before `until`."""
        first, last = self.oldest or self.range_start, self.newest or self.range_end
        return (since is None or last >= since) and (until is None or first < until)


_MANIFEST = TypeAdapter(Manifest)


def path_of(file: str) -> str:
    """Return the path of the manifest of a file."""
    return file + SUFFIX


def write(store: ArchiveStore, manifest: Manifest) -> None:
    """Write the manifest of a file, which makes the file an archive; raises ArchiveError."""
    said = asdict(manifest)
    content = said | {_OWN_DIGEST: _digest(said)}
    store.put(manifest.path, orjson.dumps(content, option=orjson.OPT_INDENT_2))


def read(store: ArchiveStore, path: str) -> Manifest:
    """Read a manifest; raises ArchiveDamaged if it was changed or is not a manifest, and ArchiveError."""
    try:
        content = orjson.loads(store.read(path))
        is_whole = content.pop(_OWN_DIGEST) == _digest(content)
        manifest = _MANIFEST.validate_python(content)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValidationError) as error:
        raise ArchiveDamaged(f"{path} is no manifest: {str(error).partition(chr(10))[0]}") from None
    if not is_whole or manifest.path != path:
        raise ArchiveDamaged(f"{path} is not as it was written")
    return manifest


def _digest(said: dict[str, Any]) -> str:
    return sha256(orjson.dumps(said)).hexdigest()
