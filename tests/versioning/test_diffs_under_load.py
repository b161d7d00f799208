"""Diffs of large versions: the answers of an idle machine, byte for byte, while others are made."""

import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import orjson

from service.documents.structural_diff import MAX_OPERATIONS
from tests.support.api import Json, Tenant, ok

# script/test tells of it.
MEBIBYTES = float(os.environ.get("ANNALS_TEST_DIFF_MEBIBYTES", "0.1"))
PAIRS = 8
# Bytes of JSON of one step and one flag, so that 6.6 MiB have fewer values than a document may have.
STEP_BYTES = 380


def definition(rng: random.Random) -> Json:
    steps = int(MEBIBYTES * 2**20 / STEP_BYTES)
    return {
        "steps": [
            {"name": f"step {number}", "ratio": rng.random(), "note": "é" * 150} for number in range(steps)
        ],
        "flags": rng.choices((True, False), k=steps),
    }


def edited(number: int, definition: Json, rng: random.Random) -> Json:
    """Edit a definition in one of four ways; a large one of the last kind is past the steps of a search."""
    steps, flags = list(definition["steps"]), list(definition["flags"])
    match number % 4:
        case 0:
            steps[len(steps) // 2] = {"name": "changed"}
        case 1:
            steps = [*steps[5:], {"name": "new"}, *steps[:2]]
        case 2:
            flags = rng.sample(flags, len(flags))
        case _:
            steps = rng.sample(steps, len(steps))
    return {"steps": steps, "flags": flags}


@contextmanager
def others_save(tenant: Tenant) -> Iterator[None]:
    """Save small versions all the time."""
    workflow, stopped = tenant.workflow(), threading.Event()

    def save() -> None:
        number = 0
        while not stopped.is_set():
            tenant.save(workflow, {"n": (number := number + 1)})

    thread = threading.Thread(target=save)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_eight_diffs_at_once_are_byte_for_byte_those_of_an_idle_machine(
    tenant: Tenant, stranger: Tenant
) -> None:
    rng = random.Random(1)
    paths = []
    for number in range(PAIRS):
        before = definition(rng)
        workflow = tenant.workflow(definition=before)
        tenant.save(workflow, edited(number, before, rng))
        paths.append(f"{tenant.at(workflow)}/diff")
    alone = [tenant.vera.get(path, timeout=120).content for path in paths]
    with others_save(stranger), ThreadPoolExecutor(PAIRS) as pool:
        at_once = [
            found.content for found in pool.map(lambda path: tenant.vera.get(path, timeout=120), paths)
        ]
    assert at_once == alone
    answers = [orjson.loads(content) for content in alone]
    assert len(answers[0]["json_patch"]) <= 3
    assert [answer["truncated"] for answer in answers[:2]] == [False, False]


def test_an_answer_that_reached_a_bound_says_so(tenant: Tenant) -> None:
    old, new = ({str(number): value for number in range(MAX_OPERATIONS + 1)} for value in (1, 2))
    workflow = tenant.workflow(definition=old)
    tenant.save(workflow, new)
    answer = ok(tenant.vera.get(f"{tenant.at(workflow)}/diff"))
    assert answer["truncated"] is True
    assert [operation["path"] for operation in answer["json_patch"]] == [""]
    dry = ok(tenant.ana.post(f"{tenant.at(workflow)}/rollback", {"to": 1, "dry_run": True}))
    assert dry["truncated"] is True
