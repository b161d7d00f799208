"""`annals export` stores a list or figures as a file, whole or not at all."""

import csv
import io
import json
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from threading import Thread

import pytest

from service.cli.calls import Exit
from tests.support.api import Server, Tenant, ok
from tests.support.commands import annals

SINCE = "since=2026-01-01T00:00:00Z"
BROKEN_OFF = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Disposition: attachment\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n6\r\na,b\r\n1\r\n"
)


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    tenant = Tenant(server, "exported")
    events = [{"action": "VISIT", "resource_type": "page", "resource_id": f"p-{n}"} for n in range(450)]
    ok(tenant.ana.post(f"{tenant.path}/audit-logs", events), 201)
    return tenant


def test_a_list_is_printed_or_written_whole(tenant: Tenant, tmp_path: Path) -> None:
    printed = annals(tenant.aud, "export", "audit-logs", "--where", "action=VISIT").stdout
    rows = list(csv.DictReader(io.StringIO(printed.decode(), newline="")))
    assert [row["resource_id"] for row in rows] == [f"p-{n}" for n in reversed(range(450))]
    file = tmp_path / "visits.csv"
    file.write_text("older")
    said = annals(tenant.aud, "export", "audit-logs", "--where", "action=VISIT", "--file", file)
    assert (said.stdout, said.stderr) == (b"", b"")
    assert file.read_bytes() == printed
    assert [each.name for each in tmp_path.iterdir()] == ["visits.csv"]


def test_figures_and_lines_of_json(tenant: Tenant) -> None:
    where = ("--where", "action=VISIT", "--where", "action=TOUR", "--where", "bucket=all", "--where", SINCE)
    options = (*where, "--format", "ndjson")
    [figures] = annals(tenant.aud, "export", "audit-logs/stats", *options).stdout.splitlines()
    assert json.loads(figures)["count"] == 450


def test_the_operator_names_a_whole_path(tenant: Tenant) -> None:
    printed = annals(tenant.server.operator, "export", "/v1/subscriptions", "--format", "ndjson").stdout
    assert tenant.subscription_id in [json.loads(line)["subscription_id"] for line in printed.splitlines()]


def test_what_is_no_list_or_not_allowed_leaves_no_file(tenant: Tenant, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    for listed, code in {
        "../users": Exit.USAGE,
        "%2e%2e/users": Exit.USAGE,
        "audit-logs?limit=1": Exit.USAGE,
        "nothing": Exit.NOT_FOUND,
        "audit-logs": Exit.NOT_ALLOWED,
        "quotas": Exit.NOT_FOUND,
    }.items():
        done = annals(tenant.ben, "export", listed, "--file", file, code=code)
        assert done.stderr.startswith(b"annals: "), listed
    annals(tenant.aud, "export", "audit-logs", "--where", "since=never", "--file", file, code=Exit.USAGE)
    annals(tenant.aud, "export", "audit-logs", "--where", "format=csv", "--file", file, code=Exit.USAGE)
    # A call that answers no file.
    annals(tenant.aud, "export", tenant.at(tenant.workflow()), "--file", file, code=Exit.USAGE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (BROKEN_OFF, Exit.UNAVAILABLE, "broke off before its end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Exit.UNEXPECTED, "answered with no file"),
    ],
)
def test_an_answer_that_is_no_whole_file_is_not_kept(
    tmp_path: Path, answer: bytes, code: Exit, said: str
) -> None:
    class Answering(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(answer)

    with TCPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        options = ("--url", url, "--key", "any", "--file", tmp_path / "list.csv")
        done = annals(None, "export", "/v1/subscriptions", *options, code=code)
        server.shutdown()
    assert said in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []
