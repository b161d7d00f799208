"""Both ends of the committer's socket: a silent, closed, stopped or faulty end harms no other."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gitstore import failpoints
from service.committer import client
from service.committer import server as committer_server
from service.committer.changes import RollBack, Written
from service.committer.client import SocketCommitter
from service.committer.frames import Beat, CommitterError, Decoder, encode
from service.committer.group_commit import WRITERS, GroupCommit
from service.domain.errors import Busy, OutcomeUnknown, ResourceNotFound, VersionNotFound
from service.domain.ids import SubscriptionId, mint
from service.domain.resource_kinds import Kind
from sql.database import Database as ServiceDatabase
from tests.support.api import Json, Tenant
from tests.support.changes import author, resource_id, save, unknown
from tests.support.group_commits import held, until_taken
from tests.support.histories import check_history

SECONDS = 20


@dataclass
class Listening:
    """A committer that serves a socket, as its process does."""

    path: Path
    group: GroupCommit
    server: committer_server.Server
    thread: threading.Thread


@contextmanager
def listening(tenant: Tenant, folder: Path) -> Iterator[Listening]:
    """Serve a committer on the tenant's database and repositories until the block ends."""
    pool = ServiceDatabase(tenant.server.database.url, pool_size=WRITERS + 1)
    group = GroupCommit(
        pool, tenant.server.context.store, clock=tenant.server.clock, public_url="http://a.example"
    )
    group.start()
    with bound(folder / "c.sock") as listener:
        server = committer_server.Server(listener, group)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Listening(folder / "c.sock", group, server, thread)
        finally:
            server.stop()
            thread.join(SECONDS)
            # The accepting thread ends with its process; here, by a last connection.
            listener.shutdown(socket.SHUT_RDWR)
    pool.close()


@contextmanager
def bound(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(16)
        yield listener


def connected(path: Path, work: Callable[[SocketCommitter], Awaitable[Any]]) -> Any:
    """Run work with an API worker's end of the socket; returns its result."""

    async def run() -> Any:
        committer = SocketCommitter(path)
        await committer.start()
        try:
            return await asyncio.wait_for(work(committer), SECONDS)
        finally:
            await committer.stop()

    return asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    """Poll a condition for some seconds at most."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class Worker:
    """An API worker's end of the socket, driven by the test."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(path))
        self._decoder = Decoder()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, number: int, change: Any) -> None:
        self.socket.sendall(encode((number, change)))

    def receive(self, count: int = 1) -> dict[int, Any]:
        """Receive a number of outcomes, in their order; raises EOFError at the end."""
        found: dict[int, Any] = {}
        while len(found) < count:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            for value in self._decoder.feed(data):
                # The others are heartbeats.
                if not isinstance(value, Beat):
                    found |= dict(value)
        return found


def long_refusal(tenant: Tenant, workflow: Json) -> RollBack:
    """A change whose refusal is some 100 KB long."""
    return RollBack(
        author=author(tenant, tenant.ana),
        kind=Kind.WORKFLOW,
        resource_id=resource_id(workflow),
        to="x" * 100_000,
    )


# -- the API worker's end -------------------------------------------------------------------------------


def test_changes_and_refusals_come_back_to_whoever_sent_them(tenant: Tenant, tmp_path: Path) -> None:
    workflow = tenant.workflow()

    async def work(committer: SocketCommitter) -> list[Any]:
        changes = [save(tenant, workflow, {"n": n}) if n % 4 else unknown(tenant) for n in range(40)]
        return await asyncio.gather(*map(committer.submit, changes), return_exceptions=True)

    with listening(tenant, tmp_path) as committer:
        outcomes = connected(committer.path, work)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Written if n % 4 else ResourceNotFound for n in range(40)]
    numbers = [outcome.version.version_number for outcome in outcomes if isinstance(outcome, Written)]
    assert numbers == list(range(2, 32))
    check_history(tenant)


def test_a_fault_of_the_committer_is_logged_there_and_told_by_name(tenant: Tenant, tmp_path: Path) -> None:
    change = save(tenant, tenant.workflow(), {})
    nowhere = SubscriptionId(mint())
    stray = type(change)(
        author=type(change.author)(
            user_id=change.author.user_id,
            username="ana",
            subscription_id=nowhere,
            origin=change.author.origin,
        ),
        kind=change.kind,
        resource_id=change.resource_id,
        definition=b"{}",
    )
    tenant.server.context.store.ensure(str(nowhere))

    async def work(committer: SocketCommitter) -> None:
        with pytest.raises(CommitterError, match="ValueError"):
            await committer.submit(stray)

    with capture_logs() as logged, listening(tenant, tmp_path) as committer:
        connected(committer.path, work)
    [line] = [line for line in logged if line["event"] == "a change failed"]
    assert isinstance(line["exc_info"], ValueError)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the silence that counts to less than a second."""
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.7)
    monkeypatch.setattr(client, "LOOK_SECONDS", 0.05)


@pytest.mark.usefixtures("soon")
def test_of_a_committer_that_falls_silent_the_outcome_is_unknown_and_new_changes_are_refused(
    tenant: Tenant, tmp_path: Path
) -> None:
    change = save(tenant, tenant.workflow(), {})

    async def work(committer: SocketCommitter) -> None:
        with pytest.raises(OutcomeUnknown, match="has not answered for 1 s: the change may be stored or not"):
            await committer.submit(change)
        assert not committer.is_alive()
        with pytest.raises(Busy, match=r"has not answered for \d s; nothing was changed"):
            await committer.submit(change)

    with bound(tmp_path / "c.sock"):
        connected(tmp_path / "c.sock", work)


@pytest.mark.usefixtures("soon")
def test_one_that_gives_signs_of_life_has_time_for_a_long_change(tenant: Tenant, tmp_path: Path) -> None:
    change = save(tenant, tenant.workflow(), {})

    async def work(committer: SocketCommitter) -> bool:
        taken, _ = await asyncio.to_thread(listener.accept)
        with taken:
            sent = asyncio.create_task(committer.submit(change))
            for _ in range(20):
                taken.sendall(encode(Beat(takes_changes=True)))
                await asyncio.sleep(0.1)
            waits = not sent.done()
            sent.cancel()
        return waits

    with bound(tmp_path / "c.sock") as listener:
        assert connected(tmp_path / "c.sock", work)


def test_callers_of_a_subscription_whose_batch_stands_are_answered_and_others_wait(
    tenant: Tenant, tmp_path: Path
) -> None:
    change = save(tenant, tenant.workflow(), {})
    other = replace(change, author=replace(change.author, subscription_id=SubscriptionId(mint())))

    async def work(committer: SocketCommitter) -> None:
        taken, _ = await asyncio.to_thread(listener.accept)
        with taken:
            taken.sendall(encode(Beat(takes_changes=True)))
            await until(committer.is_alive)
            sent = [asyncio.create_task(committer.submit(each)) for each in (change, other)]
            await asyncio.to_thread(taken.recv, 1)
            standing = frozenset({change.author.subscription_id})
            taken.sendall(encode(Beat(takes_changes=True, standing=standing)))
            with pytest.raises(OutcomeUnknown, match="nothing has moved for 8 s"):
                await sent[0]
            with pytest.raises(Busy, match="nothing has moved for 8 s; nothing was changed"):
                await committer.submit(change)
            assert not sent[1].done()
            taken.sendall(encode(Beat(takes_changes=True, standing=None)))
            with pytest.raises(OutcomeUnknown):
                await sent[1]

    with bound(tmp_path / "c.sock") as listener:
        connected(tmp_path / "c.sock", work)


def test_one_that_falls_silent_is_no_longer_alive(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.2)

    async def work(committer: SocketCommitter) -> None:
        taken, _ = await asyncio.to_thread(listener.accept)
        with taken:
            taken.sendall(encode(Beat(takes_changes=True)))
            await until(committer.is_alive)
            await until(lambda: not committer.is_alive())
            taken.sendall(encode(Beat(takes_changes=True)))
            await until(committer.is_alive)
            taken.sendall(encode(Beat(takes_changes=False)))
            await until(lambda: not committer.is_alive())

    with bound(tmp_path / "c.sock") as listener:
        connected(tmp_path / "c.sock", work)


def test_without_a_committer_a_caller_is_told_soon_that_nothing_was_changed(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.2)
    change = save(tenant, tenant.workflow(), {})

    async def work(committer: SocketCommitter) -> None:
        began = time.monotonic()
        with pytest.raises(Busy):
            await committer.submit(change)
        assert time.monotonic() - began < 5
        assert not committer.is_alive()

    connected(tmp_path / "c.sock", work)


def test_a_change_sent_before_the_committer_takes_it_only_waits(tenant: Tenant, tmp_path: Path) -> None:
    workflow = tenant.workflow()

    async def work(committer: SocketCommitter) -> int:
        sent = asyncio.create_task(committer.submit(save(tenant, workflow, {"n": 1})))
        await asyncio.sleep(0.3)
        assert not sent.done()
        with_committer = listening(tenant, tmp_path)
        running = await asyncio.to_thread(with_committer.__enter__)
        try:
            written = await sent
        finally:
            await committer.stop()
            await asyncio.to_thread(with_committer.__exit__, None, None, None)
        assert running.thread.is_alive() is False
        return int(written.version.version_number)

    assert connected(tmp_path / "c.sock", work) == 2


def test_those_in_flight_learn_of_a_lost_connection_at_once_and_the_next_are_sent_on_another(
    tenant: Tenant, tmp_path: Path
) -> None:
    """No change waits for its time limit, however its connection ends."""
    change = save(tenant, tenant.workflow(), {})
    stop = threading.Event()

    def let_go(listener: socket.socket) -> None:
        listener.settimeout(0.05)
        while not stop.is_set():
            try:
                taken, _ = listener.accept()
            except TimeoutError:
                continue
            with taken:
                taken.settimeout(1)
                taken.recv(1)

    async def work(committer: SocketCommitter) -> list[Any]:
        async def one(number: int) -> Any:
            await asyncio.sleep(number % 20 / 200)
            return await asyncio.wait_for(committer.submit(change), 3)

        return await asyncio.gather(*map(one, range(300)), return_exceptions=True)

    with bound(tmp_path / "c.sock") as listener:
        thread = threading.Thread(target=let_go, args=(listener,))
        thread.start()
        try:
            outcomes = connected(tmp_path / "c.sock", work)
        finally:
            stop.set()
            thread.join()
    assert {type(outcome) for outcome in outcomes} == {OutcomeUnknown}


def test_a_committer_that_came_back_takes_the_next_change(tenant: Tenant, tmp_path: Path) -> None:
    workflow = tenant.workflow()

    async def work(committer: SocketCommitter) -> int:
        taken, _ = await asyncio.to_thread(listener.accept)
        sent = asyncio.create_task(committer.submit(save(tenant, workflow, {"n": 1})))
        await asyncio.to_thread(taken.recv, 10)
        taken.close()
        with pytest.raises(OutcomeUnknown):
            await sent
        listener.close()
        (tmp_path / "c.sock").unlink()
        with_committer = listening(tenant, tmp_path)
        await asyncio.to_thread(with_committer.__enter__)
        try:
            written = await committer.submit(save(tenant, workflow, {"n": 2}))
            await until(committer.is_alive)
        finally:
            await committer.stop()
            await asyncio.to_thread(with_committer.__exit__, None, None, None)
        return int(written.version.version_number)

    with bound(tmp_path / "c.sock") as listener:
        assert connected(tmp_path / "c.sock", work) == 2


def test_who_still_waits_when_the_worker_ends_is_told_that_nobody_knows(
    tenant: Tenant, tmp_path: Path
) -> None:
    change = save(tenant, tenant.workflow(), {})

    async def work(committer: SocketCommitter) -> None:
        sent = asyncio.create_task(committer.submit(change))
        await asyncio.sleep(0.1)
        await committer.stop()
        with pytest.raises(OutcomeUnknown):
            await sent

    with bound(tmp_path / "c.sock"):
        connected(tmp_path / "c.sock", work)


def test_of_callers_that_gave_up_only_what_was_begun_is_written_and_the_others_get_their_outcomes(
    tenant: Tenant, tmp_path: Path
) -> None:
    workflow = tenant.workflow()

    def waiting(group: GroupCommit) -> int:
        return sum(len(queue.changes) for queue in group._queues.values())

    def wanted(server: committer_server.Server) -> int:
        return sum(len(each._wanted) for each in server._open())

    async def work(committer: SocketCommitter) -> list[Any]:
        def send(number: int) -> asyncio.Task[Any]:
            return asyncio.create_task(committer.submit(save(tenant, workflow, {"n": number})))

        with held(tenant):
            tasks = [send(0)]
            await until(lambda: bool(listening_there.group._began))
            tasks += [send(number) for number in range(1, 6)]
            await until(lambda: waiting(listening_there.group) == 5)
            for task in tasks[::2]:
                task.cancel()
            await until(lambda: wanted(listening_there.server) == 3)
        return await asyncio.gather(*tasks[1::2])

    with listening(tenant, tmp_path) as listening_there:
        written = connected(listening_there.path, work)
        assert listening_there.group._waiting == 0
    # The first was begun when its caller gave up: it is version 2.
    assert [each.version.version_number for each in written] == [3, 4, 5]
    check_history(tenant)


# -- the committer's end --------------------------------------------------------------------------------


def test_a_worker_that_reads_nothing_holds_up_no_other_and_is_cut_off(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_server, "SEND_SECONDS", 5)
    monkeypatch.setattr(committer_server, "HEARTBEAT_SECONDS", 0.1)
    workflow = tenant.workflow()
    with (
        listening(tenant, tmp_path) as committer,
        Worker(committer.path) as stopped,
        Worker(committer.path) as other,
    ):
        for number in range(12):
            stopped.send(number, long_refusal(tenant, workflow))
        # Its outcomes of more than a megabyte fill the socket; their batches are written all the same.
        slowest = 0.0
        for number in range(20):
            began = time.monotonic()
            # On a busy machine it may be disconnected by now.
            with suppress(OSError):
                stopped.send(100 + number, long_refusal(tenant, workflow))
            other.send(number, save(tenant, workflow, {"n": number}))
            [(answered, outcome)] = other.receive().items()
            slowest = max(slowest, time.monotonic() - began)
            assert (answered, type(outcome)) == (number, Written)
        # One that waited for the stopped worker would wait until that is disconnected.
        assert slowest < committer_server.SEND_SECONDS
        deadline = time.monotonic() + SECONDS
        while len(committer.server._open()) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert other.socket.fileno() > 0
        other.send(99, unknown(tenant))
        assert list(other.receive()) == [99]


def test_a_slow_worker_gets_all_of_its_outcomes_in_whole_frames(tenant: Tenant, tmp_path: Path) -> None:
    workflow = tenant.workflow()
    with listening(tenant, tmp_path) as committer, Worker(committer.path) as slow:
        for number in range(30):
            slow.send(number, long_refusal(tenant, workflow))
        time.sleep(0.5)
        found = slow.receive(30)
    assert {type(outcome) for outcome in found.values()} == {VersionNotFound}
    assert sorted(found) == list(range(30))


@pytest.mark.parametrize("garbage", [b"\0\0\0\x05hello", b"\0\0\0\0", encode("no change"), encode((1, 2))])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_sends_what_is_no_change_ends_its_own_connection_only(
    tenant: Tenant, tmp_path: Path, garbage: bytes
) -> None:
    workflow = tenant.workflow()
    with listening(tenant, tmp_path) as committer, Worker(committer.path) as other:
        with Worker(committer.path) as wrong:
            wrong.socket.sendall(garbage)
            with pytest.raises((EOFError, ConnectionResetError)):
                wrong.receive()
        other.send(1, save(tenant, workflow, {"n": 1}))
        assert isinstance(other.receive()[1], Written)
        assert len(committer.server._open()) == 1


def test_what_a_worker_sent_that_is_gone_before_its_turn_is_not_written(
    tenant: Tenant, tmp_path: Path
) -> None:
    workflow = tenant.workflow()
    with listening(tenant, tmp_path) as committer, Worker(committer.path) as other:
        with held(tenant):
            other.send(1, save(tenant, workflow, {"n": 1}))
            until_taken(committer.group)
            with Worker(committer.path) as gone:
                gone.send(1, save(tenant, workflow, {"n": 2}))
                time.sleep(0.2)
            while len(committer.server._open()) > 1:
                time.sleep(0.01)
        assert isinstance(other.receive()[1], Written)
        other.send(2, save(tenant, workflow, {"n": 3}))
        assert other.receive()[2].version.version_number == 3


def test_past_the_bound_a_worker_is_told_busy(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.committer.group_commit.MAX_WAITING", 4)
    workflow = tenant.workflow()
    with listening(tenant, tmp_path) as committer, Worker(committer.path) as worker:
        with held(tenant):
            worker.send(0, save(tenant, workflow, {"n": 0}))
            until_taken(committer.group)
            for number in range(1, 5):
                worker.send(number, save(tenant, workflow, {"n": number}))
            refused = worker.receive(2)
        assert [(number, type(outcome)) for number, outcome in refused.items()] == [(3, Busy), (4, Busy)]
        assert [outcome.version.version_number for outcome in worker.receive(3).values()] == [2, 3, 4]


def test_when_it_is_stopped_what_was_sent_is_answered_and_then_it_ends(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failpoints, "_actions", failpoints.parse("batch-planned:delay:300"))
    workflow = tenant.workflow()
    with listening(tenant, tmp_path) as committer:
        with Worker(committer.path) as worker:
            worker.send(0, save(tenant, workflow, {"n": 0}))
            until_taken(committer.group)
            committer.server.stop()
            # A worker's last request may arrive after the stop: it was accepted, so it is answered.
            worker.send(1, save(tenant, workflow, {"n": 1}))
            found = worker.receive(2)
            assert [found[number].version.version_number for number in (0, 1)] == [2, 3]
            assert committer.thread.is_alive()
        began = time.monotonic()
        committer.thread.join(SECONDS)
        assert not committer.thread.is_alive()
        assert time.monotonic() - began < 2 + committer_server.HEARTBEAT_SECONDS


def test_a_worker_that_does_not_let_go_is_not_waited_for_for_ever(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_server, "GRACE_SECONDS", 2.5)
    with listening(tenant, tmp_path) as committer, Worker(committer.path):
        committer.server.stop()
        committer.thread.join(SECONDS)
        assert not committer.thread.is_alive()


def test_a_worker_that_can_not_be_taken_keeps_no_other_out(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_server, "HEARTBEAT_SECONDS", 0.1)
    refused = iter([True])

    def is_ours(_connected: socket.socket) -> bool:
        if next(refused, False):
            raise OSError("gone again")
        return True

    monkeypatch.setattr(committer_server, "_is_ours", is_ours)
    with listening(tenant, tmp_path) as committer, Worker(committer.path), Worker(committer.path) as second:
        second.send(1, unknown(tenant))
        assert isinstance(second.receive()[1], ResourceNotFound)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can only be played by root")
def test_another_user_is_not_let_in_even_where_the_folder_is_open(tenant: Tenant) -> None:
    folder = Path(tempfile.mkdtemp(prefix="annals-test-"))
    try:
        folder.chmod(0o711)
        with listening(tenant, folder) as committer:
            committer.path.chmod(0o777)
            program = (
                "import socket, sys; end = socket.socket(socket.AF_UNIX); end.connect(sys.argv[1]);"
                "print(end.recv(9))"
            )
            python = shutil.which("python3", path="/usr/bin") or sys.executable
            done = subprocess.run(
                [python, "-c", program, str(committer.path)],
                user=65534,
                cwd="/",
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            if done.returncode and "Permission" in done.stderr:
                pytest.skip("no Python that another user may run")
            assert "True" not in done.stdout
            assert done.stdout in ("b''\n", "")
            with Worker(committer.path) as ours:
                assert ours.socket.recv(1)
    finally:
        shutil.rmtree(folder)
