"""The committer: batches, their refusals, and refs that follow their rows."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from service.committer.changes import Change, RollBack, Written
from service.committer.refs import settle_all
from service.domain.errors import (
    CheckedOut,
    NameTaken,
    NotCheckedOut,
    ParentNotFound,
    ResourceNotFound,
    TagTaken,
    VersionNotFound,
)
from service.domain.ids import ResourceId, mint
from service.domain.resource_kinds import Kind
from sql.errors import UnfitValue
from tests.support.api import Json, Tenant, git, ok, refused
from tests.support.changes import author, check_in, create, save, submit
from tests.support.histories import check_history, head_of_row

WRITERS = 16
SAVES = 6


def test_many_writers_of_one_resource_leave_no_gap(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    callers = [tenant.ana, tenant.ben]

    def write(writer: int) -> list[tuple[int, Json]]:
        found = []
        for number in range(SAVES):
            data = {"writer": writer, "number": number}
            saved = tenant.save(workflow, data, by=callers[writer % 2])
            found.append((saved["version_number"], data))
        return found

    with ThreadPoolExecutor(WRITERS) as pool:
        acknowledged = [pair for pairs in pool.map(write, range(WRITERS)) for pair in pairs]
    assert sorted(number for number, _ in acknowledged) == list(range(2, WRITERS * SAVES + 2))
    for number, data in acknowledged:
        assert ok(tenant.vera.get(f"{tenant.at(workflow)}/versions/{number}"))["data"] == data
    check_history(tenant)


def test_many_writers_of_many_resources_share_one_history(tenant: Tenant) -> None:
    workflows = [tenant.workflow() for _ in range(8)]
    tenant.ben  # noqa: B018 - made before the threads start

    def write(index: int) -> None:
        for number in range(4):
            tenant.save(workflows[index], {"n": number})
            tenant.check_out(workflows[index], tenant.ben)
            tenant.check_in(workflows[index], tenant.ben, data={"m": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    check_history(tenant)


def test_a_refused_change_fails_alone(tenant: Tenant) -> None:
    one, two, held = tenant.workflow(), tenant.workflow(), tenant.workflow()
    tenant.check_out(held, tenant.ben)
    missing = {"resource_type": "workflow", "resource_id": str(mint())}
    outcomes = submit(
        tenant,
        [
            save(tenant, one, {"n": 1}, tag="v1"),
            save(tenant, held, {"n": 1}),
            save(tenant, missing, {"n": 1}),
            save(tenant, one, {"n": 2}, tag="v1"),
            create(tenant, "child", Kind.FOLDER, workspace_id=mint()),
            check_in(tenant, two, {"n": 1}, tenant.ana),
            check_in(tenant, held, {"n": 3}, tenant.ben),
            save(tenant, held, {"n": 4}),
            save(tenant, two, {"n": 1}),
            save(tenant, one, {"n": 3}),
        ],
    )
    kinds = [
        *(Written, CheckedOut, ResourceNotFound, TagTaken, ParentNotFound, NotCheckedOut),
        *(Written, Written, Written, Written),
    ]
    assert [type(outcome) for outcome in outcomes] == kinds
    written = [outcome for outcome in outcomes if isinstance(outcome, Written)]
    assert [outcome.version.version_number for outcome in written] == [2, 2, 3, 2, 3]
    assert len({outcome.version.created_at for outcome in written}) == 1
    check_history(tenant)


def test_changes_of_one_batch_see_each_other(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    ghost = create(tenant, "parent")
    outcomes = submit(
        tenant,
        [
            save(tenant, workflow, {"n": 2}),
            save(tenant, workflow, {"n": 2}),
            save(tenant, workflow, {"n": 1}),
            save(tenant, workflow, {"n": 1}, tag="again"),
            save(tenant, workflow, {"n": 5}),
            ghost,
        ],
    )
    assert all(isinstance(outcome, Written) for outcome in outcomes), outcomes
    written = [outcome for outcome in outcomes if isinstance(outcome, Written)]
    assert [(o.version.version_number, o.unchanged) for o in written[:5]] == [
        *((2, False), (2, True), (3, False), (3, True), (4, False))
    ]
    tags = tenant.server.database.rows(
        "SELECT version_number, version_tag, is_current FROM versions WHERE resource_id = %s"
        " ORDER BY version_number",
        workflow["resource_id"],
    )
    assert tags == [(1, None, False), (2, None, False), (3, "again", False), (4, None, True)]
    check_history(tenant)


def test_two_creations_of_one_name_in_a_batch_make_one(tenant: Tenant) -> None:
    outcomes = submit(tenant, [create(tenant, "first"), create(tenant, "twin"), create(tenant, "twin")])
    assert [type(outcome) for outcome in outcomes] == [Written, Written, NameTaken]
    assert len(tenant.ana.pages(f"{tenant.path}/workspaces", name="twin")) == 1


def test_a_batch_of_refusals_writes_nothing(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    before = tenant.footprint()
    outcomes = submit(tenant, [check_in(tenant, workflow, {"n": n}, tenant.ana) for n in range(5)])
    assert [type(outcome) for outcome in outcomes] == [NotCheckedOut] * 5
    assert tenant.footprint() == before


@pytest.mark.parametrize("guilty", [0, 3, 6])
def test_a_change_that_breaks_the_transaction_fails_alone(tenant: Tenant, guilty: int) -> None:
    # The API refuses such a tag; here it is an example of a value that the database refuses at the end.
    workflows = [tenant.workflow() for _ in range(7)]
    outcomes = submit(
        tenant,
        [
            save(tenant, workflow, {"n": 1}, tag="x" * 101 if index == guilty else "v1")
            for index, workflow in enumerate(workflows)
        ],
    )
    assert [isinstance(outcome, Written) for outcome in outcomes] == [n != guilty for n in range(7)]
    assert isinstance(outcomes[guilty], UnfitValue)
    numbers = [ok(tenant.ana.get(tenant.at(workflow)))["current_version"] for workflow in workflows]
    assert numbers == [1 if index == guilty else 2 for index in range(7)]
    check_history(tenant)


def move_main_back(tenant: Tenant, commits: int) -> None:
    """Leave `main` as a crash between COMMIT and the move of the ref does."""
    tenant.git("update-ref", "refs/heads/main", f"main~{commits}")
    assert tenant.main() != head_of_row(tenant)


def test_a_ref_left_behind_is_moved_before_a_clone_is_served(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    saved = [tenant.save(workflow, {"n": number}) for number in range(3)]
    move_main_back(tenant, 2)
    listed = subprocess.run(
        ["git", "ls-remote", tenant.clone_url(tenant.vera), "refs/heads/main"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert listed.stdout.split()[0] == saved[-1]["git_commit_hash"] == tenant.main()


def test_a_ref_left_behind_is_moved_by_the_next_write(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for number in range(3):
        tenant.save(workflow, {"n": number})
    move_main_back(tenant, 3)
    tenant.save(workflow, {"n": 9})
    check_history(tenant)


def test_refs_left_behind_are_moved_at_start(tenant: Tenant, stranger: Tenant) -> None:
    for each in (tenant, stranger):
        each.save(each.workflow(), {"n": 1})
        move_main_back(each, 1)
    context = tenant.server.context
    moved = {str(subscription_id) for subscription_id in settle_all(context.database, context.store)}
    assert moved >= {tenant.subscription_id, stranger.subscription_id}
    for each in (tenant, stranger):
        assert each.main() == head_of_row(each)


def test_a_missing_ref_is_made_again(tenant: Tenant) -> None:
    tenant.workflow()
    tenant.git("update-ref", "-d", "refs/heads/main")
    tenant.save(tenant.workflow(), {"n": 1})
    check_history(tenant)


@pytest.mark.parametrize("lock", ["refs/heads/main.lock", "HEAD.lock", "packed-refs.lock"])
def test_the_lock_of_a_process_that_was_killed_is_survived(tenant: Tenant, lock: str) -> None:
    workflow = tenant.workflow()
    (tenant.repository / lock).touch()
    saved = tenant.save(workflow, {"n": 1})
    assert tenant.main() == saved["git_commit_hash"]


def test_a_ref_that_somebody_else_moved_is_not_overwritten(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tree = tenant.git("rev-parse", "main^{tree}").strip()
    foreign = git(
        tenant.repository,
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@example.org",
        "commit-tree",
        tree,
        "-m",
        "x",
    ).strip()
    tenant.git("update-ref", "refs/heads/main", foreign)
    # Stored, but not answered with 2xx: the ref is not at the commit of its row.
    refused(tenant.ana.post(f"{tenant.at(workflow)}/versions", {"data": {"n": 1}}), 503, "ref_not_moved")
    [saved] = [v for v in tenant.ana.pages(f"{tenant.at(workflow)}/versions") if v["version_number"] == 2]
    assert head_of_row(tenant) == saved["git_commit_hash"]
    assert tenant.main() == foreign
    assert ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/2"))["data"] == {"n": 1}
    response = tenant.ana.get(f"/git/{tenant.subscription_id}.git/info/refs?service=git-upload-pack")
    assert response.status_code == 503


def test_a_lost_repository_is_told_as_unavailable(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    away = tenant.repository.with_suffix(".away")
    tenant.repository.rename(away)
    try:
        for path, media_type in (
            (f"{tenant.at(workflow)}/versions/1", "application/problem+json"),
            # Git shows a text to its user.
            (f"/git/{tenant.subscription_id}.git/info/refs?service=git-upload-pack", "text/plain"),
        ):
            response = tenant.ana.get(path)
            assert response.status_code in (500, 503)
            assert response.headers["content-type"].partition(";")[0] == media_type
    finally:
        away.rename(tenant.repository)


def test_a_commit_says_who_what_and_why(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="etl")
    tenant.check_out(workflow, tenant.ben)
    body = {"data": {"n": 2}, "comment": "faster\n\nAnnals-Actor: forged"}
    response = tenant.ben.post(f"{tenant.at(workflow)}/check-in", body, headers={"x-request-id": "req-1"})
    version = ok(response, 201)
    message = tenant.git("log", "-1", "--format=%B", "main")
    assert message.startswith(f"workflows/{workflow['resource_id']}: v2 — etl\n\nfaster\n")
    parsed = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True, check=True
    )
    assert parsed.stdout.splitlines() == [
        f"Annals-Version: workflows/{workflow['resource_id']}@2 {version['version_id']}",
        f"Annals-Actor: {tenant.ben.user_id} ben",
        "Annals-Request: req-1",
        f"Annals-Time: {version['created_at'].replace('Z', '')[:26].ljust(26, '0')}Z",
    ]
    assert "@example.org" not in tenant.git("log", "--format=%B", "main")


def test_a_rollback_in_a_batch_finds_what_the_batch_made(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2})

    def back(to: str | int) -> RollBack:
        return RollBack(
            author=author(tenant, tenant.ana),
            kind=Kind.WORKFLOW,
            resource_id=ResourceId(UUID(workflow["resource_id"])),
            to=to,
        )

    changes: list[Change] = [
        *(save(tenant, workflow, {"n": 3}, tag="three"), back(1), save(tenant, workflow, {"n": 4})),
        *(back("previous"), back("three"), back("current"), back(9)),
    ]
    outcomes = submit(tenant, changes)
    assert [type(outcome) for outcome in outcomes] == [Written] * 6 + [VersionNotFound]
    written = [outcome for outcome in outcomes if isinstance(outcome, Written)]
    assert [(o.version.version_number, o.unchanged) for o in written] == [
        *((3, False), (4, False), (5, False), (6, False), (7, False), (7, True))
    ]
    data = [ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/{number}"))["data"] for number in range(3, 8)]
    assert data == [{"n": 3}, {"n": 1}, {"n": 4}, {"n": 1}, {"n": 3}]
    check_history(tenant)


def test_what_a_batch_leaves_does_not_depend_on_how_it_was_cut(tenant: Tenant) -> None:
    """A save and a check-in by the holder leave the same rows in one batch as one by one."""
    seen = []
    for together in (True, False):
        workflow = tenant.workflow()
        tenant.check_out(workflow)
        changes: list[Change] = [
            save(tenant, workflow, {"n": 1}, tag="t1"),
            save(tenant, workflow, {"n": 1}, tag="t2"),
            save(tenant, workflow, {"n": 2}, tag="t1"),
            check_in(tenant, workflow, {"n": 3}, tenant.ana),
        ]
        for batch in [changes] if together else [[change] for change in changes]:
            outcomes = submit(tenant, batch)
            assert all(isinstance(outcome, Written) for outcome in outcomes), outcomes
        versions = tenant.ana.pages(f"{tenant.at(workflow)}/versions")
        seen.append(
            [
                (v["version_number"], v["version_tag"], v["checked_out_by"], v["checked_in_at"] is None)
                for v in versions
            ]
        )
    assert seen[0] == seen[1]
    assert [(number, tag) for number, tag, *_ in seen[0]] == [(4, None), (3, "t1"), (2, "t2"), (1, None)]
    check_history(tenant)
