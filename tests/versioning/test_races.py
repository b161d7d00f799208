"""Races provoked on purpose: inside one batch, between a batch and others, and between hosts."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from service.committer.changes import (
    Change,
    CheckInMany,
    Item,
    RollBack,
    Written,
    WrittenMany,
)
from service.domain.errors import NotHolder, StaleVersion, TagTaken
from service.domain.resource_kinds import Kind
from service.http.app import create_app
from tests.support.api import Json, Server, Tenant, ok, refused, served
from tests.support.changes import author, check_in, publish, resource_id, save, set_tag, submit
from tests.support.histories import check_history
from tests.support.waiting import waits_for_a_lock

# Any number that no other advisory lock of a test has.
GATE = 424242


def kinds_of(outcomes: list[object]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


# -- in one batch -----------------------------------------------------------------------------------


def test_of_two_saves_based_on_one_version_in_a_batch_the_first_wins(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    based = (workflow["git_commit_hash"],)
    changes: list[Change] = [
        replace(save(tenant, workflow, {"n": 1}), if_match=based),
        replace(save(tenant, workflow, {"n": 2}, by=tenant.ben), if_match=based),
        save(tenant, workflow, {"n": 3}),
    ]
    outcomes = submit(tenant, changes)
    assert kinds_of([*outcomes]) == [Written, StaleVersion, Written]
    assert isinstance(outcomes[0], Written)
    assert isinstance(outcomes[1], StaleVersion)
    assert outcomes[1].facts == {
        "current_version": 2,
        "git_commit_hash": outcomes[0].version.git_commit_hash,
    }
    data = [ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/{n}"))["data"] for n in (2, 3)]
    assert data == [{"n": 1}, {"n": 3}]
    check_history(tenant)


def test_of_two_publications_instead_of_one_version_in_a_batch_the_first_wins(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 1})
    tenant.save(workflow, {"n": 2})
    outcomes = submit(
        tenant,
        [
            publish(tenant, workflow, "1", instead_of=2),
            publish(tenant, workflow, "1", instead_of=0),
            publish(tenant, workflow, "2", instead_of=0),
            publish(tenant, workflow, "1", instead_of=0),
            publish(tenant, workflow, "2", published=False, instead_of=0),
            publish(tenant, workflow, "3", instead_of=1),
            publish(tenant, workflow, "1", published=False, instead_of=1),
            publish(tenant, workflow, "3", published=False, instead_of=3),
            publish(tenant, workflow, "3", published=False, instead_of=3),
            publish(tenant, workflow, "2", instead_of=3),
        ],
    )
    stale, done = StaleVersion, Written
    assert kinds_of([*outcomes]) == [stale, done, stale, done, stale, done, stale, done, done, stale]
    told = [each.facts for each in outcomes if isinstance(each, StaleVersion)]
    assert told == [{"published_version": number} for number in (None, 1, 1, 3, None)]
    check_history(tenant)


def test_of_two_tags_of_one_name_in_a_batch_the_first_gets_it(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 1})
    outcomes = submit(
        tenant,
        [
            set_tag(tenant, workflow, "1", "v1"),
            set_tag(tenant, workflow, "2", "v1"),
            save(tenant, workflow, {"n": 2}, tag="v1"),
            save(tenant, workflow, {"n": 3}, tag="v2"),
            set_tag(tenant, workflow, "v2", "v1"),
            set_tag(tenant, workflow, "v1", None),
            set_tag(tenant, workflow, "v2", "v1"),
        ],
    )
    assert kinds_of([*outcomes]) == [Written, TagTaken, TagTaken, Written, TagTaken, Written, Written]
    [first, current] = [ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/{r}")) for r in ("1", "v1")]
    assert (first["version_tag"], current["version_number"]) == (None, 3)
    listed = tenant.git("for-each-ref", "--format=%(refname) %(objecttype) %(*objectname)", "refs/tags")
    ref = f"refs/tags/workflows/{workflow['resource_id']}/v1"
    assert listed.split() == [ref, "tag", current["git_commit_hash"]]


def test_publications_of_one_batch_leave_the_last_one(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 0})
    changes: list[Change] = [
        publish(tenant, workflow, "1"),
        replace(save(tenant, workflow, {"n": 1}), publish=True),
        save(tenant, workflow, {"n": 2}),
        publish(tenant, workflow, "current"),
        publish(tenant, workflow, "previous"),
        publish(tenant, workflow, "1", published=False),
    ]
    outcomes = [outcome for outcome in submit(tenant, changes) if isinstance(outcome, Written)]
    assert [(o.version.version_number, o.version.is_published, o.unchanged) for o in outcomes] == [
        *((1, True, False), (2, True, False), (3, False, False)),
        *((3, True, False), (2, True, False), (1, False, True)),
    ]
    assert ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/published"))["version_number"] == 2
    assert tenant.git("rev-list", "--count", "published").strip() == "4"
    rows = tenant.server.database.rows(
        "SELECT v.version_number, p.unpublished_at IS NULL FROM publications p JOIN versions v"
        " USING (version_id) WHERE p.resource_id = %s ORDER BY publication_id",
        workflow["resource_id"],
    )
    assert rows == [(1, False), (2, False), (3, False), (2, True)]


def test_a_bulk_check_in_in_a_batch_is_refused_whole_by_what_came_before_it(tenant: Tenant) -> None:
    one, two = tenant.workflow(), tenant.workflow()

    def bulk(number: int) -> CheckInMany:
        items = tuple(
            Item(
                kind=Kind.WORKFLOW,
                resource_id=resource_id(each),
                definition=save(tenant, each, {"bulk": number}).definition,
                if_match=(each["git_commit_hash"],),
            )
            for each in (one, two)
        )
        return CheckInMany(author=author(tenant, tenant.ana), items=items)

    outcomes = submit(tenant, [save(tenant, two, {"n": 1}), bulk(1), save(tenant, one, {"n": 2})])
    assert kinds_of([*outcomes]) == [Written, StaleVersion, Written]
    assert isinstance(outcomes[1], StaleVersion)
    assert [fault.pointer for fault in outcomes[1].faults] == ["/items/1/if_match"]
    one, two = (ok(tenant.ana.get(tenant.at(each))) for each in (one, two))
    again = submit(tenant, [bulk(2), save(tenant, one, {"n": 3}), bulk(3)])
    assert kinds_of([*again]) == [WrittenMany, Written, StaleVersion]
    assert [each["current_version"] for each in (one, two)] == [2, 2]
    check_history(tenant)


def test_two_check_ins_of_one_check_out_in_a_batch_make_one(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    outcomes = submit(
        tenant,
        [
            check_in(tenant, workflow, {"n": 1}, tenant.ana),
            check_in(tenant, workflow, {"n": 1}, tenant.ben),
            check_in(tenant, workflow, {"n": 2}, tenant.ben),
            save(tenant, workflow, {"n": 3}),
        ],
    )
    assert isinstance(outcomes[0], NotHolder)
    assert [isinstance(outcome, Written) for outcome in outcomes] == [False, True, False, True]
    check_history(tenant)


# -- between a batch and other transactions ---------------------------------------------------------


@contextmanager
def stopped_at(tenant: Tenant, table: str) -> Iterator[threading.Event]:
    """Block transactions that add a row of this subscription to a table until the event is set."""
    name = sql.Identifier(f"test_gate_{tenant.subscription_id[-12:]}")
    database = tenant.server.database
    with database.connection() as connection:
        connection.execute(
            sql.SQL(
                "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " PERFORM pg_advisory_xact_lock({gate}); RETURN NEW; END $$;"
                " CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW"
                " WHEN (NEW.subscription_id = {id}) EXECUTE FUNCTION {name}()"
            ).format(
                name=name,
                gate=sql.Literal(GATE),
                table=sql.Identifier(table),
                id=sql.Literal(tenant.subscription_id),
            )
        )
    opened = threading.Event()
    try:
        with psycopg.connect(database.url) as gate, ThreadPoolExecutor(1) as pool:
            gate.execute("SELECT pg_advisory_xact_lock(%s)", [GATE])

            def open_gate() -> None:
                opened.wait(30)
                gate.rollback()

            waiting = pool.submit(open_gate)
            yield opened
            opened.set()
            waiting.result()
    finally:
        with database.connection() as connection:
            connection.execute(sql.SQL("DROP FUNCTION {} CASCADE").format(name))


def wait_until_blocked(tenant: Tenant, sessions: int) -> None:
    """Wait until a number of transactions of this database wait for a lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    done = threading.Event()
    for _ in range(500):
        if tenant.server.database.value(query) >= sessions:
            return
        done.wait(0.01)
    raise AssertionError(f"never {sessions} waited")


def test_a_check_out_by_another_between_validation_and_commit_stands_on_the_new_version(
    tenant: Tenant,
) -> None:
    workflow = tenant.workflow()
    _ = tenant.ben
    with ThreadPoolExecutor(2) as pool, stopped_at(tenant, "versions") as opened:
        saving = pool.submit(tenant.save, workflow, {"n": 1}, tenant.ana)
        wait_until_blocked(tenant, 1)
        taking: Future[Json] = pool.submit(tenant.check_out, workflow, tenant.ben)
        wait_until_blocked(tenant, 2)
        assert not saving.done()
        assert not taking.done()
        opened.set()
        saved, taken = saving.result(30), taking.result(30)
    assert (saved["version_number"], saved["checked_out_by"]) == (2, None)
    assert (taken["check_out"]["version_number"], taken["data"]) == (2, {"n": 1})
    assert taken["check_out"]["commit"] == saved["git_commit_hash"]
    refused(tenant.ana.post(f"{tenant.at(workflow)}/versions", {"data": {"n": 2}}), 423, "checked_out")
    check_history(tenant)


def test_a_save_that_meets_a_check_out_by_another_before_its_commit_is_423(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    _ = tenant.ben
    before = tenant.main()
    with ThreadPoolExecutor(2) as pool, stopped_at(tenant, "check_outs") as opened:
        taking = pool.submit(tenant.check_out, workflow, tenant.ben)
        wait_until_blocked(tenant, 1)
        body = {"data": {"n": 1}}
        saving = pool.submit(tenant.ana.post, f"{tenant.at(workflow)}/versions", body)
        wait_until_blocked(tenant, 2)
        opened.set()
        taking.result(30)
        refused(saving.result(30), 423, "checked_out")
    assert tenant.main() == before


@pytest.mark.parametrize("round_number", range(5))
def test_of_a_check_in_and_a_forced_release_at_once_one_wins(tenant: Tenant, round_number: int) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    ready = threading.Barrier(2)
    path = tenant.at(workflow)

    def come_in() -> int:
        ready.wait()
        return tenant.ben.post(f"{path}/check-in", {"data": {"round": round_number}}).status_code

    def force_release() -> int:
        ready.wait()
        return tenant.ana.delete(f"{path}/check-out?force=true").status_code

    with ThreadPoolExecutor(2) as pool:
        answers = [future.result() for future in [pool.submit(come_in), pool.submit(force_release)]]
    assert answers in ([201, 409], [409, 204])
    now = ok(tenant.ana.get(path))
    assert (now["current_version"], now["checked_out_by"]) == (2 if answers[0] == 201 else 1, None)


# -- between hosts ----------------------------------------------------------------------------------


@pytest.fixture
def second_host(server: Server) -> Iterator[Server]:
    """Run a second committer on the same database and repositories, as another host does."""
    app = create_app(server.context.settings, database_url=server.database.url, clock=server.clock)
    with served(app, server.database, server.clock) as second:
        yield second


def test_two_hosts_write_one_history(tenant: Tenant, second_host: Server) -> None:
    workflow, other = tenant.workflow(), tenant.workflow()
    callers = [tenant.ana, replace(tenant.ana, server=second_host)]
    at = tenant.at(workflow)
    conflicts = {"tag_taken", "stale_version"}

    def work(writer: int) -> list[Json]:
        caller, done = callers[writer % 2], []
        for number in range(6):
            data = {"writer": writer, "number": number}
            body = {"data": data, "tag": f"t{number}", "publish": writer < 2}
            response = caller.post(f"{at}/versions", body)
            if response.status_code == 201:
                done.append(response.json() | {"data": data})
            else:
                assert response.json()["code"] in conflicts
            items = [
                {"resource_type": "workflow", "resource_id": each["resource_id"], "data": data}
                for each in (workflow, other)
            ]
            bulk = ok(caller.post(f"{tenant.path}/check-ins", {"items": items}), 201)
            done += [version | {"data": data} for version in bulk["versions"] if not version["unchanged"]]
        return done

    with ThreadPoolExecutor(6) as pool:
        acknowledged = [version for found in pool.map(work, range(6)) for version in found]
    for version in acknowledged:
        read = ok(tenant.ana.get(f"{tenant.at(version)}/versions/{version['version_number']}"))
        assert (read["data"], read["git_commit_hash"]) == (version["data"], version["git_commit_hash"])
    tagged = {
        v["version_tag"]: v["git_commit_hash"] for v in tenant.ana.pages(f"{at}/versions") if v["version_tag"]
    }
    assert set(tagged) == {f"t{number}" for number in range(6)}
    listed = tenant.git("for-each-ref", "--format=%(refname:lstrip=4) %(*objectname)", "refs/tags")
    assert dict(line.split() for line in listed.splitlines()) == tagged
    published = ok(tenant.ana.get(f"{at}/versions/published"))
    path = tenant.git("ls-tree", "-r", "--name-only", "published").strip()
    assert tenant.git("show", f"published:{path}").encode() == (
        tenant.ana.get(f"{at}/versions/{published['version_number']}/data").content
    )
    check_history(tenant)


def test_two_hosts_that_tag_at_once_leave_no_ref_behind(tenant: Tenant, second_host: Server) -> None:
    workflows = [tenant.workflow(), tenant.workflow()]
    callers = [tenant.ana, replace(tenant.ana, server=second_host)]

    def tag(host: int) -> None:
        path = f"{tenant.at(workflows[host])}/versions/1/tag"
        for number in range(60):
            ok(callers[host].put(path, {"tag": f"t{number % 7}"}))
            if number % 5 == 0:
                ok(callers[host].delete(path))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(tag, range(2)))
    assert tenant.server.database.value("SELECT count(*) FROM tags WHERE NOT ref_is_settled") == 0
    check_history(tenant)


def test_a_rollback_to_what_the_batch_made_does_not_cut_the_batch(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 0})
    back = RollBack(
        author=author(tenant, tenant.ana), kind=Kind.WORKFLOW, resource_id=resource_id(workflow), to=2
    )
    outcomes = submit(tenant, [save(tenant, workflow, {"n": 1}), save(tenant, workflow, {"n": 2}), back])
    written = [outcome for outcome in outcomes if isinstance(outcome, Written)]
    assert [o.version.version_number for o in written] == [2, 3, 4]
    # One batch has one time.
    assert len({o.version.created_at for o in written}) == 1


def test_nobody_waits_after_the_races(server: Server) -> None:
    assert not waits_for_a_lock(server.database)
