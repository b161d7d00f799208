"""A real `annals serve` that many tests share, and tenants of it."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.api import Json
from tests.support.databases import Cluster, Database
from tests.support.running_server import OPERATOR_KEY, Server, running


class Tenant:
    """A subscription with an admin, on a server whose processes may change while the database stays."""

    def __init__(self, url: str) -> None:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {OPERATOR_KEY}"}) as operator:
            created = operator.post("/v1/subscriptions", json={"name": "Crash Ltd"}).raise_for_status().json()
            self.base = f"/v1/subscriptions/{created['subscription_id']}"
            self.subscription_id = created["subscription_id"]
            user = {"username": "ana", "email": "ana@example.org", "role": "admin"}
            user_id = operator.post(f"{self.base}/users", json=user).raise_for_status().json()["user_id"]
            key = {"user_id": user_id, "name": "test"}
            self.key = operator.post(f"{self.base}/api-keys", json=key).raise_for_status().json()["api_key"]

    def client(self, url: str, *, receive_bytes: int | None = None) -> httpx.Client:
        """Make a client with the admin's key; `receive_bytes` bounds the receive buffer of each socket."""
        headers = {"Authorization": f"Bearer {self.key}"}
        options = None if receive_bytes is None else [(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)]
        transport = httpx.HTTPTransport(socket_options=options)
        return httpx.Client(base_url=url + self.base, headers=headers, timeout=30, transport=transport)

    def clone(self, url: str, folder: Path) -> Path:
        """Make a fresh clone."""
        address = f"{url.replace('://', f'://ana:{self.key}@')}/git/{self.subscription_id}.git"
        subprocess.run(["git", "clone", "--quiet", address, folder], check=True)
        return folder


@contextmanager
def serving(
    cluster: Cluster, folder: Path, *options: str, **environment: str
) -> Iterator[tuple[Server, Database]]:
    """Run a server on a database of its own."""
    database = cluster.migrated()
    with running(
        folder / "data", *options, DATABASE_URL=database.url, ANNALS_OPERATOR_KEY=OPERATOR_KEY, **environment
    ) as server:
        yield server, database


@dataclass
class Standing:
    """A server for many tests, each with a subscription of its own; tests may kill its processes."""

    server: Server
    database: Database
    failpoint: Path


@contextmanager
def standing_server(cluster: Cluster, folder: Path) -> Iterator[Standing]:
    """Run a server that reads its failpoint from a file."""
    failpoint = folder / "failpoint"
    with serving(cluster, folder, ANNALS_FAILPOINT=f"@{failpoint}") as (server, database):
        yield Standing(server, database, failpoint)


def workspace(client: httpx.Client, name: str) -> Json:
    """Make a workspace with two versions, which are two batches."""
    made: Json = client.post("/workspaces", json={"name": name}).raise_for_status().json()
    save(client, made, 1).raise_for_status()
    return made


def save(client: httpx.Client, resource: Json, number: int, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    path = f"/workspaces/{resource['resource_id']}/versions"
    return client.post(path, json={"data": {"n": number}}, headers=headers)
