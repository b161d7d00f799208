"""Headers that every answer has: who may keep it, that its type is true, and that HTTPS is to be used."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.support.api import Server, Tenant
from tests.support.databases import Cluster
from tests.support.doors import Client
from tests.support.serving import serving

HSTS = "strict-transport-security"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/version", 200),
        ("/openapi.json", 200),
        ("/docs", 200),
        ("/docs/problems", 200),
        ("/nothing", 404),
        ("/v1/whoami", 401),
        ("/git/nobody.git/info/refs?service=git-upload-pack", 401),
    ],
)
def test_an_answer_to_anybody_is_not_kept_and_not_guessed_at(server: Server, path: str, status: int) -> None:
    response = server.http.get(path)
    assert response.status_code == status
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert HSTS not in response.headers


def test_no_answer_of_the_api_is_kept(shared: Tenant) -> None:
    path = shared.at(shared.workflow())
    for response in (
        shared.ana.get(path),
        shared.ana.get(f"{path}/versions"),
        shared.ana.get(f"{path}/versions/current"),
        shared.ana.get(f"{shared.path}/audit-logs"),
        shared.ana.post(f"{path}/versions", {"data": {"n": 1}}),
        shared.ana.post(f"{path}/versions", {}),
        shared.ana.delete(f"{path}/check-out"),
        shared.vera.post(f"{path}/check-out"),
    ):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"


def test_the_bytes_of_a_version_may_be_kept_and_are_asked_for_each_time(shared: Tenant) -> None:
    path = f"{shared.at(shared.workflow())}/versions/1/data"
    got = shared.ana.get(path)
    known = shared.ana.get(path, headers={"if-none-match": got.headers["etag"]})
    for response, status in ((got, 200), (known, 304)):
        assert response.status_code == status
        assert response.headers["cache-control"] == "private, no-cache"
        assert response.headers["x-content-type-options"] == "nosniff"


def test_a_refused_head_has_the_headers_too(server: Server) -> None:
    with closing(Client(server.port)) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        head = client.socket.recv(65536).lower()
    assert head.startswith(b"http/1.1 400")
    for line in (b"x-content-type-options: nosniff", b"cache-control: no-store"):
        assert line in head


def test_a_server_that_clients_reach_by_https_says_so_in_every_answer(
    cluster: Cluster, tmp_path: Path
) -> None:
    with serving(cluster, tmp_path, public_url="https://annals.example.org") as server:
        for path in ("/livez", "/v1/whoami", "/nothing", "/docs"):
            assert server.http.get(path).headers[HSTS] == "max-age=31536000"
