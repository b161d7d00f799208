"""The commands that change one resource of a running server, and how each finds it."""

import json
import re
from pathlib import Path

import pytest

from tests.support.api import Caller, Tenant, ok
from tests.support.commands import (
    HARMFUL,
    NOBODY_LISTENS,
    annals,
    answered,
    at,
    current,
    edited,
    holder,
    rows,
)

# -- finding the resource -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["etl", "a/b", "100%", "?x=1&y#z", "..", "Größe 📦", "--help me"])
def test_a_resource_is_found_by_its_name(shared: Tenant, name: str) -> None:
    shared.begin_another_tree()
    workflow = shared.workflow(name=f"{name}!")
    found = answered(shared.ana, "version", "show", f"workflows/{name}!")
    assert found["resource_id"] == workflow["resource_id"]


@pytest.mark.parametrize("collection", ["workflow", "workflows"])
def test_a_resource_is_found_by_its_id(shared: Tenant, collection: str) -> None:
    resource_id = shared.workflow()["resource_id"]
    assert answered(shared.vera, "version", "show", f"{collection}/{resource_id}")["version_number"] == 1


def test_resources_of_one_name_are_told_apart_by_their_ids(tenant: Tenant) -> None:
    first = tenant.workflow(name="etl")
    tenant.begin_another_tree()
    second = tenant.workflow(name="etl")
    said = annals(tenant.ana, "version", "log", "workflows/etl", code=4).stderr.decode()
    assert said.startswith("annals: more than one workflow is named 'etl'")
    assert at(first) in said
    assert at(second) in said


@pytest.mark.parametrize("rest", ["no such name", "01a20ad3-8688-717e-ab71-d1885d20f93c", "x" * 400])
def test_what_is_not_there_is_not_found(shared: Tenant, rest: str) -> None:
    said = annals(shared.ana, "version", "show", f"workflows/{rest}", code=3).stderr.decode()
    assert said.startswith("annals: ")
    assert rest in said


def test_another_tenants_resource_is_not_found(shared: Tenant, stranger: Tenant) -> None:
    annals(stranger.ana, "version", "show", at(shared.workflow()), code=3)


@pytest.mark.parametrize("argument", ["etl", "workflows", "workflows/", "pipelines/etl", "/etl", ""])
def test_what_is_no_resource_is_wrong_usage_before_any_call(argument: str) -> None:
    said = annals(None, "version", "log", argument, "--url", NOBODY_LISTENS, "--key", "k", code=2)
    assert b"is no RESOURCE" in said.stderr
    assert b"workflows, jobpackages" in said.stderr


def test_an_operators_key_is_told_that_it_belongs_to_no_subscription(tenant: Tenant) -> None:
    operator = tenant.server.operator
    said = annals(operator, "version", "log", "workflows/etl", code=5).stderr
    assert b"belongs to no subscription" in said


def test_a_key_is_wanted_and_has_to_be_a_right_one(shared: Tenant) -> None:
    without = annals(None, "version", "log", "workflows/x", "--url", shared.server.url, code=2)
    assert b"ANNALS_KEY" in without.stderr
    for wrong in ("annals_wrong", "schlüssel"):
        annals(None, "version", "log", "workflows/x", "--url", shared.server.url, "--key", wrong, code=5)
    broken = annals(
        None, "version", "log", "workflows/x", "--url", shared.server.url, "--key", "a\nb", code=2
    )
    assert b"line break" in broken.stderr


def test_flags_win_over_the_environment(shared: Tenant) -> None:
    workflow = shared.workflow()
    elsewhere = Caller(shared.server, "annals_wrong")
    key = shared.vera.key
    annals(elsewhere, "version", "log", at(workflow), "--key", key)
    annals(shared.vera, "version", "log", at(workflow), "--url", shared.server.url, ANNALS_URL=NOBODY_LISTENS)


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8000", "ftp://x", "http://", "http://[", "http://a:b@c", "http://a?b", "x y"),
        *("http://1.2.3.4:99999", "http://" + "a" * 99),
    ],
)
def test_what_is_no_url_of_a_server_is_wrong_usage(url: str) -> None:
    annals(None, "version", "log", "workflows/x", "--url", url, "--key", "k", code=2)


def test_an_argument_that_is_no_text_is_wrong_usage(shared: Tenant) -> None:
    workflow = at(shared.workflow())
    for arguments in (["version", "log", "workflows/\udcff"], ["version", "show", workflow, "\udcff"]):
        assert b"UTF-8" in annals(shared.ana, *arguments, code=2).stderr
    annals(shared.ana, "rollback", workflow, "1", "-m", "\udcff", code=2)


# -- check-out ----------------------------------------------------------------------------------------


def test_check_out_prints_the_definition_and_who_holds_it(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="etl", definition={"x": 1e22, "n": 2**63 - 1, "text": "é\x9b"})
    done = annals(tenant.ben, "check-out", "workflows/etl", "--reason", "larger batches", "--ttl", "600")
    assert json.loads(done.stdout) == workflow["definition"]
    assert re.match(rb"ben holds workflows/etl until \S+Z: version 1, commit [0-9a-f]{40}\n", done.stderr)
    assert holder(tenant, workflow) == tenant.ben.user_id
    again = answered(tenant.ben, "check-out", "workflows/etl")
    assert (again["check_out"]["reason"], again["data"]) == ("larger batches", workflow["definition"])


def test_check_out_starts_from_another_version(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2})
    done = annals(tenant.ben, "check-out", at(workflow), "--from", "1")
    assert json.loads(done.stdout) == {"n": 1}
    assert b": version 1, commit " in done.stderr
    annals(tenant.ben, "check-out", at(workflow), "--from", "9", code=3)
    annals(tenant.ben, "check-out", at(workflow), "--cancel", "--from", "1", code=2)


def test_check_out_writes_a_file_that_can_be_checked_in(tenant: Tenant, home: Path) -> None:
    workflow = tenant.workflow(definition={"x": 1e22, "z": -0.0, "text": HARMFUL, "n": [2**63 - 1, 1.0]})
    raw = tenant.ana.get(f"{tenant.at(workflow)}/versions/1/data").content
    file = home / "etl.json"
    done = annals(tenant.ana, "check-out", at(workflow), "--to", file)
    assert done.stdout == b""
    assert json.loads(file.read_text()) == workflow["definition"]
    done = annals(tenant.ana, "check-in", at(workflow), file)
    assert b"no new version" in done.stderr
    assert tenant.ana.get(f"{tenant.at(workflow)}/versions/current/data").content == raw


def test_check_out_overwrites_no_file_unless_told_so(tenant: Tenant, home: Path) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    file, dangling = home / "etl.json", home / "dangling"
    file.write_text("precious")
    dangling.symlink_to(home / "nowhere")
    for target in (file, dangling):
        refused = annals(tenant.ana, "check-out", at(workflow), "--to", target, code=2)
        assert b"--overwrite" in refused.stderr
    assert file.read_text() == "precious"
    assert holder(tenant, workflow) is None
    annals(tenant.ana, "check-out", at(workflow), "--to", file, "--overwrite")
    assert json.loads(file.read_text()) == {"n": 1}


def test_check_out_takes_nothing_where_its_file_can_not_be(tenant: Tenant, home: Path) -> None:
    workflow = tenant.workflow()
    for target in (home / "no folder" / "etl.json", home):
        annals(tenant.ana, "check-out", at(workflow), "--to", target, "--overwrite", code=2)
    assert holder(tenant, workflow) is None


def test_check_out_that_can_not_write_its_file_says_that_it_stands(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    said = annals(tenant.ana, "check-out", at(workflow), "--to", "/dev/full", "--overwrite", code=1)
    assert b"No space left" in said.stderr
    assert b"--cancel" in said.stderr
    assert holder(tenant, workflow) == tenant.ana.user_id


def test_check_out_of_anothers_names_the_holder(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    held = tenant.check_out(workflow, tenant.ben)["check_out"]
    said = annals(tenant.ana, "check-out", at(workflow), code=4)
    assert said.stdout == b""
    since, until = (f"{held[name][:19]}Z" for name in ("checked_out_at", "expires_at"))
    assert f"  held by ben from {since} until {until}\n" in said.stderr.decode()
    annals(tenant.vera, "check-out", at(workflow), code=5)


def test_check_out_is_given_back(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    annals(tenant.ben, "check-out", at(workflow))
    assert b"given back" in annals(tenant.ben, "check-out", at(workflow), "--cancel").stderr
    assert holder(tenant, workflow) is None
    annals(tenant.ben, "check-out", at(workflow), "--cancel", code=4)


def test_check_out_of_another_is_taken_away_by_an_admin_with_force(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    annals(tenant.ben, "check-out", at(workflow))
    assert b"held by ben" in annals(tenant.ana, "check-out", at(workflow), "--cancel", code=4).stderr
    annals(tenant.user("eve", "editor"), "check-out", at(workflow), "--cancel", "--force", code=5)
    assert holder(tenant, workflow) == tenant.ben.user_id
    annals(tenant.ana, "check-out", at(workflow), "--cancel", "--force")
    assert holder(tenant, workflow) is None


@pytest.mark.parametrize(
    "options",
    [["--force"], ["--cancel", "--ttl", "5"], ["--cancel", "--to", "x"], ["--ttl", "0"], ["--ttl", "a"]],
)
def test_options_that_do_not_fit_together_are_wrong_usage(options: list[str]) -> None:
    annals(None, "check-out", "workflows/x", *options, "--url", NOBODY_LISTENS, "--key", "k", code=2)


def test_a_lease_that_is_too_long_is_refused_with_its_pointer(shared: Tenant) -> None:
    said = annals(shared.ana, "check-out", at(shared.workflow()), "--ttl", "99999999", code=2)
    assert b"/ttl_seconds" in said.stderr


# -- check-in -----------------------------------------------------------------------------------------


def test_check_in_stores_a_file_as_the_next_version(tenant: Tenant, home: Path) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    file = home / "etl.json"
    annals(tenant.ben, "check-out", at(workflow), "--to", file)
    file.write_text('\ufeff{"n": 2, "x": 1E22}\n', encoding="utf-8")
    done = annals(tenant.ben, "check-in", at(workflow), file, "-m", "Größer", "--tag", "v2")
    version = current(tenant, workflow)
    assert rows(done)[0][:4] == ["2", "v2", "current", version["git_commit_hash"][:10]]
    assert (version["data"], version["created_by_username"]) == ({"n": 2, "x": 1e22}, "ben")
    assert "Größer" in tenant.git("log", "-1", "--format=%B", "main")
    assert holder(tenant, workflow) is None


def test_check_in_reads_stdin(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow)
    done = annals(tenant.ana, "check-in", at(workflow), "-", "-o", "json", given=b'{"n": 2}')
    answer = json.loads(done.stdout)
    assert (answer["version_number"], answer["unchanged"]) == (2, False)
    assert current(tenant, workflow)["data"] == {"n": 2}


def test_check_in_without_a_file_only_unlocks(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="etl")
    tenant.check_out(workflow)
    done = annals(tenant.ana, "check-in", at(workflow))
    assert done.stderr == b"no new version: etl stays at version 1\n"
    assert rows(done)[0][0] == "1"
    assert holder(tenant, workflow) is None
    said = annals(tenant.ana, "check-in", at(workflow), code=4)
    assert said.stderr.startswith(b"annals: ")


def test_check_in_publishes_what_it_stored(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow)
    done = annals(tenant.ana, "check-in", at(workflow), "-", "--publish", given=b'{"n": 2}')
    assert rows(done)[0][2] == "current, published"


@pytest.mark.parametrize(
    "text", ["", "[1]", '"x"', "{", "{'n': 1}", '{"n": NaN}', '{"a":' * 100_000, "\udcff", '{"n": 1} x']
)
def test_a_file_that_holds_no_json_object_is_wrong_usage_before_any_call(home: Path, text: str) -> None:
    file = home / "etl.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    said = annals(None, "check-in", "workflows/x", file, "--url", NOBODY_LISTENS, "--key", "k", code=2)
    assert str(file) in said.stderr.decode()


def test_a_file_that_can_not_be_read_is_wrong_usage(home: Path) -> None:
    for file in (home / "nothing", home):
        annals(None, "check-in", "workflows/x", file, "--url", NOBODY_LISTENS, "--key", "k", code=2)


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('{"a": {"n": 1, "n": 2}}', "/data/a/n"),
        ('{"a": [123456789012345678901234567890]}', "/data/a/0"),
        ('{"a": "\\ud800"}', "/data/a"),
    ],
)
def test_a_file_goes_to_the_server_as_it_is_written(tenant: Tenant, text: str, pointer: str) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow)
    said = annals(tenant.ana, "check-in", at(workflow), "-", given=text.encode(), code=2)
    assert pointer in said.stderr.decode()
    assert holder(tenant, workflow) == tenant.ana.user_id


def test_a_file_that_is_too_large_is_refused(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow)
    large = json.dumps({"text": "x" * 9_000_000}).encode()
    assert b"8 MiB" in annals(tenant.ana, "check-in", at(workflow), "-", given=large, code=2).stderr


def test_check_in_refuses_a_tag_that_is_taken_or_none(tenant: Tenant) -> None:
    workflow = edited(tenant)
    tenant.check_out(workflow)
    taken = annals(tenant.ana, "check-in", at(workflow), "-", "--tag", "v2", given=b"{}", code=4)
    assert b"/tag: the tag v2, or one that differs in case alone, names another version" in taken.stderr
    none = annals(tenant.ana, "check-in", at(workflow), "-", "--tag", "a b", given=b"{}", code=2)
    assert b"/tag" in none.stderr


@pytest.mark.parametrize("digits", [7, 10, 40])
def test_a_write_may_be_bound_to_the_current_commit(tenant: Tenant, digits: int) -> None:
    workflow = edited(tenant)
    tenant.check_out(workflow)
    old, now = (ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/{n}"))["git_commit_hash"] for n in (2, 3))
    stale = annals(tenant.ana, "check-in", at(workflow), "-", "--if-match", old[:digits], given=b"{}", code=4)
    assert stale.stderr.startswith(b"annals: ")
    annals(tenant.ana, "check-in", at(workflow), "-", "--if-match", now[:digits].upper(), given=b"{}")
    annals(tenant.ana, "rollback", at(workflow), "1", "--if-match", now[:digits], code=4)
    assert current(tenant, workflow)["version_number"] == 4


def test_tag_and_publish_may_be_bound_to_the_current_commit(tenant: Tenant) -> None:
    workflow = edited(tenant)
    old, now = (ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/{n}"))["git_commit_hash"] for n in (2, 3))
    for command in (
        ["tag", at(workflow), "1", "v1"],
        ["tag", at(workflow), "v1", "--delete"],
        ["publish", at(workflow)],
    ):
        annals(tenant.ana, *command, "--if-match", old[:10], code=4)
        annals(tenant.ana, *command, "--if-match", now[:10])


def test_a_subscription_that_demands_the_current_commit_is_told_how_to_give_it(tenant: Tenant) -> None:
    workflow = edited(tenant)
    ok(tenant.ana.patch(tenant.path, {"require_if_match": True}))
    said = annals(tenant.ana, "rollback", at(workflow), "1", code=4)
    assert b"--if-match" in said.stderr
    commit = current(tenant, workflow)["git_commit_hash"]
    annals(tenant.ana, "rollback", at(workflow), "1", "--if-match", commit[:10])


@pytest.mark.parametrize("commit", ["current", "abc", '"', "a\r\nb", "0" * 41])
def test_if_match_takes_a_commit_alone(commit: str) -> None:
    options = ("--if-match", commit, "--url", NOBODY_LISTENS, "--key", "k")
    assert b"--if-match" in annals(None, "rollback", "workflows/x", "1", *options, code=2).stderr


# -- rollback, tag, publish ---------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["1", "001", "v1"])
def test_rollback_makes_a_version_of_an_older_one(tenant: Tenant, ref: str) -> None:
    workflow = edited(tenant)
    annals(tenant.ana, "tag", at(workflow), "1", "v1")
    done = annals(tenant.ben, "rollback", at(workflow), ref, "-m", "That was better")
    assert rows(done)[0][0] == "4"
    assert current(tenant, workflow)["data"] == {"n": 1}
    assert "That was better" in tenant.git("log", "-1", "--format=%B", "main")
    again = annals(tenant.ben, "rollback", at(workflow), ref)
    assert again.stderr == b"no new version: etl stays at version 4\n"


def test_rollback_takes_digits_for_a_version_number(tenant: Tenant) -> None:
    workflow = edited(tenant)
    assert rows(annals(tenant.ana, "rollback", at(workflow), "2"))[0][0] == "4"
    annals(tenant.ana, "rollback", at(workflow), "999999999", code=3)
    annals(tenant.ana, "rollback", at(workflow), "12345678901", code=3)
    annals(tenant.vera, "rollback", at(workflow), "1", code=5)


def test_rollback_is_tried_out_by_a_dry_run(tenant: Tenant) -> None:
    workflow = edited(tenant)
    done = annals(tenant.ana, "rollback", at(workflow), "1", "--dry-run")
    assert re.search(r'^-.*"n": 3', done.stdout.decode(), re.MULTILINE)
    assert re.search(r'^\+.*"n": 1', done.stdout.decode(), re.MULTILINE)
    assert answered(tenant.ana, "rollback", at(workflow), "1", "--dry-run")["json_patch"]
    assert annals(tenant.ana, "rollback", at(workflow), "3", "--dry-run").stderr == b"nothing differs\n"
    assert current(tenant, workflow)["version_number"] == 3


def test_tag_names_a_version_and_lets_go_of_it(tenant: Tenant) -> None:
    workflow = edited(tenant)
    assert rows(annals(tenant.ana, "tag", at(workflow), "1", "v1.0"))[0][:2] == ["1", "v1.0"]
    again = annals(tenant.ana, "tag", at(workflow), "1", "v1.0")
    assert again.stderr == b"nothing changed: version 1 of etl is like this already\n"
    assert answered(tenant.ana, "version", "show", at(workflow), "v1.0")["version_number"] == 1
    annals(tenant.ana, "tag", at(workflow), "3", "v1.0", code=4)
    assert rows(annals(tenant.ana, "tag", at(workflow), "v1.0", "--delete"))[0][:2] == ["1", ""]
    annals(tenant.ana, "version", "show", at(workflow), "v1.0", code=3)


@pytest.mark.parametrize("more", [[], ["v1", "--delete"]])
def test_tag_wants_a_tag_or_delete(more: list[str]) -> None:
    annals(None, "tag", "workflows/x", "1", *more, "--url", NOBODY_LISTENS, "--key", "k", code=2)


def test_publish_publishes_the_current_version_unless_told_another(tenant: Tenant) -> None:
    workflow = edited(tenant)
    assert rows(annals(tenant.ana, "publish", at(workflow)))[0][:3] == ["3", "", "current, published"]
    assert rows(annals(tenant.ana, "publish", at(workflow), "v2"))[0][:3] == ["2", "v2", "published"]
    assert answered(tenant.ana, "version", "show", at(workflow), "published")["version_number"] == 2
    undone = annals(tenant.ana, "publish", at(workflow), "v2", "--undo")
    assert rows(undone)[0][:3] == ["2", "v2", ""]
    annals(tenant.ana, "version", "show", at(workflow), "published", code=3)


def test_undoing_a_publication_takes_what_is_published(tenant: Tenant) -> None:
    workflow = edited(tenant)
    annals(tenant.ana, "publish", at(workflow), "v2")
    assert rows(annals(tenant.ana, "publish", at(workflow), "--undo"))[0][:3] == ["2", "v2", ""]
    annals(tenant.ana, "publish", at(workflow), "--undo", code=3)
