"""Archives read again: that they are whole, and their rows."""

from collections.abc import Iterator
from hashlib import sha256

from service.archive import ndjson
from service.archive.errors import ArchiveDamaged
from service.archive.manifests import Manifest
from service.archive.store import ArchiveStore


def blocks(store: ArchiveStore, manifest: Manifest) -> Iterator[bytes]:
    """The rows of an archive, as blocks of whole lines of JSON; at the end it is known to be whole.

    Raises ArchiveDamaged where it is not, and ArchiveError.
    """
    seen = _Seen(store, manifest)
    rows = 0
    try:
        for block in ndjson.decode(seen.chunks()):
            rows += block.count(b"\n")
            yield block
    except ArchiveDamaged as error:
        raise ArchiveDamaged(f"{manifest.file}: {error}") from None
    seen.check()
    if rows != manifest.rows:
        raise ArchiveDamaged(f"{manifest.file} holds {rows} rows, its manifest says {manifest.rows}")


def check(store: ArchiveStore, manifest: Manifest) -> None:
    """Read an archive to its end, whatever it holds; raises as `blocks` does."""
    if manifest.columns:
        for _ in blocks(store, manifest):
            pass
        return
    seen = _Seen(store, manifest)
    for _ in seen.chunks():
        pass
    seen.check()


class _Seen:
    """The bytes of a file, and what they come to."""

    def __init__(self, store: ArchiveStore, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        self._digest = sha256()
        self._bytes = 0

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._store.chunks(self._manifest.file):
            self._digest.update(chunk)
            self._bytes += len(chunk)
            yield chunk

    def check(self) -> None:
        manifest = self._manifest
        if self._bytes != manifest.bytes:
            raise ArchiveDamaged(
                f"{manifest.file} has {self._bytes} bytes, its manifest says {manifest.bytes}"
            )
        if self._digest.hexdigest() != manifest.sha256:
            raise ArchiveDamaged(f"{manifest.file} has another SHA-256 than its manifest says")
