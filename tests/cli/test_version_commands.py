"""`annals version log`, `show` and `diff`, piped and on a terminal."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.api import Tenant, ok
from tests.support.commands import (
    ESCAPE,
    HARMFUL,
    HARMLESS,
    annals,
    answered,
    at,
    edited,
    environment,
    on_a_terminal,
    rows,
)
from tests.support.running_server import ANNALS

# -- version log --------------------------------------------------------------------------------------


def test_log_shows_the_newest_version_first(tenant: Tenant) -> None:
    workflow = edited(tenant)
    done = annals(tenant.vera, "version", "log", at(workflow))
    head = done.stdout.decode().splitlines()[0].split()
    assert head == ["version", "tag", "state", "commit", "author", "time", "description"]
    items = ok(tenant.ana.get(f"{tenant.at(workflow)}/versions"))["items"]
    shown = [
        ["3", "", "current", "ben", ""],
        ["2", "v2", "", "ana", "two"],
        ["1", "", "", "ana", ""],
    ]
    for row, expected, item in zip(rows(done), shown, items, strict=True):
        number, tag, state, commit, author, time, description = row
        assert [number, tag, state, author, description] == expected
        assert commit == item["git_commit_hash"][:10]
        assert time == item["created_at"][:19] + "Z"
    assert done.stderr == b""


def test_log_prints_the_items_of_the_api(tenant: Tenant) -> None:
    workflow = edited(tenant)
    items = ok(tenant.ana.get(f"{tenant.at(workflow)}/versions"))["items"]
    assert answered(tenant.ana, "version", "log", at(workflow)) == items


def test_log_follows_the_cursors_up_to_its_limit(shared: Tenant) -> None:
    workflow = shared.workflow(definition={"n": 0})
    for n in range(1, 206):
        shared.save(workflow, {"n": n})
    found = answered(shared.ana, "version", "log", at(workflow), "--limit", "203")
    assert [version["version_number"] for version in found] == list(range(206, 3, -1))
    assert len(answered(shared.ana, "version", "log", at(workflow), "--limit", "1000")) == 206
    by_default = annals(shared.ana, "version", "log", at(workflow))
    assert len(rows(by_default)) == 50
    assert b"--limit" in by_default.stderr
    annals(shared.ana, "version", "log", at(workflow), "--limit", "0", code=2)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (["--tag", "v2"], [2]),
        (["--published"], [2]),
        (["--not-published"], [3, 1]),
        (["--until", "2020-01-01T00:00:00Z"], []),
        (["--since", "2020-01-01T00:00:00Z", "--limit", "2"], [3, 2]),
        (["--author", "ben"], [3]),
        (["--author", "{ben}"], [3]),
    ],
)
def test_log_is_narrowed_by_filters(shared: Tenant, filters: list[str], numbers: list[int]) -> None:
    shared.begin_another_tree()
    workflow = edited(shared)
    annals(shared.ana, "publish", at(workflow), "2")
    filters = [each.format(ben=shared.ben.user_id) for each in filters]
    found = answered(shared.ana, "version", "log", at(workflow), *filters)
    assert [version["version_number"] for version in found] == numbers
    assert (
        b"no version is like that" in annals(shared.ana, "version", "log", at(workflow), *filters).stderr
    ) is (not numbers)


def test_log_refuses_a_time_that_is_none(shared: Tenant) -> None:
    said = annals(shared.ana, "version", "log", at(shared.workflow()), "--since", "yesterday", code=2)
    assert b"since" in said.stderr


def test_user_text_does_nothing_to_a_terminal(shared: Tenant) -> None:
    workflow = shared.workflow(name="[bold]w[/bold]", definition={"text": HARMFUL})
    shared.save(workflow, {"text": HARMFUL, "n": 1}, description=HARMFUL)
    for listed in (
        annals(shared.ana, "version", "log", at(workflow)).stdout.decode(),
        on_a_terminal(shared.ana, "version", "log", at(workflow), NO_COLOR="1"),
    ):
        assert HARMLESS in listed
        assert ESCAPE not in listed
    shown = on_a_terminal(shared.ana, "version", "show", at(workflow), NO_COLOR="1")
    assert "[bold]w[/bold]" in shown
    assert shown.count(HARMLESS) == 2
    assert ESCAPE not in shown
    said = annals(shared.ana, "version", "show", f"workflows/{HARMFUL}", code=3).stderr.decode()
    assert ESCAPE not in said
    assert "[red]x[/red] :boom:" in said


def test_a_definition_on_a_terminal_is_still_the_same_json(shared: Tenant) -> None:
    definition = {"text": HARMFUL, "flag": "🏴\U000e0067\U000e007f", "joined": "👩\u200d💻"}
    workflow = shared.workflow(definition=definition)
    shown = on_a_terminal(
        shared.ana, "version", "show", at(workflow), "-o", "json", NO_COLOR="1", COLUMNS="40"
    )
    assert json.loads(shown.replace("\r\n", "\n"))["data"] == definition
    assert "👩\u200d💻" in shown


# -- version show -------------------------------------------------------------------------------------


def test_show_prints_the_facts_and_the_definition(tenant: Tenant) -> None:
    workflow = edited(tenant)
    for ref in ("2", "v2", "previous"):
        facts, _, definition = (
            annals(tenant.ana, "version", "show", at(workflow), ref).stdout.decode().partition("\n\n")
        )
        assert re.search(r"^resource +" + at(workflow) + "$", facts, re.MULTILINE)
        assert re.search(r"^name +etl$", facts, re.MULTILINE)
        assert re.search(r"^version +2$", facts, re.MULTILINE)
        assert re.search(r"^tag +v2$", facts, re.MULTILINE)
        assert re.search(r"^author +ana$", facts, re.MULTILINE)
        assert json.loads(definition) == {"n": 2}


def test_show_prints_the_answer_of_the_api(tenant: Tenant) -> None:
    workflow = edited(tenant)
    answer = ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/2"))
    assert answered(tenant.ana, "version", "show", at(workflow), "v2") == answer


def test_show_writes_the_canonical_bytes_unchanged(shared: Tenant) -> None:
    workflow = shared.workflow(definition={"text": HARMFUL, "x": 1e22, "z": -0.0})
    raw = shared.ana.get(f"{shared.at(workflow)}/versions/1/data").content
    assert annals(shared.vera, "version", "show", at(workflow), "--raw").stdout == raw
    annals(shared.vera, "version", "show", at(workflow), "--raw", "-o", "json", code=2)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "ref", ["9", "nothing", "published", "deadbeef", "a/b", "..", ".", "1?x=y", "%2e%2e", "é", "1#", "x\ny"]
)
def test_a_ref_is_taken_as_it_is_written(shared: Tenant, ref: str) -> None:
    shared.begin_another_tree()
    workflow = shared.workflow()
    said = annals(shared.ana, "version", "show", at(workflow), ref, code=3)
    assert said.stderr.startswith(b"annals: ")


@pytest.mark.parametrize("ref", ["", "x" * 100_000])
def test_a_ref_that_no_url_can_hold_is_wrong_usage(shared: Tenant, ref: str) -> None:
    annals(shared.ana, "version", "show", at(shared.workflow()), ref, code=2)


# -- version diff -------------------------------------------------------------------------------------


def test_diff_prints_what_changed_last(tenant: Tenant) -> None:
    workflow = edited(tenant)
    answer = ok(tenant.ana.get(f"{tenant.at(workflow)}/diff"))
    assert annals(tenant.vera, "version", "diff", at(workflow)).stdout.decode() == answer["text"]
    assert answered(tenant.vera, "version", "diff", at(workflow)) == answer


def test_diff_compares_any_two_versions(tenant: Tenant) -> None:
    workflow = edited(tenant)
    text = annals(tenant.ana, "version", "diff", at(workflow), "3", "1").stdout.decode()
    assert re.search(r'^-.*"n": 3', text, re.MULTILINE)
    assert re.search(r'^\+.*"n": 1', text, re.MULTILINE)
    found = answered(tenant.ana, "version", "diff", at(workflow), "v2")
    assert (found["from"]["version_number"], found["to"]["version_number"]) == (2, 3)


def test_diff_of_equal_versions_says_that_nothing_differs(tenant: Tenant) -> None:
    workflow = edited(tenant)
    done = annals(tenant.ana, "version", "diff", at(workflow), "current", "3")
    assert (done.stdout, done.stderr) == (b"", b"nothing differs\n")
    annals(tenant.ana, "version", "diff", at(workflow), "nothing", code=3)


# -- colours ------------------------------------------------------------------------------------------


def test_a_terminal_shows_colours(tenant: Tenant) -> None:
    workflow = edited(tenant)
    for arguments in (["log", at(workflow)], ["show", at(workflow)], ["show", at(workflow), "-o", "json"]):
        assert ESCAPE in on_a_terminal(tenant.ana, "version", *arguments)
        assert ESCAPE not in on_a_terminal(tenant.ana, "version", *arguments, NO_COLOR="1")
        assert b"\x1b" not in annals(tenant.ana, "version", *arguments, FORCE_COLOR="1").stdout


def test_a_terminal_shows_a_diff_in_red_and_green(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"a": "-- old", "kept": 1})
    tenant.save(workflow, {"a": "++ new", "kept": 1})
    text = ok(tenant.ana.get(f"{tenant.at(workflow)}/diff"))["text"]
    shown = on_a_terminal(tenant.ana, "version", "diff", at(workflow))
    lines = shown.replace("\r\n", "\n").splitlines()
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines] == text.splitlines()
    coloured = dict(zip(text.splitlines(), lines, strict=True))
    for line, seen in coloured.items():
        if '"a"' in line:
            assert seen.startswith(f"{ESCAPE}[3{1 if line.startswith('-') else 2}m")
        if '"kept"' in line:
            assert ESCAPE not in seen
    plain = on_a_terminal(tenant.ana, "version", "diff", at(workflow), NO_COLOR="1")
    assert plain.replace("\r\n", "\n") == text


def test_output_that_nobody_reads_to_its_end_is_no_fault(shared: Tenant) -> None:
    workflow = shared.workflow(definition={"text": "x" * 1_000_000})
    command = f'"{ANNALS}" version show {at(workflow)} | head -c 10'
    done = subprocess.run(
        ["bash", "-c", command], env=environment(shared.ana), capture_output=True, timeout=60, check=True
    )
    assert done.stderr == b""


def test_output_that_can_not_be_written_is_said(shared: Tenant) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [ANNALS, "version", "log", at(shared.workflow())],
            env=environment(shared.ana),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert re.fullmatch(rb"annals: .*No space left on device\n", done.stderr)
