"""Expired soft deletions: deleted for good at their time, each with its records, and never before."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from gitstore.read.repository import RepositoryReader
from service.domain.ids import SubscriptionId
from service.domain.job_runs import Counts, RunPlan
from service.recovery.history_to_rows import recover
from service.usecases.maintenance import expire_deletions
from service.usecases.maintenance.actors import actor_id
from tests.support.api import Json, Server, Tenant, ok, refused
from tests.support.events import events
from tests.support.histories import check_history
from tests.support.job_runs import carried_out, job_context, run_of
from tests.support.legal_holds import hold
from tests.support.trees import DELETED_WITH, live, tree

DAYS = 30
MACHINE = f"system:{expire_deletions.NAME}"


def expire(server: Server) -> Counts:
    """Run the scheduled job; answers its counts."""
    return carried_out(server, expire_deletions.NAME, expire_deletions.run)


def planned(server: Server) -> RunPlan:
    """The plan of a job run."""
    with job_context(server) as context:
        return expire_deletions.plan(context, context.clock())


def deletions_of(tenant: Tenant, resource: Json) -> list[Json]:
    """The deletion records of a resource, newest first."""
    return tenant.ana.pages(f"{tenant.path}/deletions", resource_id=resource["resource_id"])


def test_a_deletion_becomes_one_for_good_when_its_time_is_over(lone: Tenant) -> None:
    made = tree(lone)
    stays = lone.workflow()
    deletion = lone.remove(made["folders"], reason="tidying up")
    commits = len(lone.git("log", "--format=%H", "main").split())
    assert expire(lone.server)["deletions"] == 0
    with lone.server.clock.moved(days=DAYS):
        assert [part.rows for part in planned(lone.server).parts] == [len(DELETED_WITH["folders"])]
        assert expire(lone.server) == {
            "deletions": 1,
            "resources": len(DELETED_WITH["folders"]),
            "blocked": 0,
        }
        assert expire(lone.server) == {"deletions": 0, "resources": 0, "blocked": 0}
        for name in DELETED_WITH["folders"]:
            refused(lone.ana.get(lone.at(made[name])), 404, "resource_not_found")
        refused(
            lone.ana.post(f"{lone.path}/deletions/{deletion['deletion_id']}/restore", {}),
            410,
            "not_restorable",
        )
        gone, soft = deletions_of(lone, made["folders"])
        assert stays["resource_id"] in live(lone)
        [event] = events(lone, action="DELETE", user_id=gone["deleted_by"])
    assert (soft["purged_at"], soft["can_be_restored"]) == (gone["deleted_at"], False)
    assert (gone["deleted_by_username"], gone["is_soft_delete"]) == (MACHINE, False)
    assert gone["deletion_reason"].startswith("it could be restored until ")
    assert gone["counts"] == deletion["counts"]
    assert event["new_values"]["deletion_id"] == gone["deletion_id"]
    assert event["username"] == MACHINE
    assert gone["deleted_by"] == str(actor_id(UUID(lone.subscription_id), MACHINE))
    # A commit of its own, whose author has no key.
    assert len(lone.git("log", "--format=%H", "main").split()) == commits + 1
    assert lone.git("log", "-1", "--format=%an", "main").strip() == MACHINE
    assert MACHINE not in {user["username"] for user in lone.ana.pages(f"{lone.path}/users")}
    refused(lone.ana.post(f"{lone.path}/users", {"username": MACHINE, "role": "viewer"}), 422, "invalid")
    check_history(lone)
    # A rebuilt database has the same actor, and no user of that name either.
    repository = RepositoryReader(lone.repository)
    recovered = recover(
        repository, SubscriptionId(UUID(lone.subscription_id)), git_url="", at=lone.server.clock()
    )
    repository.close()
    assert {str(actor.user_id): actor.username for actor in recovered.actors}[gone["deleted_by"]] == MACHINE
    assert [user.username for user in recovered.users] == ["ana"]


def test_what_has_a_part_that_can_be_restored_for_longer_waits_for_that(lone: Tenant) -> None:
    made = tree(lone)
    lone.remove(made["inner workflows"])
    lone.remove(made["inner folders"])
    # As after a setting of fewer days.
    lone.server.database.rows(
        "UPDATE deletion_logs SET restore_expiry_at = restore_expiry_at + %s WHERE resource_id = %s"
        " RETURNING 1",
        timedelta(days=1),
        made["inner workflows"]["resource_id"],
    )
    with lone.server.clock.moved(days=DAYS):
        assert planned(lone.server).parts == []
        assert expire(lone.server)["deletions"] == 0
        [deletion] = deletions_of(lone, made["inner workflows"])
        lone.restore(deletion, resolve={"new_parent_id": lone.job_id})
        assert expire(lone.server) == {"deletions": 1, "resources": 2, "blocked": 0}
        assert made["inner workflows"]["resource_id"] in live(lone)
        # Deleted again, its time begins anew, and the record of the first deletion does not end it.
        lone.remove(made["inner workflows"])
        assert expire(lone.server)["deletions"] == 0
        assert [each["purged_at"] for each in deletions_of(lone, made["inner workflows"])] == [None, None]
    check_history(lone)


def test_what_is_held_stays_until_the_hold_is_released(lone: Tenant) -> None:
    made = tree(lone)
    free = lone.workflow()
    for resource in (free, made["folders"]):
        lone.remove(resource)
    hold_id = hold(lone, **{name: made["inner jobs"][name] for name in ("resource_type", "resource_id")})
    with lone.server.clock.moved(days=DAYS):
        plan = planned(lone.server)
        assert [(part.rows, str(part.subscription_id)) for part in plan.parts] == [(1, lone.subscription_id)]
        size = len(DELETED_WITH["folders"])
        assert [(str(each.hold_id), each.rows) for each in plan.blocked] == [(hold_id, size)]
        assert expire(lone.server) == {"deletions": 1, "resources": 1, "blocked": 1}
        refused(lone.ana.get(lone.at(free)), 404, "resource_not_found")
        assert ok(lone.ana.get(lone.at(made["folders"])))["deleted_at"] is not None
        lone.server.database.rows(
            "UPDATE legal_holds SET released_at = %s, released_by = 'ana' WHERE hold_id = %s RETURNING 1",
            lone.server.clock(),
            hold_id,
        )
        assert expire(lone.server) == {"deletions": 1, "resources": size, "blocked": 0}


def test_what_was_decided_meanwhile_stands_and_the_run_goes_on(lone: Tenant) -> None:
    first, restored, purged, last = (lone.workflow() for _ in range(4))
    for each in (first, restored, purged, last):
        lone.remove(each)
    told: list[str] = []

    def tell(message: str, _: Mapping[str, Any]) -> None:
        if not told:
            # Between finding and deleting: a user restores one just in time, and deletes one for good.
            [deletion] = deletions_of(lone, restored)
            lone.server.database.rows(
                "UPDATE deletion_logs SET restore_expiry_at = restore_expiry_at + interval '1 day'"
                " WHERE deletion_id = %s RETURNING 1",
                deletion["deletion_id"],
            )
            lone.restore(deletion)
            lone.remove(purged, permanent=True)
        told.append(message)

    with lone.server.clock.moved(days=DAYS), job_context(lone.server) as context:
        run = replace(run_of(context, expire_deletions.NAME), tell=tell)
        assert expire_deletions.run(context, run) == {"deletions": 2, "resources": 2, "blocked": 0}
        assert told == [
            "what had expired was deleted for good",
            *["what had expired is so no longer"] * 2,
            "what had expired was deleted for good",
        ]
        assert restored["resource_id"] in live(lone)
        assert [each["deleted_by_username"] for each in deletions_of(lone, purged)] == ["ana", "ana"]
    check_history(lone)


@pytest.fixture(autouse=True)
def _nothing_left(lone_server: Server) -> Iterator[None]:
    """Expire the deletions that other tests left."""
    yield
    with lone_server.clock.moved(days=2 * DAYS):
        expire(lone_server)
