"""Find and remove leftovers of killed processes: half-written files, unfinished repositories, stale locks."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from uuid import UUID

from gitstore.durable import sync_folder
from gitstore.errors import translated

_HALF_WRITTEN = ("objects/pack/tmp_*", "objects/pack/.tmp-*", "objects/??/tmp_obj_*")
# Locks on refs are not among these: under the subscription's lock on its refs they are known to be stale.
_LOCKS = ("config.lock", "objects/*.lock", "objects/info/**/*.lock", "objects/pack/*.lock")


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or folder, and the time of its last change, in seconds."""

    path: Path
    modified: float


def half_written(repository: Path) -> list[Leftover]:
    """Find unfinished packs and objects of a repository; a writer may still be writing them."""
    return _matching(repository, *_HALF_WRITTEN)


def locks(repository: Path) -> list[Leftover]:
    """Find locks on anything but refs; a process may still have them."""
    return _matching(repository, *_LOCKS)


def unfinished(root: Path) -> list[Leftover]:
    """Find unfinished repositories in the folder of all repositories; a process may still be making them."""
    return _matching(root, "tmp-*")


def below(folder: Path, pattern: str) -> list[Leftover]:
    """List the files and folders in a folder whose paths below it match a glob pattern."""
    return _matching(folder, pattern)


def repositories(root: Path) -> dict[UUID, float]:
    """Find all repositories in their folder, with the time of each one's last change, in seconds."""
    found = {}
    for each in _matching(root, "*.git"):
        try:
            subscription_id = UUID(each.path.stem)
        except ValueError:
            continue
        if str(subscription_id) == each.path.stem:
            found[subscription_id] = each.modified
    return found


def holds_nothing(repository: Path) -> bool:
    """Check that neither an object nor a ref was ever written to a repository."""
    with translated():
        files = (file for name in ("objects", "refs") for file in (repository / name).rglob("*"))
        return not (repository / "packed-refs").exists() and not any(file.is_file() for file in files)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content; a missing one is no error."""
    with translated():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        sync_folder(path.parent)


def _matching(folder: Path, *patterns: str) -> list[Leftover]:
    found = []
    for pattern in patterns:
        # Unlike Path.glob, glob.glob tolerates folders that are removed meanwhile.
        for name in glob(pattern, root_dir=folder, recursive=True):  # noqa: PTH207
            path = folder / name
            with translated(), suppress(FileNotFoundError):
                found.append(Leftover(path, path.lstat().st_mtime))
    return sorted(found, key=lambda each: each.path)
