"""Serve clones and fetches by the real `git upload-pack`, bounded in number and time, and fairly."""

import asyncio
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from gitstore.errors import RepositoryMissing, StoreUnavailable, UploadPackBusy, UploadPackFailed, translated
from gitstore.git import environment
from gitstore.serve.processes import Process, Starter
from gitstore.store import Store

_CHUNK_BYTES = 64 * 1024
# Enough for git's error message; the rest is read and dropped, so that git never waits for a reader.
_STDERR_BYTES = 4 * 1024
_PROTOCOL = re.compile(r"[A-Za-z0-9=:.-]{1,64}")
# Clients of version 2 send this; git itself answers all others.
_PROTOCOL_2 = "version=2"
_ADVERTISE = ("--http-backend-info-refs",)
# An upgrade of git while the service runs is noticed within this time.
_KEPT_SECONDS = 10
_PREFIX = b"001e# service=git-upload-pack\n0000"


class _Capabilities(NamedTuple):
    """Capabilities that git announces for repositories with configuration `config`, kept until `until`."""

    config: bytes
    until: float
    answer: bytes


class Turns(Protocol):
    """Places that subscriptions take in turns."""

    def place(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold a place; waits for it as long as it takes."""


class UploadPack:
    """Runs git in one event loop, each process for at most `deadline_seconds`.

    Each subscription takes its places of `transfers` and of `listings`, which are for refs. One more process
    may run to read git's capabilities.
    """

    def __init__(
        self,
        store: Store,
        *,
        transfers: Turns,
        listings: Turns,
        deadline_seconds: float,
        queue_seconds: float,
    ) -> None:
        self._store = store
        self._transfers = transfers
        self._listings = listings
        self._asking = asyncio.Lock()
        self._capabilities: _Capabilities | None = None
        self._deadline_seconds = deadline_seconds
        self._queue_seconds = queue_seconds
        self._starter = Starter()

    def close(self) -> None:
        """Start no more processes, and end all that run."""
        self._starter.close()

    async def advertise(self, subscription_id: str, protocol: str | None) -> AsyncGenerator[bytes, None]:
        """Yield the answer to `GET info/refs?service=git-upload-pack`, for a `Git-Protocol` header.

        Raises the errors of `serve`.
        """
        path = self._repository(subscription_id)
        if not advertises_refs(protocol):
            yield await self._advertised_capabilities(path)
            return
        # As in git-http-backend(1), no line names the service from version 2 on.
        prefix = b"" if "version=2" in _valid(protocol).split(":") else _PREFIX
        async with (
            self._turn(self._listings.place(subscription_id)),
            aclosing(self._output(path, _ADVERTISE, b"", protocol)) as output,
        ):
            async for chunk in output:
                yield prefix + chunk
                prefix = b""

    async def serve(
        self,
        subscription_id: str,
        request: bytes | AsyncIterator[bytes],
        protocol: str | None,
        *,
        lists_refs: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the answer of `POST git-upload-pack` to a decompressed request.

        Closing the generator, or cancelling the task that reads it, ends git at once. Raises
        RepositoryMissing, UploadPackBusy and UploadPackFailed before the first chunk; UploadPackFailed also
        after the last, when git has sent its client a message; and the errors of reading the request.
        """
        path = self._repository(subscription_id)
        places = self._listings if lists_refs else self._transfers
        async with (
            self._turn(places.place(subscription_id)),
            aclosing(self._output(path, (), request, protocol)) as output,
        ):
            async for chunk in output:
                yield chunk

    async def _advertised_capabilities(self, path: Path) -> bytes:
        """Return the first answer by protocol 2, which depends on git and its configuration alone."""
        with translated():
            config = (path / "config").read_bytes()
        async with self._turn(self._asking):
            now = asyncio.get_running_loop().time()
            known = self._capabilities
            if known is None or known.config != config or known.until < now:
                async with aclosing(self._output(path, _ADVERTISE, b"", _PROTOCOL_2)) as output:
                    answer = b"".join([chunk async for chunk in output])
                known = self._capabilities = _Capabilities(config, now + _KEPT_SECONDS, answer)
        return known.answer

    def _repository(self, subscription_id: str) -> Path:
        if not self._store.exists(subscription_id):
            raise RepositoryMissing(subscription_id)
        return self._store.path(subscription_id).resolve()

    @asynccontextmanager
    async def _turn(self, turn: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._queue_seconds):
                    await held.enter_async_context(turn)
            except TimeoutError as error:
                raise UploadPackBusy(f"no turn came within {self._queue_seconds:g} s") from error
            yield

    async def _output(
        self,
        path: Path,
        options: tuple[str, ...],
        request: bytes | AsyncIterator[bytes],
        protocol: str | None,
    ) -> AsyncGenerator[bytes, None]:
        process = await self._start(path, options, protocol)
        complaint = asyncio.create_task(_first_bytes(process.stderr))
        feeding = asyncio.create_task(_feed(process.stdin, request))
        late = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(self._deadline_seconds, _end, process, late)
        try:
            while chunk := await process.stdout.read(_CHUNK_BYTES):
                yield chunk
            status = await process.wait()
            if feeding.done():
                feeding.result()
            if late.is_set():
                raise UploadPackFailed(f"took longer than {self._deadline_seconds} s")
            if status != 0:
                raise UploadPackFailed(f"status {status}: {await complaint}")
        finally:
            # All necessary steps come before the first wait, since that may be cancelled again.
            timer.cancel()
            feeding.cancel()
            complaint.cancel()
            process.kill()
            process.close()
            await process.wait()
            await asyncio.gather(feeding, complaint, return_exceptions=True)

    async def _start(self, path: Path, options: tuple[str, ...], protocol: str | None) -> Process:
        # A volume mounted into a container has an owner of its own, from which git would refuse to serve.
        # Objects that `annals verify` found and kept are not part of the history.
        owned = {
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": str(path),
            "GIT_CONFIG_KEY_1": "transfer.hideRefs",
            "GIT_CONFIG_VALUE_1": "refs/annals",
        }
        if valid := _valid(protocol):
            owned["GIT_PROTOCOL"] = valid
        timeout = f"--timeout={math.ceil(self._deadline_seconds)}"
        command = ("git", "upload-pack", "--strict", timeout, "--stateless-rpc", *options, str(path))
        try:
            return await self._starter.start(command, environment(**owned))
        except OSError as error:
            raise StoreUnavailable(f"git can't be started: {error}") from error


def advertises_refs(protocol: str | None) -> bool:
    """Check whether the advertisement for a client with this `Git-Protocol` header lists the refs."""
    return protocol != _PROTOCOL_2


def _valid(protocol: str | None) -> str:
    return protocol if protocol is not None and _PROTOCOL.fullmatch(protocol) else ""


def _end(process: Process, late: asyncio.Event) -> None:
    if process.runs:
        late.set()
        process.kill()


async def _feed(stdin: asyncio.StreamWriter, request: bytes | AsyncIterator[bytes]) -> None:
    chunks = _once(request) if isinstance(request, bytes) else request
    try:
        async for chunk in chunks:
            # uvloop, unlike asyncio, refuses to write to a pipe that git has closed.
            if stdin.is_closing():
                return
            stdin.write(chunk)
            try:
                await stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                # Git needed no more of the request, or failed: its exit status tells which.
                return
    finally:
        stdin.close()


async def _once(request: bytes) -> AsyncIterator[bytes]:
    yield request


async def _first_bytes(stderr: asyncio.StreamReader) -> str:
    kept = b""
    while chunk := await stderr.read(_STDERR_BYTES):
        kept = (kept + chunk)[:_STDERR_BYTES]
    return kept.decode("utf-8", "replace").strip()
