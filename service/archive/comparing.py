"""Comparison of the archive with the archives that the database knows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from service.archive import manifests
from service.archive.errors import ArchiveDamaged
from service.archive.manifests import Manifest, path_of
from service.archive.reading import Listing
from service.archive.store import ArchiveStore
from sql.queries.archives import Recorded


class ArchiveState(StrEnum):
    """State of a recorded archive: its file is there as its manifest says, or is not."""

    THERE = "there"
    MISSING = "missing"
    DAMAGED = "damaged"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """An archive that the database knows, but that is missing or damaged."""

    archive_id: UUID
    file: str
    problem: str
    range_start: datetime
    range_end: datetime

    def overlaps(self, since: datetime | None, until: datetime | None) -> bool:
        """Return whether the archive may have had rows from `since` until before `until`."""
        return (since is None or self.range_end > since) and (until is None or self.range_start < until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Archives that are lost or damaged, and files that neither the database nor a manifest knows.

    `elsewhere` counts the archives below other URLs by their URL; these archives are not looked for.
    """

    lost: list[Lost]
    strays: list[str]
    elsewhere: Counter[str]


def compared(store: ArchiveStore, found: Listing, recorded: Sequence[Recorded]) -> Comparison:
    """Compare a listing with the archives that the database knew before the listing was made."""
    present = {each.archive_id for each in found.manifests}
    strays = set(found.strays)
    lost: list[Lost] = []
    elsewhere: Counter[str] = Counter()
    for row in recorded:
        if row.archive_id in present:
            continue
        url, path = _parted(row)
        # The database keeps the old URL of an archive that was moved here, so a stray file may belong to it.
        if url != store.url and path not in strays:
            elsewhere[url] += 1
            continue
        file, problem = path, "it is missing, and the database knows the archive"
        if path in strays:
            problem = "its manifest is missing, and the database knows the archive"
        elif damage := found.damaged.get(path_of(path)):
            file, problem = path_of(path), damage
        lost.append(
            Lost(
                archive_id=row.archive_id,
                file=file,
                problem=problem,
                range_start=row.range_start,
                range_end=row.range_end,
            )
        )
    strays -= {each.file for each in lost}
    return Comparison(lost=lost, strays=sorted(strays), elsewhere=elsewhere)


def check_record(manifest: Manifest, recorded: Recorded | None) -> None:
    """Compare a manifest with the database's row of its archive, if there is one; raises ArchiveDamaged."""
    if recorded is not None and (manifest.sha256, manifest.rows) != (recorded.sha256, recorded.rows):
        raise ArchiveDamaged(f"{manifest.path} says something else than the database knows")


@dataclass(frozen=True, slots=True)
class ArchiveFinding:
    """State of one archive, and what is wrong with it."""

    state: ArchiveState
    detail: str = ""


def look_at(store: ArchiveStore, row: Recorded) -> ArchiveFinding:
    """Look at the file and the manifest of a recorded archive, but not at its rows; raises ArchiveError."""
    url, path = _parted(row)
    size = store.size(path)
    if size is None:
        if url != store.url:
            return ArchiveFinding(ArchiveState.ELSEWHERE, f"it lies in {url}")
        return ArchiveFinding(ArchiveState.MISSING, "its file is not there")
    if store.size(path_of(path)) is None:
        return ArchiveFinding(ArchiveState.DAMAGED, "its manifest is not there")
    try:
        manifest = manifests.read(store, path_of(path))
        check_record(manifest, row)
    except ArchiveDamaged as error:
        return ArchiveFinding(ArchiveState.DAMAGED, str(error))
    if size != manifest.bytes:
        return ArchiveFinding(
            ArchiveState.DAMAGED, f"its file has {size} bytes, its manifest says {manifest.bytes}"
        )
    return ArchiveFinding(ArchiveState.THERE)


def _parted(row: Recorded) -> tuple[str, str]:
    """Return the URL of the archive, and the path of the file below it."""
    url, _, rest = row.location.rpartition(f"/{row.log}/")
    return url, f"{row.log}/{rest}"
