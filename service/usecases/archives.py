"""Archives of deleted rows, as they were recorded, and the state of their files."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from threading import BoundedSemaphore, Thread
from typing import Final
from uuid import UUID

from service.archive import comparing, store
from service.archive.comparing import ArchiveFinding, ArchiveState
from service.archive.errors import ArchiveError
from service.domain.callers import Caller, Right
from service.domain.errors import PathNotFound
from service.domain.pagination import Page, Paging, time_position
from service.runtime.settings import SettingsError
from service.usecases.context import Context
from sql.database import PLATFORM
from sql.queries import archives
from sql.queries.archives import ArchiveFilter, Recorded
from sql.queries.archives import ArchiveRow as Archive

__all__ = ["Archive", "ArchiveFilter", "ArchiveFinding", "ArchiveState"]

# A folder of a network, or a bucket, may hang: a page says then that it does not know.
LOOK_SECONDS: Final = 3.0
# So many looks may hang at a time, each in a thread that keeps no process from its end.
_places = BoundedSemaphore(2)


def page(context: Context, caller: Caller, narrow: ArchiveFilter, paging: Paging) -> Page[Archive]:
    """Page of the archives that match, the newest made first."""
    caller.needs(Right.MAINTAIN)
    filters = {"list": "archives", **asdict(narrow)}
    before = time_position(paging.position(filters))
    with context.database.transaction(PLATFORM) as tx:
        rows = archives.page(tx, narrow, before=before, limit=paging.limit + 1)
    return paging.page(rows, filters, lambda row: [row.made_at.isoformat(), str(row.archive_id)])


def get(context: Context, caller: Caller, archive_id: UUID | None) -> Archive:
    """One archive; raises PathNotFound."""
    caller.needs(Right.MAINTAIN)
    found = None
    if archive_id is not None:
        with context.database.transaction(PLATFORM) as tx:
            found = archives.find(tx, archive_id)
    if found is None:
        raise PathNotFound("There is no such archive.")
    return found


def findings(context: Context, of: Sequence[Archive]) -> dict[UUID, ArchiveFinding]:
    """Look at the files of archives, for LOOK_SECONDS at most; rows are not read."""
    look = _ArchiveLook(context, of)
    if of and _places.acquire(timeout=LOOK_SECONDS):
        thread = Thread(target=look.run, name="archives", daemon=True)
        thread.start()
        thread.join(LOOK_SECONDS)
    found = dict(look.found)
    unknown = ArchiveFinding(ArchiveState.UNKNOWN, look.fault)
    return {each.archive_id: found.get(each.archive_id, unknown) for each in of}


@dataclass(slots=True)
class _ArchiveLook:
    """A look at some archives, one after the other; `fault` is why it found nothing about the others."""

    context: Context
    of: Sequence[Archive]
    found: dict[UUID, ArchiveFinding] = field(default_factory=dict)
    fault: str = "the archive does not answer"

    def run(self) -> None:
        try:
            opened = store.opened(self.context.settings, make=False)
            if opened is None:
                self.fault = "no archive is set on this server"
                return
            for each in self.of:
                self.found[each.archive_id] = comparing.look_at(opened, _recorded(each))
        except (ArchiveError, SettingsError) as error:
            self.fault = str(error)
        finally:
            _places.release()


def _recorded(archive: Archive) -> Recorded:
    return Recorded(
        archive_id=archive.archive_id,
        log=archive.log,
        range_start=archive.range_start,
        range_end=archive.range_end,
        rows=archive.rows,
        sha256=archive.sha256,
        location=archive.location,
    )
