"""Documents through check-out and check-in: they stay equal, in the API and in git."""

import json
import random
from functools import partial
from pathlib import Path

import orjson
import pytest

from tests.support.api import Json, Tenant, git, ok, snapshot_path
from tests.support.histories import check_history
from tests.support.seeded_documents import DOCUMENTS, mutated

MUTATIONS = 12
CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE

# Distinct by type as well: 1 is not 1.0, nor True, nor is 0.0 the same as -0.0.
same = partial(json.dumps, sort_keys=True)


def canonical(resource: Json, definition: Json) -> bytes:
    """Bytes of a snapshot, as API.md describes them."""
    names = ("resource_type", "resource_id", "name", "description", "parent_id")
    return orjson.dumps(
        {name: resource[name] for name in names} | {"definition": definition}, option=CANONICAL
    )


def edit(tenant: Tenant, resource: Json, definition: Json) -> bool:
    """Check out and check in; False for equal content."""
    tenant.check_out(resource, tenant.ben)
    path = f"{tenant.at(resource)}/check-in"
    response = tenant.ben.post(path, {"data": definition, "comment": "edited"})
    return bool(ok(response, 200 if response.status_code == 200 else 201)["unchanged"] is False)


def check(tenant: Tenant, resource: Json, definitions: list[Json], clone: Path) -> None:
    """Every version equals its input in the API, and its commit in a clone."""
    path, file = f"{tenant.at(resource)}/versions", snapshot_path(resource)
    versions = tenant.vera.pages(path, limit=7)
    assert [version["version_number"] for version in versions] == list(range(len(definitions), 0, -1))
    commits = [version["git_commit_hash"] for version in versions]
    assert git(clone, "log", "--format=%H", "main", "--", file).split() == commits
    for number, definition in enumerate(definitions, 1):
        answer = tenant.vera.get(f"{path}/{number}")
        assert same(ok(answer)["data"]) == same(definition)
        data = tenant.vera.get(f"{path}/{number}/data").content
        assert data == canonical(resource, definition)
        assert git(clone, "show", f"{commits[-number]}:{file}").encode() == data


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.sampled(1)
def test_every_edit_of_seeded_documents_is_kept(tenant: Tenant, home: Path, seed: int) -> None:
    rng = random.Random(seed)
    histories: list[tuple[Json, list[Json]]] = []
    for name, definition in DOCUMENTS.items():
        histories.append((tenant.workflow(name=name, definition=definition), [definition]))
    for _ in range(MUTATIONS):
        for resource, definitions in histories:
            older = rng.random() < 0.2
            definition = rng.choice(definitions) if older else mutated(definitions[-1], rng)
            assert edit(tenant, resource, definition) == (same(definition) != same(definitions[-1]))
            if same(definition) != same(definitions[-1]):
                definitions.append(definition)
    clone = tenant.clone(home / "clone")
    for resource, definitions in histories:
        assert len(definitions) > MUTATIONS / 2
        check(tenant, resource, definitions, clone)
    assert git(clone, "fsck", "--strict", "--full") == ""
    check_history(tenant)


@pytest.mark.parametrize(
    "value",
    [
        *(1e22, -1e22, 1e23, -0.0, 0.0, 0.1, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308),
        *(123456789.123456789, 1.0, 100.0, 1e16, 1e-7, 9007199254740993, 2**63, 2**64 - 1, -(2**63), 0),
        *(True, False, None, "", [], {}, [[]], [{}, []], " ", "\t\n\r\b\f", "\x7f\x80\x9f", "é", "e\u0301"),
        *(
            "\u2028\u2029",
            "\ufeff",
            "\uffff",
            "😀",
            "\U0010ffff",
            '"\\/',
            "<script>",
            "\x01\x1f",
            "x" * 10_000,
        ),
        {"": 0, " ": 1, "a/b": 2, "~": 3, "😀": 4, "\uffff": 5, "Z": 6, "a": 7, "\n": 8, '"': 9},
        {"definition": {"description": 1}, "description": '\n,\n  "description": "x"\n}'},
    ],
    ids=lambda value: repr(value)[:24],
)
@pytest.mark.sampled(15)
def test_a_value_comes_back_as_it_went_in(shared: Tenant, value: object) -> None:
    made = shared.workflow(definition={"value": value, "list": [value]})
    definition = {"value": value, "list": [value]}
    for answer in (made, ok(shared.ana.get(shared.at(made)))):
        assert same(answer["definition"]) == same(definition)
    version = ok(shared.ana.get(f"{shared.at(made)}/versions/1"))
    assert same(version["data"]) == same(definition)
    assert same(ok(shared.ben.post(f"{shared.at(made)}/check-out"))["data"]) == same(definition)
    data = shared.ana.get(f"{shared.at(made)}/versions/1/data").content
    assert data == canonical(made, definition)
    assert shared.git("cat-file", "blob", f"{made['git_commit_hash']}:{snapshot_path(made)}").encode() == data


def test_numbers_keep_their_text_in_answers(shared: Tenant) -> None:
    made = shared.workflow(definition={"x": 1e22, "y": -0.0, "z": 1.0, "i": 2**64 - 1})
    raw = shared.ana.get(f"{shared.at(made)}/versions/1").content
    texts = json.loads(raw, parse_int=str, parse_float=str)["data"]
    assert texts.pop("x") in ("1e22", "1e+22")
    assert texts == {"y": "-0.0", "z": "1.0", "i": "18446744073709551615"}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"1E+2", "100.0"),
        (b"1.10", "1.1"),
        (b"-0", "0"),
        (b"1e-400", "0.0"),
        (b'"\\u00e9"', '"\\u00e9"'),
        (b'"\\ud83d\\ude00"', '"\\ud83d\\ude00"'),
        (b" [ ] ", "[]"),
    ],
)
def test_spellings_of_one_value_are_one_value(shared: Tenant, sent: bytes, kept: str) -> None:
    workflow = shared.workflow()
    path = f"{shared.at(workflow)}/versions"
    assert ok(shared.ana.send(path, b'{"data": {"x": ' + sent + b"}}"), 201)["version_number"] == 2
    assert json.dumps(ok(shared.ana.get(f"{path}/2"))["data"]["x"]) == kept
    body = b'{"data":{"x":' + kept.encode() + b"}}"
    assert ok(shared.ana.send(path, body))["unchanged"] is True


def test_a_document_of_almost_8_mib_is_kept(tenant: Tenant) -> None:
    definition = {"rows": [{"id": number, "text": "x" * 990} for number in range(8000)]}
    workflow = tenant.workflow()
    assert tenant.save(workflow, definition)["version_number"] == 2
    assert ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/2"))["data"] == definition


def test_a_document_may_be_64_levels_deep(tenant: Tenant) -> None:
    # The body and `data` are levels too.
    definition: Json = {}
    for _ in range(62):
        definition = {"n": definition}
    assert tenant.save(tenant.workflow(), definition)["version_number"] == 2
