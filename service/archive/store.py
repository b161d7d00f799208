"""The store of archives: a folder, or a bucket of S3, as one setting says."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from gitstore.errors import is_full
from service.archive.errors import ArchiveError, ArchiveFull
from service.runtime.settings import Settings, SettingsError, variable

if TYPE_CHECKING:
    from obstore import ReadableFile, WritableFile

Format = Literal["ndjson", "parquet"]

# One part is filled while the other is sent. S3 allows 10,000 parts a file, so a file has at most 80 GiB.
_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_A_TIME = 2
_READ_BYTES = 64 * 1024
# Limits for a store that does not answer: the job run fails, and the next run tries again.
_RETRIES = 3
_RETRY_SECONDS = 30
_CONNECT_SECONDS = 5
_REQUEST_SECONDS = 60
_WHAT_IT_MAY_BE = "it is a folder (a path, or file:///path) or s3://bucket/prefix"


class Sink(Protocol):
    """A receiver of bytes, one part after the other."""

    def write(self, data: bytes) -> object:
        """Receive a part."""


class ArchiveStore:
    """The files of the archive; `format` is the format of new files.

    Archives are made of at most `rows_per_second` rows a second; 0 means no limit. Every method raises
    ArchiveError if the store refuses.
    """

    def __init__(
        self, url: str, form: Format = "ndjson", *, rows_per_second: int = 0, make: bool = True
    ) -> None:
        self.format = form
        self.rows_per_second = rows_per_second
        # The folder on this machine, None for a bucket.
        self._folder: Path | None = None
        scheme, place = _parsed(url)
        if scheme == "s3":
            self.url = url.rstrip("/")
            self._store: LocalStore | S3Store = _bucket(self.url)
        else:
            self._folder = _made(Path(place)) if make else _found(Path(place))
            self.url = self._folder.as_uri()
            self._store = LocalStore(self._folder)

    def rows_at_once(self, most: int) -> int:
        """Limit the rows that one transaction archives: `most`, or two seconds' worth if that is less."""
        return min(most, 2 * self.rows_per_second) if self.rows_per_second else most

    def location(self, path: str) -> str:
        """Return the URL of a file."""
        return f"{self.url}/{path}"

    @contextmanager
    def writer(self, path: str) -> Iterator[Sink]:
        """Open a new file. It is complete and durable when the block ends; after an error it is deleted."""
        with self._explained("written"):
            writer = obstore.open_writer(
                self._store, path, buffer_size=_PART_BYTES, max_concurrency=_PARTS_AT_A_TIME
            )
            try:
                yield writer if self._folder is None else _SyncedFile(writer, self._folder / path)
                writer.close()
            except BaseException:
                # Closed before it is deleted, since a bucket may keep parts of an unfinished file.
                with suppress(BaseError, OSError, ValueError):
                    writer.close()
                self.delete(path)
                raise
            self._sync(path)

    def put(self, path: str, data: bytes) -> None:
        """Write a small file, whole or not at all."""
        with self._explained("written"):
            if self._folder is None:
                obstore.put(self._store, path, data)
                return
            beside = f"{path}.new"
            obstore.put(self._store, beside, data)
            self._sync(beside)
            obstore.rename(self._store, beside, path)
            self._sync(path)

    def chunks(self, path: str) -> Iterator[bytes]:
        """Read the bytes of a file, chunk by chunk."""
        with self._explained("read"):
            for chunk in obstore.get(self._store, path).stream(min_chunk_size=_READ_BYTES):
                yield bytes(chunk)

    def size(self, path: str) -> int | None:
        """Look up the size of a file in bytes; None if it is not there."""
        with self._explained("read"):
            try:
                return int(obstore.head(self._store, path)["size"])
            except FileNotFoundError:
                return None

    def read(self, path: str) -> bytes:
        """Read a small file."""
        with self._explained("read"):
            return bytes(obstore.get(self._store, path).bytes())

    @contextmanager
    def reader(self, path: str) -> Iterator["ReadableFile"]:
        """Open a file for random access."""
        with self._explained("read"):
            yield obstore.open_reader(self._store, path)

    def paths(self, prefix: str | None = None) -> Iterator[str]:
        """List every file, or the files below a folder of the archive."""
        with self._explained("listed"):
            for batch in obstore.list(self._store, prefix):
                for found in batch:
                    yield found["path"]

    def unfinished(self, prefix: str | None = None) -> list[str]:
        """List unfinished files that killed writers left in a folder; a bucket hides and can expire them."""
        if self._folder is None:
            return []
        left = _unfinished(self._folder / (prefix or ""))
        return sorted(str(path.relative_to(self._folder)) for path in left)

    def delete(self, path: str) -> None:
        """Try to delete a file that is not an archive; `annals archive verify` reports it if it remains."""
        with suppress(BaseError, OSError):
            obstore.delete(self._store, path)

    def _sync(self, path: str) -> None:
        """Wait until a file in a folder, and the folders that lead to it, are on the disk."""
        if self._folder is None:
            return
        at = self._folder / path
        _fsync(at)
        while at != self._folder:
            at = at.parent
            _fsync(at)

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            # The lines after the first are the library's own description of the same error.
            reason = str(error).partition("\n")[0]
            if is_full(error):
                raise ArchiveFull(f"the archive in {self.url} can't be {done}: its disk is full") from error
            raise ArchiveError(f"the archive in {self.url} can't be {done}: {reason}") from error


class _SyncedFile:
    """A file of a folder that is written to the disk as it grows.

    Otherwise the disk would get the whole file at the end, and a COMMIT of a database on the same disk would
    wait.
    """

    def __init__(self, writer: "WritableFile", path: Path) -> None:
        self._writer = writer
        self._path = path
        self._unsynced = 0

    def write(self, data: bytes) -> None:
        self._writer.write(data)
        self._unsynced += len(data)
        if self._unsynced >= _PART_BYTES:
            self._unsynced = 0
            for unfinished in _unfinished(self._path.parent, self._path.name):
                _fsync(unfinished)


def opened(settings: Settings, *, make: bool = True) -> ArchiveStore | None:
    """Open the archive that the settings name; returns None if they do not name one.

    Raises SettingsError if it cannot be made, or if `make` is false and its folder does not exist.
    """
    if settings.archive_url is None:
        return None
    if settings.archive_format == "parquet" and find_spec("pyarrow") is None:
        raise SettingsError(
            f"archive_format ({variable('archive_format')}): parquet takes pyarrow: "
            "pip install 'annals[parquet]'"
        )
    return ArchiveStore(
        settings.archive_url,
        settings.archive_format,
        rows_per_second=settings.archive_rows_per_second,
        make=make,
    )


def folder_of(settings: Settings) -> Path | None:
    """Return the folder of the archive that the settings name; None for a bucket, or without an archive."""
    if settings.archive_url is None:
        return None
    scheme, place = _parsed(settings.archive_url)
    return Path(place).absolute() if scheme == "file" else None


def _parsed(url: str) -> tuple[str, str]:
    """Return the scheme, `s3` or `file`, and the bucket or the folder."""
    if "://" not in url:
        return "file", url
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc and not (parts.query or parts.fragment or "@" in parts.netloc):
        return "s3", parts.netloc
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return "file", unquote(parts.path)
    raise SettingsError(f"archive_url ({variable('archive_url')}): {_WHAT_IT_MAY_BE}")


def _made(folder: Path) -> Path:
    """Make the folder, if it does not exist; only this user can enter a new one."""
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"archive_url ({variable('archive_url')}): the folder {folder} can't be made: {error.strerror}"
        ) from None
    return folder


def _found(folder: Path) -> Path:
    """Return the folder, for a reader; raises SettingsError if it does not exist.

    If it were made, a mistyped name would look like an archive that is empty and whole.
    """
    folder = folder.absolute()
    if not folder.is_dir():
        raise SettingsError(f"archive_url ({variable('archive_url')}): the folder {folder} is not there")
    return folder


def _bucket(url: str) -> S3Store:
    # Endpoint, region and keys are from the variables that every program for S3 reads.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    try:
        return S3Store.from_url(
            url,
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "timeout": timedelta(seconds=_REQUEST_SECONDS),
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
            },
        )
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(f"archive_url ({variable('archive_url')}): {reason}") from None


def _unfinished(folder: Path, name: str = "") -> Iterator[Path]:
    """Find unfinished files below a folder, of running writers and of killed ones."""
    return folder.rglob(f"{name}*#*")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
