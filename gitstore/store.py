"""Find, create, remove and open the repository of a subscription."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import pygit2
from pygit2.enums import RepositoryOpenFlag
from pygit2.ffi import C

from gitstore.durable import sync_folder, write_file
from gitstore.errors import RepositoryMissing, translated
from gitstore.failpoints import passing

# Format version 0 means SHA-1 and the `files` backend of refs, for every git there is.
_FILES = {
    "HEAD": b"ref: refs/heads/main\n",
    "config": b"""\
[core]
\trepositoryformatversion = 0
\tbare = true
\tfilemode = true
\tlogAllRefUpdates = false
\tfsync = all
\tfsyncMethod = fsync
[gc]
\tauto = 0
[maintenance]
\tauto = false
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = false
\tallowReachableSHA1InWant = true
[http]
\treceivepack = false
[receive]
\tdenyNonFastForwards = true
\tdenyDeletes = true
""",
}
_FOLDERS = ("objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags")

# One repository is closed at a time. The thread is started with the first.
_closing = ThreadPoolExecutor(1, thread_name_prefix="close-repository")


class Store:
    """The folder of all bare repositories, `<data>/git`; safe to share between threads and processes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: set[str] = set()

    @property
    def root(self) -> Path:
        """The folder of all repositories."""
        return self._root

    def path(self, subscription_id: str) -> Path:
        """Return the repository's folder, which may not exist; ValueError unless the id is canonical."""
        if str(UUID(subscription_id)) != subscription_id:
            raise ValueError(f"not a canonical UUID: {subscription_id!r}")
        return self._root / f"{subscription_id}.git"

    def exists(self, subscription_id: str) -> bool:
        """Check that the repository exists; it exists whole or not at all."""
        return self.path(subscription_id).is_dir()

    def subscription_ids(self) -> list[str]:
        """List the subscriptions that have a repository here, in the order of their ids."""
        if not self._root.is_dir():
            return []
        with translated():
            names = [path.stem for path in self._root.iterdir() if path.suffix == ".git" and path.is_dir()]
        return sorted(name for name in names if _is_canonical(name))

    def ensure(self, subscription_id: str) -> Path:
        """Return the repository's folder, created if missing, and durable on return.

        Any number of processes may call it at once, and may be killed in it. Raises StoreUnavailable.
        """
        path = self.path(subscription_id)
        with translated():
            if not path.is_dir():
                _make_durable_folder(self._root)
                with self._built() as built:
                    passing("repository-built")
                    _rename_unless_there(built, path)
                    passing("repository-named")
            elif subscription_id in self._durable:
                return path
            # A repository of another process is synced, too: that one may have been killed after its rename.
            sync_folder(self._root)
        self._durable.add(subscription_id)
        return path

    def remove(self, subscription_id: str) -> None:
        """Remove a repository, if it exists. Raises StoreUnavailable.

        After a crash, the rest is a leftover under a name that no reader looks for.
        """
        path = self.path(subscription_id)
        with translated():
            if path.is_dir():
                removed = self._root / f"tmp-{uuid4()}"
                path.rename(removed)
                sync_folder(self._root)
                shutil.rmtree(removed)
        self._durable.discard(subscription_id)

    @contextmanager
    def _built(self) -> Iterator[Path]:
        """Build a complete, durable repository under a temporary name; it is removed unless it is renamed."""
        folder = self._root / f"tmp-{uuid4()}"
        folder.mkdir()
        try:
            for name in _FOLDERS:
                (folder / name).mkdir()
            for name, content in _FILES.items():
                write_file(folder / name, [content], 0o644)
            for name in reversed(_FOLDERS):
                sync_folder(folder / name)
            sync_folder(folder)
            yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder)


def _is_canonical(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def snapshot_path(collection: str, resource_id: str) -> str:
    """Return the path of a resource's snapshot in the tree: 256-way fan-out, so that no tree grows large."""
    return f"{collection}/{sha256(resource_id.encode()).hexdigest()[:2]}/{resource_id}.json"


def open_repository(path: Path) -> pygit2.Repository:
    """Open the bare repository at exactly this folder, for one thread; raises RepositoryMissing."""
    if not path.is_dir():
        raise RepositoryMissing(str(path))
    with translated():
        return pygit2.Repository(str(path), RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_SEARCH)


def close_repository(repository: pygit2.Repository) -> None:
    """Close a repository in another thread; nobody may use it any more, nor an object database of it.

    The last close of a pack that upkeep removed gives its blocks back to the disk: 0.1 s for 64 small packs
    on a busy disk. Pygit2 would keep the interpreter's lock meanwhile, and so stop every other thread; a
    call through its foreign functions does not.
    """
    _closing.submit(_free, repository)


def _free(repository: pygit2.Repository) -> None:
    # From here on the object frees nothing itself.
    repository._disown()
    C.git_repository_free(repository._repo)


def _rename_unless_there(built: Path, path: Path) -> None:
    try:
        built.rename(path)
    except OSError:
        # A rename never replaces a folder with content: if there is one, another process was first.
        if not path.is_dir():
            raise


def _make_durable_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_durable_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
