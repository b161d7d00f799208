"""Document workers: the same results as in the caller's thread, for documents of any size."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gitstore.read.blob_reader import LARGE_BYTES
from gitstore.snapshots import canonical_definition
from service.documents import workers
from service.documents.workers import IN_THREAD, DocumentWorkers, outcome_of
from service.domain.errors import Busy, Fault, Invalid
from service.runtime.pickles import message, receive
from tests.support.databases import Cluster
from tests.support.forks import forks
from tests.support.running_server import Server
from tests.support.standing_server import Tenant, serving

DOCUMENTS = "annals: docs"


@contextmanager
def bound(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield listener


@contextmanager
def answering(
    folder: Path, *answers: Callable[[Callable[[], Any]], list[bytes]]
) -> Iterator[DocumentWorkers]:
    """Answer the calls one after the other, each as the function of its work says."""
    with bound(folder / "documents.sock") as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as stream:
                    for part in answer(receive(stream)):
                        connection.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()
        yield DocumentWorkers(folder / "documents.sock")
        thread.join()


def done(work: Callable[[], Any]) -> list[bytes]:
    return message(outcome_of(work))


def refuse() -> None:
    raise Invalid("no", faults=[Fault("odd", pointer="/a")], facts={"n": 1})


def fail() -> None:
    raise RuntimeError(threading.Lock())


def test_a_result_with_large_and_small_bytes_arrives_as_it_is(tmp_path: Path) -> None:
    value = {"a": [b"x" * 10_000_000, b"y"], "b": (b"z" * 20_000, "é", None)}
    with answering(tmp_path, done) as documents:
        assert documents.run(LARGE_BYTES, dict, value) == value


def test_small_documents_are_worked_on_by_the_caller(tmp_path: Path) -> None:
    assert DocumentWorkers(tmp_path / "nowhere.sock").run(LARGE_BYTES - 1, os.getpid) == os.getpid()


def test_a_refusal_arrives_with_its_faults_and_facts(tmp_path: Path) -> None:
    with answering(tmp_path, done) as documents, pytest.raises(Invalid) as raised:
        documents.run(LARGE_BYTES, refuse)
    assert (raised.value.detail, raised.value.faults, raised.value.facts) == (
        "no",
        (Fault("odd", pointer="/a"),),
        {"n": 1},
    )


def test_an_error_that_can_not_be_pickled_arrives_as_its_text(tmp_path: Path) -> None:
    with answering(tmp_path, done) as documents, pytest.raises(RuntimeError, match="lock"):
        documents.run(LARGE_BYTES, fail)


@pytest.mark.parametrize("answer", [lambda _: [], lambda work: [done(work)[0][:-1]]])
def test_a_worker_that_ends_before_its_answer_does_is_busy(
    tmp_path: Path, answer: Callable[[Callable[[], Any]], list[bytes]]
) -> None:
    with answering(tmp_path, answer) as documents, pytest.raises(Busy, match="try again"):
        documents.run(LARGE_BYTES, len, b"")


def test_no_worker_is_busy(tmp_path: Path) -> None:
    with pytest.raises(Busy):
        DocumentWorkers(tmp_path / "nowhere.sock").run(LARGE_BYTES, len, b"")


def test_a_worker_that_does_not_answer_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ANSWER_SECONDS", 0.1)
    with bound(tmp_path / "documents.sock"), pytest.raises(Busy):
        DocumentWorkers(tmp_path / "documents.sock").run(LARGE_BYTES, len, b"")


def test_a_document_worker_that_dies_is_replaced_and_its_caller_is_told(tmp_path: Path) -> None:
    assert forks("document_worker_dies", tmp_path)[0] == [True, True, "busy", LARGE_BYTES]


def test_without_workers_the_caller_does_all(tmp_path: Path) -> None:
    assert IN_THREAD.run(100 * LARGE_BYTES, os.getpid) == os.getpid()


def large(number: int) -> dict[str, Any]:
    """Make a document of some 700 KB, with what JSON can be written in several ways."""
    return {
        "zz": [
            {"id": each, "text": f"é\u2028 {each} " * 20, "x": each / 7, "n": None} for each in range(3000)
        ],
        "a": {"b": 1.0, "a": -0.0, "big": 2**63, "number": number},
    }


def test_a_large_document_has_the_answers_of_a_small_one(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path) as (server, _):
        assert len(server.pids(DOCUMENTS)) == 3
        with Tenant(server.url).client(server.url) as client:
            check_answers(client, large, at_least=LARGE_BYTES)
            check_answers(client, lambda number: {"a": large(number)["a"]}, at_least=0)
            check_refusals(client)
        check_death(server)


def check_answers(client: httpx.Client, document: Callable[[int], dict[str, Any]], *, at_least: int) -> None:
    """Assert that what is saved is answered everywhere as the same bytes."""
    first, second = document(1), document(2)
    made = posted(client, "/workspaces", {"name": f"w {at_least}", "definition": first})
    path = f"/workspaces/{made['resource_id']}"
    assert len(canonical_definition(first)) >= at_least
    assert orjson.dumps(made["definition"]) == sorted_json(first)
    posted(client, f"{path}/versions", {"data": second})
    shown = client.get(f"{path}/versions/2").raise_for_status()
    assert sorted_json(second) in shown.content
    assert orjson.dumps(shown.json()["data"]) == sorted_json(second)
    data = client.get(f"{path}/versions/2/data").raise_for_status().content
    assert canonical_definition(second) in data
    diff = client.get(f"{path}/diff", params={"from": 1, "to": 2}).raise_for_status().json()
    operation = {"op": "replace", "path": "/definition/a/number", "value": 2}
    assert (diff["json_patch"], diff["truncated"]) == ([operation], False)
    foretold = posted(client, f"{path}/rollback", {"to": 1, "dry_run": True})
    assert foretold["json_patch"] == [operation | {"value": 1}]
    changes = (
        client.get("/change-history", params={"record_id": made["resource_id"]}).raise_for_status().json()
    )
    assert changes["items"][0]["diff"] == [operation]
    posted(client, f"{path}/rollback", {"to": 1})
    assert sorted_json(first) in client.get(path).raise_for_status().content


def check_refusals(client: httpx.Client) -> None:
    """Assert that the faults of a large body are told with their places."""
    body = b'{"name":"x","definition":{"a":"%s","b":NaN,"b":1}}' % (b"x" * LARGE_BYTES)
    answer = client.post("/workspaces", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/definition/b"]


def check_death(server: Server) -> None:
    """Assert that killed document workers are replaced."""
    before = server.pids(DOCUMENTS)
    for pid in before:
        os.kill(pid, 9)
    with Tenant(server.url).client(server.url) as client:
        made = posted(client, "/workspaces", {"name": "after", "definition": large(3)})
    assert orjson.dumps(made["definition"]) == sorted_json(large(3))
    assert not set(before) & set(server.pids(DOCUMENTS))


def posted(client: httpx.Client, path: str, body: Any) -> Any:
    """Post a body that must be accepted; returns the answer."""
    answer = client.post(path, content=orjson.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.is_success, (answer.status_code, answer.text[:500])
    return answer.json()


def sorted_json(value: Any) -> bytes:
    """Write compact JSON as answers have it: with sorted keys, as the document is stored."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
