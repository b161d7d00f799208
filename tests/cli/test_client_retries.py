"""The commands before a server that does not answer at once, or is none."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from service.cli.client import TRIES
from tests.support.api import Server, Tenant
from tests.support.commands import NOBODY_LISTENS, annals, at, current, edited, rows


@dataclass
class Proxy:
    """A proxy before the server: its URL, what is to happen to the next calls, and the calls that it saw.

    A treatment is `lose the call`, `lose the answer` (of a call that was carried out), or the status of a
    refusal and its `Retry-After`.
    """

    server: Server
    method: str
    treatments: list[str]
    url: str = ""
    keys: list[str | None] = field(default_factory=list)


class Treatment(BaseHTTPRequestHandler):
    """One call through a proxy."""

    proxy: Proxy

    def _call(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        treatment = ""
        if self.command == self.proxy.method and not self.path.endswith("/whoami"):
            self.proxy.keys.append(self.headers["idempotency-key"])
            treatment = self.proxy.treatments.pop(0) if self.proxy.treatments else ""
        if treatment[:1].isdigit():
            status, _, seconds = treatment.partition(" ")
            self._refuse(int(status), seconds)
        elif treatment != "lose the call":
            passed = ("authorization", "content-type", "idempotency-key")
            headers = {name: self.headers[name] for name in passed if name in self.headers}
            http = self.proxy.server.http
            answer = http.request(self.command, self.path, content=body, headers=headers)
            if treatment != "lose the answer":
                self._answer(answer.status_code, answer.content)

    do_GET = do_POST = do_PUT = do_DELETE = _call  # noqa: N815

    def _refuse(self, status: int, seconds: str) -> None:
        code = "request_in_flight" if status == 409 else "any"
        problem = {"status": status, "code": code, "detail": "Not now.", "request_id": "r-1"}
        self._answer(status, json.dumps(problem).encode(), **({"Retry-After": seconds} if seconds else {}))

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        pass


@contextmanager
def proxied(tenant: Tenant, method: str, *treatments: str) -> Iterator[Proxy]:
    """A proxy that treats the next calls of a method so, one by one, and passes all others on."""
    proxy = Proxy(tenant.server, method, list(treatments))
    handler = type("Handler", (Treatment,), {"proxy": proxy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        proxy.url = f"http://127.0.0.1:{listener.server_port}"
        thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "treatments",
    [["lose the answer"], ["lose the call", "503"], ["503 0", "lose the answer", "409"]],
)
def test_a_write_is_tried_again_and_done_once(tenant: Tenant, treatments: list[str]) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow)
    with proxied(tenant, "POST", *treatments) as proxy:
        done = annals(tenant.ana, "check-in", at(workflow), "-", given=b'{"n": 2}', ANNALS_URL=proxy.url)
    assert rows(done)[0][0] == "2"
    assert current(tenant, workflow)["version_number"] == 2
    assert len(proxy.keys) == len(treatments) + 1
    assert None not in proxy.keys
    assert len(set(proxy.keys)) == 1


def test_each_write_has_a_key_of_its_own(tenant: Tenant) -> None:
    workflow = edited(tenant)
    with proxied(tenant, "POST") as proxy:
        for ref in ("1", "2"):
            annals(tenant.ana, "rollback", at(workflow), ref, ANNALS_URL=proxy.url)
    assert len(set(proxy.keys)) == 2


def test_reading_is_tried_again(shared: Tenant) -> None:
    workflow = shared.workflow()
    with proxied(shared, "GET", "lose the call", "503", "lose the answer") as proxy:
        annals(shared.ana, "version", "log", at(workflow), ANNALS_URL=proxy.url)
    assert len(proxy.keys) == 4


def test_a_tag_is_put_again(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    with proxied(tenant, "PUT", "lose the answer") as proxy:
        done = annals(tenant.ana, "tag", at(workflow), "1", "v1", ANNALS_URL=proxy.url)
    assert rows(done)[0][:2] == ["1", "v1"]
    assert len(proxy.keys) == 2


def test_a_check_out_whose_return_may_be_lost_is_not_returned_twice(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow)
    with proxied(tenant, "DELETE", "lose the answer") as proxy:
        said = annals(tenant.ana, "check-out", at(workflow), "--cancel", code=6, ANNALS_URL=proxy.url)
    assert b"does not answer" in said.stderr
    assert len(proxy.keys) == 1


def test_the_time_that_the_server_asks_for_is_waited(shared: Tenant) -> None:
    workflow = shared.workflow()
    with proxied(shared, "GET", "503 2") as proxy:
        since = time.monotonic()
        annals(shared.ana, "version", "log", at(workflow), ANNALS_URL=proxy.url)
    assert time.monotonic() - since > 2


@pytest.mark.parametrize(("status", "calls"), [("503 0", TRIES), ("503 3600", 1), ("429 60", 1)])
def test_a_server_that_stays_unavailable_is_not_called_for_ever(
    shared: Tenant, status: str, calls: int
) -> None:
    workflow = shared.workflow()
    with proxied(shared, "GET", *[status] * 20) as proxy:
        said = annals(shared.ana, "version", "log", at(workflow), code=6, ANNALS_URL=proxy.url)
    assert said.stderr.decode() == f"annals: Not now.\n  try again in {status.split()[1]} s\n"
    assert len(proxy.keys) == calls


def test_a_server_that_is_not_there_is_said(shared: Tenant) -> None:
    said = annals(shared.ana, "version", "log", "workflows/x", code=6, ANNALS_URL=NOBODY_LISTENS)
    assert said.stderr.startswith(f"annals: {NOBODY_LISTENS} does not answer: ".encode())


@pytest.mark.parametrize("status", [302, 405, 500, 502])
def test_what_nobody_expects_has_the_first_exit_code(shared: Tenant, status: int) -> None:
    workflow = shared.workflow()
    with proxied(shared, "GET", str(status)) as proxy:
        said = annals(shared.ana, "version", "log", at(workflow), code=1, ANNALS_URL=proxy.url)
    assert said.stderr == b"annals: Not now.\n  request r-1\n"


def test_another_servers_answer_is_not_taken_for_annals(home: Path) -> None:
    (home / "v1").mkdir()
    (home / "v1" / "whoami").write_text("<html>")
    handler = partial(QuietFiles, directory=str(home))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for text in ("<html>", "[]", "{}"):
            (home / "v1" / "whoami").write_text(text)
            url = f"http://127.0.0.1:{listener.server_port}"
            said = annals(None, "version", "log", "workflows/x", "--url", url, "--key", "k", code=1)
            assert b"Annals server" in said.stderr
        listener.shutdown()
        thread.join()


class QuietFiles(SimpleHTTPRequestHandler):
    """A web server of files."""

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        pass
