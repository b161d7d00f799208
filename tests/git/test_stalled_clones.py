"""Clones that nobody reads, through the real server: they end, and leave their places to others."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.http.connections.limits import Limits
from service.http.connections.protocols import protocol_class
from service.runtime.fair_places import FairPlaces
from tests.support.api import Server, Tenant, git
from tests.support.databases import Cluster
from tests.support.doors import TICK_SECONDS, Client, Watch
from tests.support.pkt_lines import FLUSH, line, upload_pack
from tests.support.serving import serving
from tests.support.waiting import until


@pytest.fixture(scope="module")
def watch() -> Watch:
    """The clock of the server's connections."""
    return Watch()


@pytest.fixture(scope="module")
def narrow(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, watch: Watch) -> Iterator[Server]:
    """Annals with one place for clones of each subscription."""
    protocol = protocol_class(Limits(tick_seconds=TICK_SECONDS), watch)
    with serving(cluster, tmp_path_factory.mktemp("annals"), protocol, git_processes=1) as server:
        yield server


@pytest.fixture(scope="module")
def tenant(narrow: Server) -> Tenant:
    """A tenant whose repository is larger than sockets and pipes hold."""
    tenant = Tenant(narrow)
    for number in range(2):
        tenant.workflow(name=f"large {number}", definition={"noise": os.urandom(3_500_000).hex()})
    return tenant


def begun(tenant: Tenant) -> Client:
    """Send the request of a clone on a connection of its own, and read nothing."""
    body = line(f"want {tenant.main()}\n") + FLUSH + line("done\n")
    head = (
        f"POST {upload_pack(tenant)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.vera.key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    client = Client(httpx.URL(tenant.server.url).port or 0, buffer=4096)
    client.send(head.encode() + body)
    return client


def places(tenant: Tenant) -> FairPlaces:
    found = tenant.server.app.state.upload_pack._transfers
    assert isinstance(found, FairPlaces)
    return found


def test_a_clone_that_is_not_read_ends_after_thirty_seconds_and_the_next_begins(
    tenant: Tenant, watch: Watch, tmp_path: Path
) -> None:
    stalled = begun(tenant)
    stalled.read(1)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(tenant.clone, tmp_path / "clone")
        until(lambda: places(tenant).waiting == 1)
        # More than once, since it may stall only now: sockets hold megabytes.
        while places(tenant).waiting:
            watch.move(20)
        assert git(other.result(), "fsck", "--strict") == ""
    until(lambda: places(tenant).held == 0)
    stalled.close()


def test_a_client_that_goes_while_it_waits_leaves_the_queue(tenant: Tenant, tmp_path: Path) -> None:
    stalled = begun(tenant)
    stalled.read(1)
    waiting = begun(tenant)
    until(lambda: places(tenant).waiting == 1)
    waiting.close()
    until(lambda: places(tenant).waiting == 0)
    stalled.close()
    assert git(tenant.clone(tmp_path / "clone"), "fsck", "--strict") == ""
