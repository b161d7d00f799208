"""Clones and fetches served by the real `git upload-pack`."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from gitstore.errors import RepositoryMissing, StoreUnavailable, UploadPackBusy, UploadPackFailed
from gitstore.store import Store
from tests.support.pkt_lines import FLUSH, LS_REFS, fetch, line
from tests.support.process_table import children, lives, starters
from tests.support.served_repository import SUBSCRIPTION, Served, begun, everything, run, soon, unpacked


@pytest.fixture
def others() -> list[int]:
    """The starters of this process that belong to other tests: their servers may have one."""
    return starters(os.getpid())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.close()


def test_refs_are_listed(served: Served) -> None:
    async def test() -> None:
        answer = await everything(served.upload_pack().serve(SUBSCRIPTION, LS_REFS, "version=2"))
        assert f"{served.head} refs/heads/main\n".encode() in answer
        assert f"{served.head} HEAD symref-target:refs/heads/main\n".encode() in answer

    run(test)


def test_a_fetch_gives_a_pack_that_git_accepts(served: Served, tmp_path: Path) -> None:
    async def test() -> bytes:
        request = fetch(f"want {served.head}", "done")
        return unpacked(await everything(served.upload_pack().serve(SUBSCRIPTION, request, "version=2")))

    clone = str(Store(tmp_path / "clone").ensure(SUBSCRIPTION))
    subprocess.run(["git", "-C", clone, "index-pack", "--strict", "--stdin"], input=run(test), check=True)
    command = ["git", "-C", clone, "cat-file", "blob", f"{served.head}:jobs/00/a.json"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == served.content


def test_a_fetch_without_blobs_is_small(served: Served) -> None:
    async def test() -> None:
        request = fetch("filter blob:none", f"want {served.head}", "done")
        assert len(await everything(served.upload_pack().serve(SUBSCRIPTION, request, "version=2"))) < 4096

    run(test)


def test_before_protocol_2_a_reachable_blob_may_be_fetched_alone(served: Served) -> None:
    # The request of a checkout after `git clone --filter=blob:none`.
    command = ["git", "-C", str(served.path), "rev-parse", f"{served.head}:jobs/00/a.json"]
    blob = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    async def test() -> None:
        request = line(f"want {blob}\n") + FLUSH + line("done\n")
        assert b"PACK" in await everything(served.upload_pack().serve(SUBSCRIPTION, request, None))

    run(test)


def test_a_request_may_come_in_pieces(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in LS_REFS:
            yield bytes([byte])
            await asyncio.sleep(0)

    async def test() -> None:
        answer = await everything(served.upload_pack().serve(SUBSCRIPTION, pieces(), "version=2"))
        assert b"refs/heads/main" in answer

    run(test)


def test_git_may_stop_reading_before_the_request_ends(served: Served) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"this is no pkt-line"
        while True:
            yield b"\0" * 2**16

    async def test() -> None:
        with pytest.raises(UploadPackFailed):
            await everything(served.upload_pack().serve(SUBSCRIPTION, endless(), "version=2"))
        assert await served.gone()

    run(test)


def test_a_request_larger_than_a_pipe_gets_its_whole_answer(served: Served) -> None:
    # Git answers while it reads: a client that first writes all and then reads would block here.
    haves = (f"have {number:040x}" for number in range(1, 20_001))
    request = fetch(f"want {served.head}", *haves, "done")

    async def test() -> None:
        answer = await everything(served.upload_pack().serve(SUBSCRIPTION, request, "version=2"))
        assert len(unpacked(answer)) > len(served.content)

    run(test)


def test_what_breaks_the_request_is_raised(served: Served) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LS_REFS[:10]
        raise ConnectionResetError("the client left")

    async def test() -> None:
        with pytest.raises(ConnectionResetError, match="the client left"):
            await everything(served.upload_pack().serve(SUBSCRIPTION, broken(), "version=2"))
        assert await served.gone()

    run(test)


@pytest.mark.parametrize("protocol", [None, "version=2"])
def test_a_missing_repository_is_told_before_the_first_byte(served: Served, protocol: str | None) -> None:
    async def test() -> None:
        upload_pack = served.upload_pack()
        assert await everything(upload_pack.advertise(SUBSCRIPTION, protocol))
        with pytest.raises(RepositoryMissing):
            await anext(upload_pack.advertise(SUBSCRIPTION.replace("1", "2"), protocol))

    run(test)


def test_a_git_that_is_not_there_is_a_store_that_is_not(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def test() -> None:
        with pytest.raises(StoreUnavailable, match="No such file"):
            await anext(served.upload_pack().serve(SUBSCRIPTION, LS_REFS, "version=2"))

    run(test)


def test_a_starter_that_is_killed_fails_what_runs_and_nothing_else(served: Served, others: list[int]) -> None:
    async def test() -> None:
        upload_pack = served.upload_pack(limit=1)
        output = await begun(served, upload_pack)
        [starter] = starters(os.getpid(), but=others)
        os.kill(starter, signal.SIGKILL)
        with pytest.raises(UploadPackFailed, match="status -9"):
            await everything(output)
        assert await everything(upload_pack.serve(SUBSCRIPTION, LS_REFS, "version=2"))
        assert await served.gone()

    run(test)


def test_a_broken_repository_fails_before_the_first_byte_with_gits_words(served: Served) -> None:
    (served.path / "HEAD").unlink()

    async def test() -> None:
        with pytest.raises(UploadPackFailed, match="does not appear to be a git repository"):
            await anext(served.upload_pack().advertise(SUBSCRIPTION, None))

    run(test)


def test_closing_the_generator_ends_git(served: Served) -> None:
    async def test() -> None:
        output = await begun(served, served.upload_pack())
        await output.aclose()
        assert await served.gone()

    run(test)


def test_what_git_has_started_ends_with_it(served: Served, others: list[int]) -> None:
    async def test() -> None:
        output = await begun(served, served.upload_pack())
        (starter,) = starters(os.getpid(), but=others)
        (parent,) = children(starter)
        assert await soon(lambda: len(children(parent)) == 1)
        (child,) = children(parent)
        # Stopped, it would not notice that nobody reads from it.
        os.kill(child, signal.SIGSTOP)
        await output.aclose()
        assert await soon(lambda: not lives(child))

    run(test)


def test_cancelling_the_reader_ends_git(served: Served) -> None:
    stalled = asyncio.Event()

    async def never() -> AsyncIterator[bytes]:
        yield LS_REFS[:10]
        stalled.set()
        await asyncio.Event().wait()

    async def test() -> None:
        upload_pack = served.upload_pack(limit=1)
        task = asyncio.create_task(everything(upload_pack.serve(SUBSCRIPTION, never(), "version=2")))
        await stalled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await served.gone()
        assert await everything(upload_pack.serve(SUBSCRIPTION, LS_REFS, "version=2"))

    run(test)


def test_the_deadline_ends_git_while_the_request_stalls(served: Served) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield LS_REFS[:10]
        await asyncio.Event().wait()

    async def test() -> None:
        with pytest.raises(UploadPackFailed, match=r"longer than 0\.2 s"):
            await everything(served.upload_pack(deadline=0.2).serve(SUBSCRIPTION, never(), "version=2"))
        assert await served.gone()

    run(test)


def test_the_deadline_ends_git_while_the_client_reads_nothing(served: Served) -> None:
    async def test() -> None:
        output = await begun(served, served.upload_pack(deadline=0.5))
        await asyncio.sleep(0.6)
        assert await served.gone()
        with pytest.raises(UploadPackFailed, match=r"longer than 0\.5 s"):
            await everything(output)

    run(test)


def test_a_client_that_reads_slowly_holds_git_back(served: Served) -> None:
    async def test() -> None:
        async with aclosing(await begun(served, served.upload_pack())):
            await asyncio.sleep(0.3)
            assert served.running()

    run(test)


def test_more_than_the_limit_wait_and_are_then_refused(served: Served) -> None:
    async def test() -> None:
        upload_pack = served.upload_pack(limit=2, queue=0.1)
        outputs = [await begun(served, upload_pack) for _ in range(2)]
        with pytest.raises(UploadPackBusy):
            await begun(served, upload_pack)
        for output in outputs:
            await output.aclose()
        assert await everything(await begun(served, upload_pack))

    run(test)


def test_one_that_waits_goes_on_when_another_ends(served: Served) -> None:
    async def test() -> None:
        upload_pack = served.upload_pack(limit=1)
        output = await begun(served, upload_pack)
        waiting = asyncio.create_task(begun(served, upload_pack))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await output.aclose()
        assert await everything(await waiting)

    run(test)


def test_one_that_gives_up_leaves_the_queue(served: Served) -> None:
    async def test() -> None:
        upload_pack = served.upload_pack(limit=1)
        output = await begun(served, upload_pack)
        given_up, waiting = (asyncio.create_task(begun(served, upload_pack)) for _ in range(2))
        await asyncio.sleep(0.1)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        await output.aclose()
        assert await everything(await waiting)

    run(test)


def test_a_subscription_with_all_of_its_transfers_stalled_stops_no_other(served: Served) -> None:
    another = SUBSCRIPTION.replace("1", "2")
    shutil.copytree(served.path, served.store.path(another), dirs_exist_ok=True)
    request = fetch(f"want {served.head}", "done")

    async def test() -> None:
        upload_pack = served.upload_pack(limit=2, queue=0.1)
        stalled = [await begun(served, upload_pack) for _ in range(2)]
        with pytest.raises(UploadPackBusy):
            await begun(served, upload_pack)
        for _ in range(2):
            assert await everything(upload_pack.serve(another, request, "version=2"))
        for output in stalled:
            await output.aclose()

    run(test)


def test_refs_are_listed_while_all_transfers_stall(served: Served) -> None:
    async def test() -> None:
        upload_pack = served.upload_pack(limit=1, queue=0.1)
        async with aclosing(await begun(served, upload_pack)):
            assert await everything(upload_pack.advertise(SUBSCRIPTION, None))
            assert await everything(upload_pack.advertise(SUBSCRIPTION, "version=2"))
            listed = upload_pack.serve(SUBSCRIPTION, LS_REFS, "version=2", lists_refs=True)
            assert b"refs/heads/main" in await everything(listed)

    run(test)


def test_a_failed_run_gives_its_place_back(served: Served) -> None:
    async def test() -> None:
        upload_pack = served.upload_pack(limit=1, queue=0.1)
        for _ in range(3):
            with pytest.raises(UploadPackFailed):
                await everything(upload_pack.serve(SUBSCRIPTION, b"nonsense", "version=2"))
        assert await everything(await begun(served, upload_pack))

    run(test)


def test_git_sees_nothing_of_the_callers_environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", "2")
    monkeypatch.setenv("ANNALS_OPERATOR_KEY", "secret")

    async def test() -> None:
        async with aclosing(await begun(served, served.upload_pack())):
            assert not served.environment() & {"GIT_DIR", "GIT_TRACE", "ANNALS_OPERATOR_KEY"}
            assert "GIT_PROTOCOL" in served.environment()

    run(test)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_owner_is_served(served: Served) -> None:
    for path in (served.path, *served.path.rglob("*")):
        os.chown(path, 65534, 65534)

    async def test() -> None:
        assert await everything(served.upload_pack().advertise(SUBSCRIPTION, "version=2"))
        assert await everything(served.upload_pack().serve(SUBSCRIPTION, LS_REFS, "version=2"))

    run(test)
