"""Find repositories without a subscription, and files and folders that killed processes left."""

import os
import tempfile
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

from gitstore import pack_folder
from gitstore.store import Store
from gitstore.upkeep import leftovers
from gitstore.upkeep.leftovers import Leftover
from service.recovery.checks.findings import Code, Damage, Finding, Recorder, Repair

# A file this old is no longer being written.
OLD_SECONDS = 24 * 3600
# The folder of a new subscription is made shortly before its row is committed: a young one is no damage.
_YOUNG_SECONDS = 60
_DIFFS = "annals-diff-*"


def of_repository(path: Path, subscription_id: UUID, now: datetime) -> Iterator[Damage]:
    """Yield old unfinished files of a repository, and packs of which only the index is left."""
    for lock in _old(leftovers.locks(path), now):
        yield _leftover(Code.STALE_LOCK, subscription_id, str(lock.path.relative_to(path)), lock)
    for file in _old(leftovers.half_written(path), now):
        yield _leftover(Code.LEFTOVER, subscription_id, str(file.path.relative_to(path)), file)
    for pack, objects in pack_folder.halves(path).indexes.items():
        finding = Finding(
            code=Code.PACK_MISSING,
            subscription_id=subscription_id,
            subject=f"objects/pack/{pack}.pack",
            expected=f"a pack of {objects} objects",
        )
        yield Damage(finding)


def of_store(store: Store, now: datetime) -> Iterator[Damage]:
    """Yield old unfinished folders beside the repositories, and in the folder for temporary files."""
    for folder in _old(leftovers.unfinished(store.root), now):
        yield _leftover(Code.LEFTOVER, None, str(folder.path), folder)
    for folder in _old(leftovers.below(Path(tempfile.gettempdir()), _DIFFS), now):
        # Other users may run their own Annals on this machine.
        if folder.path.lstat().st_uid == os.geteuid():
            yield _leftover(Code.LEFTOVER, None, str(folder.path), folder)


def strangers(
    store: Store, found: dict[UUID, float], known: Collection[UUID], now: datetime
) -> Iterator[Damage]:
    """Yield repositories without a subscription; `found` was listed before `known` was read."""
    for subscription_id, modified in sorted(found.items()):
        age = now.timestamp() - modified
        if subscription_id in known or age < _YOUNG_SECONDS:
            continue
        path = store.path(str(subscription_id))
        empty = leftovers.holds_nothing(path)
        finding = Finding(
            code=Code.REPOSITORY_UNEXPECTED,
            subscription_id=None,
            subject=path.name,
            found="an empty repository" if empty else "a repository with history",
        )
        # An empty one is left by a creation that was cut short: removing it loses nothing.
        yield Damage(finding, _removal(path) if empty and age >= OLD_SECONDS else None)


def _old(found: list[Leftover], now: datetime) -> list[Leftover]:
    return [each for each in found if now.timestamp() - each.modified >= OLD_SECONDS]


def _leftover(code: Code, subscription_id: UUID | None, name: str, leftover: Leftover) -> Damage:
    finding = Finding(
        code=code,
        subscription_id=subscription_id,
        subject=name,
        found=f"last written {datetime.fromtimestamp(leftover.modified).astimezone():%Y-%m-%d %H:%M}",
    )
    return Damage(finding, _removal(leftover.path))


def _removal(path: Path) -> Repair:
    def remove(record: Recorder) -> str:
        record("removed")
        leftovers.remove(path)
        return "removed"

    return remove
