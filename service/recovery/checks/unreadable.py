"""Describe the versions that lost their commit or document, for a history that can't be read."""

from collections.abc import Iterator
from pathlib import Path

from gitstore import pack_folder
from gitstore.errors import StoreUnavailable
from service.recovery.checks.main_branch import Facts
from service.recovery.trailers import subject
from sql.queries.reconcile import VersionFact

_SHOWN = 20


def described(path: Path, facts: Facts) -> str | None:
    """Describe the versions whose commit or blob is not in the repository; None if all are there.

    Raises the errors of `gitstore.errors`.
    """
    ids = {each for row in facts.versions for each in (row.git_commit_hash, row.git_blob_id)}
    lost = _lacking(path, ids)
    found = [row for row in facts.versions if lost.intersection((row.git_commit_hash, row.git_blob_id))]
    if not found:
        return None
    return "; ".join(_parts(path, facts, found, lost))


def _parts(path: Path, facts: Facts, found: list[VersionFact], lost: set[str]) -> Iterator[str]:
    shown = [_named(row, lost) for row in found[:_SHOWN]]
    if len(found) > _SHOWN:
        shown.append(f"and {len(found) - _SHOWN} more")
    yield f"{len(found)} of {len(facts.versions)} versions can't be read: {', '.join(shown)}"
    packs = pack_folder.halves(path).packs
    if packs:
        yield f"without an index, which `git index-pack` makes: {', '.join(f'{name}.pack' for name in packs)}"


def _named(row: VersionFact, lost: set[str]) -> str:
    what = f"commit {row.git_commit_hash}" if row.git_commit_hash in lost else f"blob {row.git_blob_id}"
    return f"{subject(row.resource_type, row.resource_id, row.version_number)} ({what})"


def _lacking(path: Path, ids: set[str]) -> set[str]:
    try:
        return pack_folder.lacking(path, ids)
    except StoreUnavailable:
        # Upkeep removed a pack between the listing and the reading: list the packs again.
        return pack_folder.lacking(path, ids)
