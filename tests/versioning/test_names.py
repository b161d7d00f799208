"""Names that look alike: one stored form, no invisible names, and siblings that can be told apart."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.domain import names
from sql.models.resources import COMPARABLE_NAME
from tests.support.api import COLLECTIONS, Json, Tenant, ok, pointers, refused

# A name as it is sent, and as it is stored.
STORED = [
    ("muffin ", "muffin"),
    ("\u00a0\u2003muffin\u3000\t", "muffin"),
    ("\nmuffin\r\n", "muffin"),
    ("\u2800muffin\u2800", "muffin"),
    ("cafe\u0301", "caf\u00e9"),
    ("\u1112\u1161\u11ab", "\ud55c"),
    ("blueberry\u00a0muffin", "blueberry muffin"),
    ("a\u202fb\u2009c", "a b c"),
    ("\u212bngstr\u00f6m", "\u00c5ngstr\u00f6m"),
    # Words and emoji that need their joiners and selectors, and a blank that has the width of its script.
    ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
    ("\u0d15\u0d4d\u200d\u0d37", "\u0d15\u0d4d\u200d\u0d37"),
    ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    ("\u2764\ufe0f\u200d\U0001f525", "\u2764\ufe0f\u200d\U0001f525"),
    ("\u5c71\u7530\u3000\u592a\u90ce", "\u5c71\u7530\u3000\u592a\u90ce"),
    ("a  b", "a  b"),
    ("#1: \u00bd \u2013 <x>", "#1: \u00bd \u2013 <x>"),
]
INVISIBLE = [
    *("", " ", "\u00a0", "\u3000\u2003", "\t", "\u2800", "\u200b", "\u200b\u200c\u200d", "\ufeff", "\u2060"),
    *("\u00ad", "\u034f", "\u3164", "\u115f\u1160", "\uffa0", "\u180e", "\ufe0f", "\u0301", "\U000e0061"),
]
HIDDEN = [
    *("muffin\u200b", "\ufeffmuffin", "muf\u00adfin", "muf\u2060fin", "muffin\u034f", "muf\u3164fin"),
    *("abc\u202ecba", "\u2066abc\u2069", "a\u200eb", "muf\nfin", "muf\u2028fin", "muf\x07fin", "muf\x85fin"),
    # Joiners and selectors where they cannot be seen.
    *("muf\u200dfin", "muf\u200cfin", "\u200dmuffin", "muffin\u200d", "1\u200d2", "\u5c71\u200d\u7530"),
    *("muffin\ufe0f", "\ufe0fmuffin", "\U0001f469\u200d", "\u0645\u200c\u200c\u062e", "x\U000e0061"),
]


@pytest.mark.parametrize(("sent", "kept"), STORED)
def test_a_name_has_one_stored_form(sent: str, kept: str) -> None:
    assert names.stored(sent) == kept == names.stored(kept) == names.comparable(sent)


@pytest.mark.parametrize("name", [*INVISIBLE, *HIDDEN])
def test_a_name_that_cannot_be_seen_as_it_is_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="may"):
        names.stored(name)


def body_of(tenant: Tenant, collection: str, name: str) -> Json:
    return {"name": name, **tenant.parent(collection)}


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_siblings_of_every_kind_are_told_apart(tenant: Tenant, collection: str) -> None:
    path = f"{tenant.path}/{collection}"
    made = ok(tenant.ana.post(path, body_of(tenant, collection, " Cafe\u0301 noir\u00a0")), 201)
    assert made["name"] == "Caf\u00e9 noir"
    for alike in ("Caf\u00e9 noir", "Caf\u00e9 noir ", "Cafe\u0301\u2002noir"):
        problem = refused(tenant.ana.post(path, body_of(tenant, collection, alike)), 409, "name_taken")
        assert pointers(problem) == ["/name"]
    other = tenant.make(collection)
    refused(tenant.ana.patch(tenant.at(other), {"name": "Cafe\u0301 noir\n"}), 409, "name_taken")
    assert ok(tenant.ana.patch(tenant.at(made), {"name": "Cafe\u0301 noir "}))["name"] == "Caf\u00e9 noir"
    for asked in ("Caf\u00e9 noir", " Cafe\u0301 noir"):
        assert [each["resource_id"] for each in tenant.ana.pages(path, name=asked)] == [made["resource_id"]]


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_an_invisible_name_is_refused_for_every_kind(shared: Tenant, collection: str) -> None:
    made = shared.make(collection)
    for name in ("\u200b", "\u3164", "muffin\u200b"):
        answers = [
            shared.ana.post(f"{shared.path}/{collection}", body_of(shared, collection, name)),
            shared.ana.patch(shared.at(made), {"name": name}),
        ]
        for answer in answers:
            assert pointers(refused(answer, 422, "invalid")) == ["/name"]


def test_names_of_everything_else_have_the_same_form(tenant: Tenant) -> None:
    operator = tenant.server.operator
    made = ok(operator.post("/v1/subscriptions", {"name": " Cafe\u0301 "}), 201)
    assert made["name"] == "Caf\u00e9"
    assert ok(tenant.ana.patch(tenant.path, {"name": "cafe\u0301 "}))["name"] == "caf\u00e9"
    key = {"user_id": tenant.ana.user_id, "name": "lap\u00a0top "}
    assert ok(tenant.ana.post(f"{tenant.path}/api-keys", key), 201)["name"] == "lap top"
    user = {"username": "\u3164", "email": "x@example.org", "role": "viewer"}
    for answer, pointer in (
        (operator.post("/v1/subscriptions", {"name": "\u200b"}), "/name"),
        (tenant.ana.patch(tenant.path, {"name": "\u2060"}), "/name"),
        (tenant.ana.post(f"{tenant.path}/api-keys", key | {"name": "\ufeff"}), "/name"),
        (tenant.ana.post(f"{tenant.path}/users", user), "/username"),
    ):
        assert pointers(refused(answer, 422, "invalid")) == [pointer]


def test_a_restore_renames_to_the_stored_form(tenant: Tenant) -> None:
    first = tenant.workflow(name="muffin")
    deletion = tenant.remove(first)
    second = tenant.workflow(name="muffin")
    path = f"{tenant.path}/deletions/{deletion['deletion_id']}/restore"
    refused(tenant.ben.post(path, {"resolve": {"rename": "muffin "}}), 409, "restore_conflict")
    refused(tenant.ben.post(path, {"resolve": {"rename": "\u200b"}}), 422, "invalid")
    ok(tenant.ben.post(path, {"resolve": {"rename": " scone "}}))
    assert ok(tenant.ana.get(tenant.at(first)))["name"] == "scone"
    assert ok(tenant.ana.get(tenant.at(second)))["name"] == "muffin"


def test_of_many_alike_names_at_once_one_is_taken(tenant: Tenant) -> None:
    path, parent = f"{tenant.path}/workflows", tenant.parent("workflows")
    sent = ["caf\u00e9", "cafe\u0301", "caf\u00e9 ", "\u00a0caf\u00e9", "cafe\u0301\n", "\u2003cafe\u0301"]

    def make(name: str) -> int:
        return tenant.ana.post(path, {"name": name, **parent}).status_code

    with ThreadPoolExecutor(len(sent)) as pool:
        assert sorted(pool.map(make, sent)) == [201, *[409] * 5]


def test_a_platform_reports_names_as_they_are(tenant: Tenant) -> None:
    event: Any = {"action": "X", "resource_type": "file", "resource_name": " a\u00a0b ", "resource_id": "1 "}
    ok(tenant.ben.post(f"{tenant.path}/audit-logs", event), 201)
    [found] = tenant.aud.pages(f"{tenant.path}/audit-logs", action="X")
    assert (found["resource_name"], found["resource_id"]) == (" a\u00a0b ", "1 ")


# -- names from before these rules -------------------------------------------------------------------

OLD = ["muffin ", "muffin\u200b", "cafe\u0301", "blueberry\u00a0muffin", "\u3164"]


def rename_in_the_database(tenant: Tenant, resource: Json, name: str) -> None:
    """Give a resource a name that only an earlier version would have stored."""
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE workflows SET name = %s WHERE workflow_id = %s", [name, resource["resource_id"]]
        )


@pytest.mark.parametrize("old", OLD)
def test_an_older_name_keeps_siblings_from_looking_like_it(tenant: Tenant, old: str) -> None:
    older, other = tenant.workflow(), tenant.workflow()
    rename_in_the_database(tenant, older, old)
    path, parent = f"{tenant.path}/workflows", tenant.parent("workflows")
    plain = names.comparable(old)
    if plain:
        refused(tenant.ana.post(path, {"name": plain, **parent}), 409, "name_taken")
        refused(tenant.ana.patch(tenant.at(other), {"name": plain}), 409, "name_taken")
        # It is found under its own name, can be saved, and can take the stored form of its name itself.
        assert [each["name"] for each in tenant.ana.pages(path, name=old)] == [old]
    tenant.save(older, {"n": 2})
    assert ok(tenant.ana.patch(tenant.at(older), {"description": "x"}))["name"] == old
    assert ok(tenant.ana.patch(tenant.at(older), {"name": plain or "x"}))["name"] == (plain or "x")


def test_an_older_name_is_restored_beside_none_that_looks_like_it(tenant: Tenant) -> None:
    older = tenant.workflow()
    rename_in_the_database(tenant, older, "muffin ")
    deletion = tenant.remove(older)
    tenant.workflow(name="muffin")
    path = f"{tenant.path}/deletions/{deletion['deletion_id']}/restore"
    refused(tenant.ben.post(path, {}), 409, "restore_conflict")
    ok(tenant.ben.post(path, {"resolve": {"rename": "scone"}}))


def test_the_database_compares_names_as_the_service_does(tenant: Tenant) -> None:
    given = [sent for sent, _ in STORED] + INVISIBLE + HIDDEN + OLD
    with tenant.server.database.connection() as connection:
        for name in given:
            query = f"SELECT {COMPARABLE_NAME} FROM (SELECT %s::varchar(500) AS name) AS given"  # noqa: S608
            [found] = connection.execute(query.encode(), [name]).fetchone() or [None]
            assert found == names.comparable(name), ascii(name)


# -- tags --------------------------------------------------------------------------------------------


def test_a_tag_is_unique_without_regard_to_case(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    path = tenant.at(workflow)
    ok(tenant.ana.put(f"{path}/versions/1/tag", {"tag": "v1"}))
    tenant.save(workflow, {"n": 2})
    refused(tenant.ana.put(f"{path}/versions/2/tag", {"tag": "V1"}), 409, "tag_taken")
    body = {"data": {"n": 3}, "tag": "V1"}
    refused(tenant.ana.post(f"{path}/versions", body), 409, "tag_taken")
    tenant.check_out(workflow)
    problem = refused(tenant.ana.post(f"{path}/check-in", body), 409, "tag_taken")
    assert pointers(problem) == ["/tag"]
    ok(tenant.ana.put(f"{tenant.at(tenant.workflow())}/versions/1/tag", {"tag": "V1"}))


def test_the_case_of_a_tag_can_be_changed(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    path = f"{tenant.at(workflow)}/versions/1/tag"
    ok(tenant.ana.put(path, {"tag": "v1"}))
    assert ok(tenant.ana.put(path, {"tag": "V1"}))["version_tag"] == "V1"
    refs = tenant.git("for-each-ref", "--format=%(refname)", "refs/tags").split()
    assert [ref.rpartition("/")[2] for ref in refs] == ["V1"]


@pytest.mark.parametrize("word", ["Current", "PUBLISHED", "Previous", "ABCDEF1"])
def test_a_reserved_word_is_no_tag_in_any_case(shared: Tenant, word: str) -> None:
    path = f"{shared.at(shared.workflow())}/versions/1/tag"
    refused(shared.ana.put(path, {"tag": word}), 422, "invalid")


def test_older_tags_that_differ_in_case_stay(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    path = f"{tenant.at(workflow)}/versions"
    for number, tag in ((1, "v1"), (2, "v1-other")):
        if number > 1:
            tenant.save(workflow, {"n": number})
        ok(tenant.ana.put(f"{path}/{number}/tag", {"tag": tag}))
    with tenant.server.database.connection() as connection:
        connection.execute("UPDATE tags SET tag = 'V1' WHERE tag = 'v1-other'")
        connection.execute("UPDATE versions SET version_tag = 'V1' WHERE version_tag = 'v1-other'")
    for number, tag in ((1, "v1"), (2, "V1")):
        assert ok(tenant.ana.put(f"{path}/{number}/tag", {"tag": tag}))["version_tag"] == tag
        assert ok(tenant.ana.get(f"{path}/{tag}"))["version_number"] == number
    tenant.save(workflow, {"n": 3})
    for tag in ("v1", "V1"):
        refused(tenant.ana.put(f"{path}/3/tag", {"tag": tag}), 409, "tag_taken")
