"""What an archive says of itself: a small JSON file beside it, written last. Without it, it is none."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from service.archive.errors import ArchiveDamaged
from service.archive.store import ArchiveStore

SUFFIX = ".manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedColumn:
    """A column, with its type as PostgreSQL writes it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One archive: which rows of what, and the file that holds them.

    `log` is the table; `range_end` is exclusive. `oldest` and `newest` are times of its rows, None where they
    have none. Of a file that holds no rows `columns` are empty. `schema_version` is that of the database.
    """

    archive_id: UUID
    log: str
    subscription_id: UUID | None
    range_start: datetime
    range_end: datetime
    oldest: datetime | None
    newest: datetime | None
    rows: int
    format: str
    file: str
    bytes: int
    sha256: str
    schema_version: str
    columns: tuple[ArchivedColumn, ...]
    made_at: datetime
    run_id: UUID | None

    @property
    def path(self) -> str:
        """Where the manifest itself is."""
        return path_of(self.file)

    def shown(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


_MANIFEST = TypeAdapter(Manifest)


def path_of(file: str) -> str:
    """Where the manifest of a file is."""
    return file + SUFFIX


def write(store: ArchiveStore, manifest: Manifest) -> None:
    """Make an archive of a file; raises ArchiveError."""
    store.put(manifest.path, orjson.dumps(manifest.shown(), option=orjson.OPT_INDENT_2))


def read(store: ArchiveStore, path: str) -> Manifest:
    """A manifest; raises ArchiveDamaged for what is none, and ArchiveError."""
    try:
        manifest = _MANIFEST.validate_json(store.read(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ArchiveDamaged(f"{path} is no manifest: {where} {problem['msg']}") from None
    if manifest.path != path:
        raise ArchiveDamaged(f"{path} is the manifest of another file, {manifest.file}")
    return manifest


def paths(store: ArchiveStore, log: str | None = None) -> Iterator[str]:
    """Where the manifests are, of all logs or of one; raises ArchiveError."""
    return (path for path in store.paths(log) if path.endswith(SUFFIX))
