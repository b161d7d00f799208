"""A repository that is served by upload-pack, and facts about the processes that serve it."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from gitstore.identity import Identity
from gitstore.refs import forward
from gitstore.serve.upload_pack import UploadPack
from gitstore.store import Store
from gitstore.write.commit_builder import CommitBuilder
from service.runtime.fair_places import FairPlaces
from tests.support.pkt_lines import fetch
from tests.support.process_table import children

SUBSCRIPTION = "0190a1b2-0000-7000-8000-000000000001"
Result = TypeVar("Result")


class Served:
    """A repository with one commit of an incompressible blob, which is larger than any pipe's buffer."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self._upload_packs: list[UploadPack] = []
        self.path = self.store.ensure(SUBSCRIPTION)
        self.content = os.urandom(4 * 2**20)
        builder = CommitBuilder(self.path)
        builder.begin(None)
        ann = Identity("0190a1b2-0000-7000-8000-00000000000a", "ann")
        commit = builder.commit(
            writes={"jobs/00/a.json": self.content},
            message="m\n",
            actor=ann,
            time=datetime(2026, 1, 1, tzinfo=UTC),
        )
        builder.write()
        builder.close()
        self.head = commit.commit_id
        forward(self.path, "refs/heads/main", self.head)

    def upload_pack(self, *, limit: int = 4, deadline: float = 30, queue: float = 5) -> UploadPack:
        """Make an UploadPack that is closed after the test."""
        made = UploadPack(
            self.store,
            transfers=FairPlaces(2 * limit, each=limit),
            listings=FairPlaces(2, each=1),
            deadline_seconds=deadline,
            queue_seconds=queue,
        )
        self._upload_packs.append(made)
        return made

    def close(self) -> None:
        for upload_pack in self._upload_packs:
            upload_pack.close()

    def running(self) -> dict[int, str]:
        """Return the live processes that serve this repository, by id, and zombies among our children."""
        found = {}
        ours = {os.getpid(), *children(os.getpid())}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
                status = (folder / "status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            zombie = any(f"PPid:\t{own}\n" in status for own in ours) and "State:\tZ" in status
            if zombie or ("upload-pack" in command and str(self.path) in command):
                found[int(folder.name)] = command or "zombie"
        return found

    def environment(self) -> set[str]:
        """Return the names of the environment variables of the live processes that serve this repository."""
        names = set()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            if "upload-pack" in (command := path.read_text()) and str(self.path) in command:
                pairs = (path.parent / "environ").read_text().split("\0")
                names |= {pair.partition("=")[0] for pair in pairs}
        return names

    async def gone(self) -> bool:
        return await soon(lambda: not self.running())


async def soon(condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds, for at most five seconds; returns True if it does."""
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.01)
    return condition()


async def everything(output: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in output])


def unpacked(answer: bytes) -> bytes:
    """Return the pack in the side band of an answer of protocol 2."""
    section, position = b"", 0
    pack = b""
    while position < len(answer):
        length = int(answer[position : position + 4], 16)
        payload = answer[position + 4 : position + length] if length > 4 else b""
        position += max(length, 4)
        if payload.endswith(b"packfile\n"):
            section = b"packfile"
        elif section and payload[:1] == b"\1":
            pack += payload[1:]
    return pack


def run(test: Callable[[], Awaitable[Result]]) -> Result:
    async def bounded() -> Result:
        async with asyncio.timeout(60):
            return await test()

    return asyncio.run(bounded())


async def begun(served: Served, upload_pack: UploadPack) -> AsyncGenerator[bytes, None]:
    """Begin a fetch: the first piece of the answer was read, and the rest waits for its reader."""
    request = fetch(f"want {served.head}", "done")
    output = upload_pack.serve(SUBSCRIPTION, request, "version=2")
    await anext(output)
    assert served.running()
    return output
