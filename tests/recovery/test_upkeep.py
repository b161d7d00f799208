"""Upkeep of subscriptions: beside load, one at a time among hosts, bounded, and as a command."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from gitstore import pack_folder
from gitstore.errors import RepositoryMissing
from gitstore.upkeep.repack import MANY_LOOSE_REFS, MANY_PACKS, needs, upkeep
from gitstore.write.commit_builder import CommitBuilder
from service.committer.consolidation import consolidate_if_needed, sole_upkeep
from service.domain.ids import SubscriptionId, mint
from service.usecases.maintenance.upkeep import tend, tend_all
from sql.database import Database
from sql.errors import DatabaseUnavailable
from sql.queries import repositories
from tests.support.api import OPERATOR_KEY, Json, Server, Tenant
from tests.support.commands import annals
from tests.support.histories import check_history
from tests.support.packed_repositories import ANN, pack_names, size

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WEEKS = timedelta(weeks=1)
WRITERS = 8
SAVES = 200
ROUNDS = 8
# Seconds, unless the machine does much else.
LOAD_SECONDS = 120


@pytest.fixture
def pool(server: Server) -> Iterator[Database]:
    """Connections of another process than the server."""
    pool = Database(server.database.url, pool_size=3)
    yield pool
    pool.close()


def subscription(tenant: Tenant) -> SubscriptionId:
    return SubscriptionId(UUID(tenant.subscription_id))


def busy_workflow(tenant: Tenant, saves: int) -> Json:
    workflow = tenant.workflow(definition={"n": 0})
    for number in range(1, saves):
        tenant.save(workflow, {"n": number})
    return workflow


def garbage(tenant: Tenant) -> str:
    """Write a batch as a committer that is killed before COMMIT leaves it; returns the id of its commit."""
    builder = CommitBuilder(tenant.repository)
    builder.begin(tenant.main())
    commit = builder.commit(writes={"workflows/00/x.json": b"{}"}, message="lost\n", actor=ANN, time=NOON)
    builder.write()
    builder.close()
    return commit.commit_id


def is_there(tenant: Tenant, commit: str) -> bool:
    return commit in tenant.git("cat-file", "--batch-all-objects", "--batch-check")


# Beside load


def test_eight_writers_go_on_beside_upkeep_in_a_loop(tenant: Tenant, pool: Database, home: Path) -> None:
    store = tenant.server.context.store
    workflows = [tenant.workflow(definition={"n": 0}) for _ in range(WRITERS)]
    _ = tenant.ana
    ended = threading.Event()
    refused: list[str] = []
    failed: list[str] = []
    saved: list[int] = []

    def write(workflow: Json) -> None:
        number = 0
        while not ended.is_set():
            number += 1
            body = {"data": {"n": number}, "tag": f"v{number}", "publish": number % 3 == 0}
            response = tenant.ana.post(f"{tenant.at(workflow)}/versions", body)
            if response.status_code != 201:
                refused.append(response.text)
            else:
                saved.append(number)

    def consolidate() -> None:
        while not ended.is_set():
            consolidate_if_needed(pool, store, subscription(tenant), many=8)

    threads = [threading.Thread(target=write, args=(each,)) for each in workflows]
    threads.append(threading.Thread(target=consolidate))
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + LOAD_SECONDS
    rounds = 0
    while (rounds < ROUNDS or len(saved) < SAVES) and time.monotonic() < deadline:
        report = tend(pool, store, subscription(tenant), at=NOON, deep=True, prune=True, grace=timedelta(0))
        rounds += report.outcome == "done"
        if report.error is not None:
            failed.append(report.error)
        tenant.clone(home / f"clone-{rounds}-{time.monotonic_ns()}")
    ended.set()
    for thread in threads:
        thread.join()
    assert (refused, failed) == ([], [])
    assert rounds >= ROUNDS
    assert len(saved) >= SAVES
    check_history(tenant)


# One at a time


def test_where_another_host_is_at_it_upkeep_is_left_to_that_one(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 5)
    store, packs = tenant.server.context.store, pack_names(tenant.repository)
    with pool.transaction(subscription(tenant)) as tx:
        assert repositories.try_lock_upkeep(tx, subscription(tenant))
        report = tend(tenant.server.context.database, store, subscription(tenant), at=NOON, deep=True)
        merged = consolidate_if_needed(tenant.server.context.database, store, subscription(tenant), many=1)
    assert (report.outcome, merged, pack_names(tenant.repository)) == ("busy", 0, packs)
    assert tend(pool, store, subscription(tenant), at=NOON, deep=True).outcome == "done"


def test_of_two_hosts_that_begin_at_once_one_does_it(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 30)
    store = tenant.server.context.store
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def run(database: Database) -> None:
        start.wait()
        outcomes.append(tend(database, store, subscription(tenant), at=NOON, deep=True).outcome)

    threads = [
        threading.Thread(target=run, args=(database,)) for database in (pool, tenant.server.context.database)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) in (["busy", "done"], ["done", "done"])
    check_history(tenant)


def test_where_a_git_of_a_killed_upkeep_still_runs_none_is_begun(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 5)
    with upkeep(tenant.repository) as orphan:
        assert orphan is not None
        report = tend(pool, tenant.server.context.store, subscription(tenant), at=NOON)
    assert report.outcome == "busy"


def test_saves_go_on_while_the_lock_on_upkeep_is_held(tenant: Tenant, pool: Database) -> None:
    workflow = busy_workflow(tenant, 2)
    with sole_upkeep(pool, tenant.server.context.store, subscription(tenant)) as work:
        assert work is not None
        tenant.save(workflow, {"n": 3})
    check_history(tenant)


def test_a_lock_that_is_lost_ends_upkeep_before_a_pack_is_removed(
    tenant: Tenant, pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy_workflow(tenant, 20)
    before = pack_names(tenant.repository)
    monkeypatch.setattr("service.committer.consolidation._KEEP_LOCK_SECONDS", 0)

    def lose_lock_meanwhile() -> None:
        with sole_upkeep(pool, tenant.server.context.store, subscription(tenant)) as work:
            assert work is not None
            tenant.server.database.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            work.deep()

    with pytest.raises(DatabaseUnavailable):
        lose_lock_meanwhile()
    assert before <= pack_names(tenant.repository)
    assert tend(pool, tenant.server.context.store, subscription(tenant), at=NOON, deep=True).outcome == "done"
    check_history(tenant)


# On new packs


def test_few_packs_are_left_as_they_are(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 5)
    before = pack_names(tenant.repository)
    assert consolidate_if_needed(pool, tenant.server.context.store, subscription(tenant)) == 0
    assert pack_names(tenant.repository) == before


def test_many_packs_become_few(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, MANY_PACKS)
    assert consolidate_if_needed(pool, tenant.server.context.store, subscription(tenant)) >= MANY_PACKS
    assert len(pack_names(tenant.repository)) <= 2
    check_history(tenant)


def test_a_consolidation_that_is_stopped_merges_nothing(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 5)
    before = pack_names(tenant.repository)
    stop = threading.Event()
    stop.set()
    store = tenant.server.context.store
    assert consolidate_if_needed(pool, store, subscription(tenant), many=2, stop=stop) == 0
    assert before <= pack_names(tenant.repository)
    assert tend(pool, store, subscription(tenant), at=NOON, stop=stop).outcome == "stopped"


def test_a_look_at_a_repository_with_few_packs_asks_no_database(tenant: Tenant) -> None:
    busy_workflow(tenant, 40)
    nowhere = Database("postgresql://127.0.0.1:1/none", pool_size=1)
    # Processor time of this thread, since others may be busy.
    began = time.thread_time()
    for _ in range(100):
        assert consolidate_if_needed(nowhere, tenant.server.context.store, subscription(tenant)) == 0
    # A tenth of a millisecond on an idle machine.
    assert (time.thread_time() - began) / 100 < 0.005


# Of one, of all


def test_the_report_says_what_became_of_packs_and_bytes(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 30)
    report = tend(pool, tenant.server.context.store, subscription(tenant), at=NOON, deep=True)
    assert (report.outcome, report.packs_after, report.error) == ("done", 1, None)
    assert report.packs_before >= 30
    assert report.bytes_after < report.bytes_before
    assert 0 < report.seconds < 60
    [pack] = pack_folder.packs(tenant.repository)
    assert pack.has_bitmap
    check_history(tenant)


def test_refs_of_tags_are_packed_and_move_on(tenant: Tenant, pool: Database) -> None:
    workflow = tenant.workflow(definition={"n": 0})
    for number in range(MANY_LOOSE_REFS):
        tenant.save(workflow, {"n": number + 1}, tag=f"v{number}", publish=number % 9 == 0)
    tend(pool, tenant.server.context.store, subscription(tenant), at=NOON)
    assert needs(tenant.repository).loose_refs == 0
    tenant.save(workflow, {"n": -1}, tag="last", publish=True)
    check_history(tenant)


def test_all_that_need_it_are_kept_up_the_neediest_first(server: Server, pool: Database) -> None:
    tenants = [Tenant(server, name) for name in ("quiet", "busy", "busier")]
    for tenant, saves in zip(tenants, (2, MANY_PACKS + 2, MANY_PACKS + 20), strict=True):
        busy_workflow(tenant, saves)
    done = tend_all(pool, server.context.store, at=NOON)
    order = [str(report.subscription_id) for report in done.reports]
    quiet, busy, busier = (tenant.subscription_id for tenant in tenants)
    assert quiet not in order
    assert order.index(busier) < order.index(busy)
    assert done.left == 0
    assert tend_all(pool, server.context.store, at=NOON).reports == []


def test_none_is_begun_once_the_time_is_over(server: Server, pool: Database) -> None:
    busy_workflow(Tenant(server), MANY_PACKS + 2)
    done = tend_all(pool, server.context.store, at=NOON, budget_seconds=0)
    assert (done.reports, done.left >= 1) == ([], True)
    tend_all(pool, server.context.store, at=NOON)


def test_where_there_is_no_repository_that_is_said(server: Server, pool: Database) -> None:
    with pytest.raises(RepositoryMissing):
        tend(pool, server.context.store, SubscriptionId(mint()), at=NOON)


def test_a_damaged_repository_is_reported_and_keeps_its_packs(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 5)
    before = pack_names(tenant.repository)
    damaged = tenant.repository / "objects" / "pack" / f"{min(before)}.pack"
    content = bytearray(damaged.read_bytes())
    content[20] ^= 0xFF
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    report = tend(pool, tenant.server.context.store, subscription(tenant), at=NOON, deep=True)
    assert report.outcome == "failed"
    assert report.error
    assert before <= pack_names(tenant.repository)


# Pruning


def test_what_a_crash_left_goes_after_two_weeks(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 3)
    lost = garbage(tenant)
    store = tenant.server.context.store
    assert tend(pool, store, subscription(tenant), at=NOON, prune=True).objects_pruned == 0
    assert tend(pool, store, subscription(tenant), at=NOON + WEEKS, prune=True).objects_pruned == 0
    assert is_there(tenant, lost)
    assert tend(pool, store, subscription(tenant), at=NOON + 2 * WEEKS, prune=True).objects_pruned > 0
    assert not is_there(tenant, lost)
    check_history(tenant)


def test_what_only_a_row_names_is_not_pruned(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 3)
    former = tenant.git("rev-parse", "main~1").strip()
    store = tenant.server.context.store
    # As a crash between COMMIT and the refs leaves it.
    tenant.git("update-ref", "refs/heads/main", former)
    for at in (NOON, NOON + 3 * WEEKS):
        assert tend(pool, store, subscription(tenant), at=at, prune=True).objects_pruned == 0
    check_history(tenant)


def test_pruning_refuses_where_somebody_else_moved_a_branch(tenant: Tenant, pool: Database) -> None:
    busy_workflow(tenant, 3)
    garbage(tenant)
    store, main = tenant.server.context.store, tenant.main()
    stray = tenant.git(
        *("-c", "user.name=x", "-c", "user.email=x@x", "commit-tree", "-m", "stray", f"{main}^{{tree}}")
    ).strip()
    tenant.git("update-ref", "refs/heads/main", stray)
    before = size(tenant.repository)
    report = tend(pool, store, subscription(tenant), at=NOON, prune=True, grace=timedelta(0))
    assert (report.outcome, report.objects_pruned) == ("failed", 0)
    assert size(tenant.repository) >= before - 10_000
    tenant.git("update-ref", "refs/heads/main", main)
    check_history(tenant)


def test_saves_wait_for_the_removal_alone(tenant: Tenant, pool: Database) -> None:
    workflow = busy_workflow(tenant, 3)
    garbage(tenant)
    ended = threading.Event()
    statuses: list[int] = []

    def write() -> None:
        number = 10
        while not ended.is_set():
            number += 1
            response = tenant.ana.post(f"{tenant.at(workflow)}/versions", {"data": {"n": number}})
            statuses.append(response.status_code)

    thread = threading.Thread(target=write)
    thread.start()
    report = tend(
        pool, tenant.server.context.store, subscription(tenant), at=NOON, prune=True, grace=timedelta(0)
    )
    ended.set()
    thread.join()
    assert report.error is None
    assert set(statuses) == {201}
    check_history(tenant)


# The command


def command(server: Server, *arguments: str, code: int = 0) -> bytes:
    done = annals(
        None,
        *("git", "upkeep", "--data-dir", str(server.context.settings.data_dir), *arguments),
        code=code,
        DATABASE_URL=server.database.url,
        ANNALS_OPERATOR_KEY=OPERATOR_KEY,
    )
    return done.stdout + done.stderr if code else done.stdout


def test_the_command_keeps_one_repository_up_beside_the_server(tenant: Tenant) -> None:
    workflow = busy_workflow(tenant, 5)
    printed = command(tenant.server, "--deep", "--prune", "--subscription", tenant.subscription_id, "--json")
    told = json.loads(printed)
    [report] = told["reports"]
    assert (report["outcome"], report["packs_after"], told["left"]) == ("done", 1, 0)
    assert report["subscription_id"] == tenant.subscription_id
    tenant.save(workflow, {"n": 99})
    check_history(tenant)


def test_the_command_prints_a_table(tenant: Tenant) -> None:
    busy_workflow(tenant, MANY_PACKS + 1)
    printed = command(tenant.server).decode()
    assert tenant.subscription_id in printed
    assert "packs" in printed
    assert "No repository needs upkeep." in command(tenant.server).decode()


def test_the_command_names_a_subscription_that_has_no_repository(server: Server) -> None:
    unknown = "0190a1b2-0000-7000-8000-00000000ffff"
    assert unknown.encode() in command(server, "--subscription", unknown, code=2)
