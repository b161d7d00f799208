"""The benchmark's own parts, at sizes that take seconds: what they measure they measure right."""

import http.server
import itertools
import math
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench import documents, load, posting, reference, retaining, streaming, tenants
from bench.figures import Demand
from bench.service import own_database
from bench.stage import QUICK, Stage
from tests.support.databases import cluster_url
from tests.support.project import ROOT

RESOURCES = 20


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers each POST with its body; a path may name another status."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(int(self.path[1:] or 200))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield "127.0.0.1", server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return reference.prepare(tmp_path / "template", RESOURCES)


def call(label: str, body: bytes, path: str = "/201", expected: int = 201) -> load.Call:
    request = load.http_request("POST", path, host="test", key="key", request_id="1", body=body)
    return load.Call(label, request, expected, "1")


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(repository), *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_a_load_of_several_clients_makes_every_call_once_and_in_the_order_of_its_chain(
    address: tuple[str, int],
) -> None:
    large = b"x" * 3_000_000
    chains = [[call("first", b"%d" % number), call("second", large)] for number in range(12)]
    outcome = load.run(address, chains, clients=4)
    assert sorted(int(a.body) for a in outcome.answers if a.label == "first") == list(range(12))
    assert [len(a.body) for a in outcome.answers if a.label == "second"] == [len(large)] * 12
    assert outcome.count("first") == outcome.count("second") == 12
    for number in range(12):
        assert [a.call for a in outcome.answers if a.chain == number] == [0, 1]
    assert 0 < load.percentile(outcome.latencies_ms("first"), 0.5) < 1000
    assert outcome.cpu_seconds > 0


def test_a_load_ends_when_its_time_is_up(address: tuple[str, int]) -> None:
    outcome = load.run(address, iter(lambda: [call("save", b"x")], None), clients=2, seconds=0.3)
    # The calls have no end, so that an end at all is the time's; a busy machine may reach it late.
    assert 0.2 < outcome.seconds < 30
    assert outcome.count("save") > 0


def test_an_answer_that_was_not_expected_fails_the_load_and_is_counted(address: tuple[str, int]) -> None:
    chains = [[call("save", b"fine")], [call("save", b"full up", path="/503")]]
    with pytest.raises(load.LoadFailed, match=r"1 × save 503; 1 as expected; the first: full up"):
        load.run(address, chains, clients=1)


def test_documents_are_of_their_size_and_edits_are_small_and_never_none() -> None:
    definition = documents.document(7)
    assert definition == documents.document(7) != documents.document(8)
    before = documents.snapshot(definition, "0" * 36, "workflow 7", "1" * 36)
    assert 6_400 < len(before) < 6_800
    corpus = reference.Corpus(1)
    contents = [corpus.snapshot(0), *(content for _, content in corpus.edits(50, seed=1))]
    for old, new in itertools.pairwise(contents):
        changed = set(old.splitlines()) ^ set(new.splitlines())
        assert 2 <= len(changed) <= 4


def test_the_references_commit_what_they_say_into_a_sound_repository(repository: Path) -> None:
    looped = reference.in_a_process(repository, "a", "--seconds", "0.2", "--resources", str(RESOURCES))
    assert looped.documents == looped.commits > 0
    assert 0 < looped.p50 <= looped.p99
    streamed = reference.stream(repository, 3, 5, RESOURCES)
    assert streamed.commits == 3
    assert 3 <= streamed.documents <= 15
    git(repository, "fsck", "--strict")
    assert git(repository, "rev-list", "--count", "main") == "4\n"
    assert len(git(repository, "ls-tree", "-r", "--name-only", "main").splitlines()) == RESOURCES


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_loop_waits_for_the_disk_with_every_object_and_every_move_of_the_branch(
    repository: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync"]
    python = [".venv/bin/python", "-m", "bench.reference", "a", str(repository)]
    run = [*strace, *python, "--seconds", "0.1", "--resources", str(RESOURCES)]
    subprocess.run(run, cwd=ROOT, check=True, capture_output=True)
    synced = trace.read_text()
    commits = int(git(repository, "rev-list", "--count", "main")) - 1
    assert commits > 0
    # Blob, three trees and the commit; each file is synced before it gets its name.
    assert synced.count("/objects/") >= 5 * commits
    assert synced.count("/refs/heads") >= commits


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    sizes = replace(QUICK, seconds=0.5, warm_up_seconds=0.1, resources=20, small=20, day=2_000, small_day=200)
    sizes = replace(sizes, events=8_000, stream_bytes=3_000_000)
    folder = tmp_path_factory.mktemp("bench")
    with own_database(cluster_url()) as database, Stage(folder, database, sizes) as stage:
        yield stage


def test_a_turn_on_a_real_server_finds_the_rows_of_what_was_acknowledged(stage: Stage) -> None:
    hot = stage.hot()
    saves = stage.turn(lambda amount: list(tenants.saves([hot], amount, stage.rng)), "save", clients=4)
    cycles = stage.turn(lambda amount: list(tenants.check_ins(hot, amount, stage.rng)), "check-in", clients=2)
    stage.compare_histories()
    for turn in (saves, cycles):
        assert turn.rate > 0
        assert 0 < turn.p50 <= turn.p99
        assert turn.cpu_ms["API"] > 0
    found = stage.found
    assert found.acknowledged > 0
    assert (found.without_version, found.without_audit, found.wrong_history) == (0, 0, [])


@pytest.mark.skipif(
    not (shutil.which("psql") and shutil.which("zstd")), reason="psql or zstd is not installed"
)
def test_an_expired_day_is_archived_and_dropped_beside_inserts(stage: Stage) -> None:
    for figure in (*retaining.expired_day(stage), *retaining.inserts(stage)):
        assert len(figure.ratios) == 1
        assert figure.value > 0
    assert (
        stage.database.value("SELECT count(*) FROM server_logs WHERE created_at < now() - '90 d'::interval")
        == 0
    )
    assert stage.database.rows("SELECT rows FROM archives") == [(2_000,), (2_000,)]


def test_events_are_sent_copied_and_refused_beside_saves(stage: Stage) -> None:
    figures = [*streaming.streams(stage), *streaming.arrays(stage), *streaming.memory(stage)]
    for figure in (*figures, *streaming.saves(stage)):
        assert len(figure.ratios) == 1
        assert not math.isnan(figure.value)
    events = "SELECT (SELECT count(*) FROM execution_logs) + (SELECT count(*) FROM node_execution_logs)"
    # Two pairs of each form, by both ways; and the streams beside the saves.
    assert stage.database.value(events) >= 2 * 2 * (8 * 5_000 + 8 * 1_000)


@pytest.mark.parametrize("form", posting.FORMS, ids=[form.log for form in posting.FORMS])
def test_other_events_are_sent_and_copied(
    stage: Stage, form: posting.Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "LINES", 100)
    monkeypatch.setattr(stage, "sizes", replace(stage.sizes, events=800))
    [figure] = posting.compared(form)(stage)
    assert len(figure.ratios) == 1
    assert figure.value > 0


def test_what_was_never_sent_is_not_edited_upon() -> None:
    tenant = tenants.Tenant("s", ["key"], "test", seed=0, workflows=["a", "b"])
    chains = list(tenants.saves([tenant], 10, random.Random(1)))
    sent = load.Outcome(answers=[load.Answer(3, 0, "save", b"", 0.1, in_time=True)])
    tenants.forget_unsent(chains, sent)
    known = {chain[0].request.partition(b"\r\n\r\n")[2] for chain in chains[:4]}
    assert {b'{"data":%s}' % content for content in tenant.contents.values()} <= known


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [
        *((2.5, False, "goal"), (2.0, False, "must"), (1.9, False, "MISSED"), (math.nan, False, "skipped")),
        *((1.2, True, "goal"), (1.5, True, "must"), (1.6, True, "MISSED")),
    ],
)
def test_a_figure_is_judged_by_both_limits(value: float, at_most: bool, verdict: str) -> None:
    must, goal = (1.5, 1.2) if at_most else (2.0, 2.5)
    assert Demand("key", "figure", must, goal, "×", at_most).verdict(value) == verdict
