"""The first answer to a clone, by the real `git upload-pack` or a kept copy."""

import asyncio
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from gitstore.errors import UploadPackFailed
from gitstore.serve.processes import Process, Starter
from tests.support.pkt_lines import FLUSH
from tests.support.served_repository import SUBSCRIPTION, Served, begun, everything, run


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.close()


@pytest.mark.parametrize("protocol", [None, "version=1", "version=2", "version=2:x=1", "version=1:version=2"])
def test_the_advertisement_is_that_of_gits_own_server(served: Served, protocol: str | None) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROJECT_ROOT": str(served.path.parent),
        "PATH_INFO": f"/{served.path.name}/info/refs",
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "service=git-upload-pack",
        "GIT_PROTOCOL": protocol or "",
    }
    done = subprocess.run(["git", "http-backend"], env=environment, capture_output=True, check=True)
    wanted = done.stdout.partition(b"\r\n\r\n")[2]

    async def test() -> None:
        assert await everything(served.upload_pack().advertise(SUBSCRIPTION, protocol)) == wanted

    run(test)


@pytest.mark.parametrize("protocol", ["version=2\n", "version=2;x", "é", "version=2" * 20, ""])
def test_a_protocol_of_other_characters_counts_as_none(served: Served, protocol: str) -> None:
    async def test() -> None:
        upload_pack = served.upload_pack()
        plain = await everything(upload_pack.advertise(SUBSCRIPTION, None))
        assert await everything(upload_pack.advertise(SUBSCRIPTION, protocol)) == plain
        assert plain.startswith(b"001e# service=git-upload-pack\n0000")

    run(test)


def test_an_empty_repository_is_advertised(served: Served) -> None:
    other = SUBSCRIPTION.replace("1", "2")
    served.store.ensure(other)

    async def test() -> None:
        assert await everything(served.upload_pack().advertise(other, None)) == (
            b"001e# service=git-upload-pack\n" + FLUSH + FLUSH
        )

    run(test)


def test_what_git_can_do_is_told_without_asking_it_each_time(served: Served) -> None:
    async def test() -> None:
        upload_pack = served.upload_pack(limit=1)
        first = await everything(upload_pack.advertise(SUBSCRIPTION, "version=2"))
        async with aclosing(await begun(served, upload_pack)):
            # There is no place for another git, and it would find no repository.
            (served.path / "HEAD").unlink()
            assert await everything(upload_pack.advertise(SUBSCRIPTION, "version=2")) == first

    run(test)


def test_what_git_can_do_in_another_repository_is_told(served: Served) -> None:
    other = SUBSCRIPTION.replace("1", "2")
    with (served.store.ensure(other) / "config").open("a") as config:
        config.write("[uploadpack]\n\tallowFilter = false\n")

    async def test() -> None:
        upload_pack = served.upload_pack()
        for subscription, told in ((SUBSCRIPTION, True), (other, False), (SUBSCRIPTION, True)):
            answer = await everything(upload_pack.advertise(subscription, "version=2"))
            assert (b"filter" in answer) is told

    run(test)


def test_git_is_asked_again_after_a_while(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitstore.serve.upload_pack._KEPT_SECONDS", 0)

    async def test() -> None:
        upload_pack = served.upload_pack()
        assert await everything(upload_pack.advertise(SUBSCRIPTION, "version=2"))
        (served.path / "HEAD").unlink()
        with pytest.raises(UploadPackFailed, match="does not appear to be a git repository"):
            await everything(upload_pack.advertise(SUBSCRIPTION, "version=2"))

    run(test)


def test_many_who_ask_at_once_start_one_git(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = Starter.start

    async def counted(starter: Starter, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        started.append(command)
        return await start(starter, command, environment)

    monkeypatch.setattr(Starter, "start", counted)

    async def test() -> None:
        upload_pack = served.upload_pack()
        asking = (everything(upload_pack.advertise(SUBSCRIPTION, "version=2")) for _ in range(20))
        assert len(set(await asyncio.gather(*asking))) == 1
        assert len(started) == 1

    run(test)
