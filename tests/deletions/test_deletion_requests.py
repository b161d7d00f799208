"""`cascade_delete_workspace` in SQL: its rights, its answers, and its deletions, made in order and once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from service.committer.client import ThreadCommitter
from service.domain.ids import SubscriptionId
from service.http.app import create_app
from service.processes.startup import make_folders
from service.runtime.settings import load
from tests.support.api import OPERATOR_KEY, Clock, Json, Server, Tenant, ok, refused, served
from tests.support.databases import Cluster
from tests.support.deletion_requests import SECONDS, ask, carry_out, deletion, done, host, outcome, stored
from tests.support.events import events
from tests.support.running_server import COMMITTER, arm
from tests.support.serving import set_operator_key
from tests.support.standing_server import Standing, standing_server, workspace
from tests.support.standing_server import Tenant as SmallTenant
from tests.support.trees import COUNTS, live, records_of, tree
from tests.support.waiting import until

WHOLE_TREE = {"workspaces": 1, "folders": 2, "jobs": 2, "workflows": 2, "jobpackages": 1, "connectors": 1}


@pytest.fixture(scope="module")
def quiet(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that does not look for requests: the test says which host does, and when."""
    database, clock = cluster.migrated(), Clock()
    settings, _ = load({"data_dir": tmp_path_factory.mktemp("quiet")}, {})
    make_folders(settings)
    set_operator_key(database, clock, OPERATOR_KEY)
    with served(create_app(settings, database_url=database.url, clock=clock), database, clock) as server:
        committer = server.context.committer
        assert isinstance(committer, ThreadCommitter)
        committer._requests.stop()
        yield server


@pytest.fixture(scope="module")
def standing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A server whose committer dies at a failpoint."""
    with standing_server(cluster, tmp_path_factory.mktemp("standing")) as standing:
        yield standing


@pytest.fixture
def alone(quiet: Server) -> Tenant:
    """A subscription of the quiet server."""
    return Tenant(quiet)


def roots(tenant: Tenant) -> list[str]:
    """The deletions of a subscription, newest first."""
    return [each["deletion_id"] for each in tenant.vera.pages(f"{tenant.path}/deletions", cascade_level=0)]


# -- deletions ----------------------------------------------------------------------------------------


def test_a_running_service_deletes_what_was_asked_for_as_if_by_a_call(
    tenant: Tenant, stranger: Tenant
) -> None:
    made = tree(tenant)
    gone = tenant.make("workflows", job_id=made["jobs"]["resource_id"])
    tenant.remove(gone)
    others = live(tenant) - {each["resource_id"] for each in made.values()}
    tree(stranger)
    footprint, commits = stranger.footprint(), len(tenant.git("log", "--format=%H", "main").split())
    request = ask(tenant, made["workspaces"])
    assert request == {"request_id": request["request_id"], "state": "waiting"} | WHOLE_TREE
    row = done(tenant.server.database, request)
    assert row["problem"] is None
    found = deletion(tenant, row["deletion_id"])
    assert (found["counts"], found["is_soft_delete"]) == (WHOLE_TREE, True)
    assert (found["deleted_by"], found["deleted_by_username"]) == (tenant.ana.user_id, "ana")
    assert found["deletion_reason"] == f"requested in SQL: deletion-request-{request['request_id']}"
    at, expiry = (datetime.fromisoformat(found[name]) for name in ("deleted_at", "restore_expiry_at"))
    assert expiry - at == timedelta(days=30)
    assert len(tenant.git("log", "--format=%H", "main").split()) == commits + 1
    assert live(tenant) == others != set()
    assert gone["resource_id"] not in {each["resource_id"] for each in records_of(tenant, found)}
    assert tenant.restore(found)["restored"] == WHOLE_TREE
    assert stranger.footprint() == footprint


def test_the_audit_log_says_who_and_how(alone: Tenant) -> None:
    made = tree(alone)
    request = ask(alone, made["workspaces"], by=alone.ben.user_id)
    carry_out(alone)
    [event] = events(alone, action="DELETE")
    assert (event["user_id"], event["username"]) == (alone.ben.user_id, "ben")
    assert (event["api_endpoint"], event["http_method"]) == ("cascade_delete_workspace", "SQL")
    assert event["request_id"] == f"deletion-request-{request['request_id']}"
    assert (event["status"], event["new_values"]["counts"]) == ("success", WHOLE_TREE)
    trailer = alone.git("log", "-1", "--format=%(trailers:key=Annals-Request,valueonly)", "main")
    assert trailer.strip() == event["request_id"]


def test_a_policy_of_the_subscription_holds_for_it(alone: Tenant) -> None:
    rule = {"resource_type": "workspace", "action": "DELETE", "depth": "metadata"}
    ok(alone.ana.put(f"{alone.path}/audit-policy", {"rules": [rule]}))
    ask(alone, alone.make("workspaces"))
    carry_out(alone)
    [event] = events(alone, action="DELETE")
    assert (event["status"], event["new_values"]) == ("success", None)


def test_without_a_third_argument_it_is_soft(alone: Tenant) -> None:
    made = alone.make("workspaces")
    query = "SELECT cascade_delete_workspace(%s, %s)"
    request = alone.server.database.value(query, made["resource_id"], alone.ana.user_id)
    carry_out(alone)
    assert deletion(alone, outcome(alone, request)[0])["is_soft_delete"] is True


def test_what_lives_is_deleted_and_then_for_good(alone: Tenant) -> None:
    made = tree(alone)
    request = ask(alone, made["workspaces"], softly=False)
    assert {name: request[name] for name in WHOLE_TREE} == WHOLE_TREE
    carry_out(alone)
    found = deletion(alone, outcome(alone, request)[0])
    assert (found["is_soft_delete"], found["can_be_restored"], found["restore_expiry_at"]) == (
        False,
        False,
        None,
    )
    assert found["counts"] == WHOLE_TREE
    hard, soft = roots(alone)
    assert hard == found["deletion_id"]
    assert deletion(alone, soft)["purged_at"] == found["deleted_at"]
    refused(alone.vera.get(alone.at(made["workspaces"])), 404, "resource_not_found")
    refused(alone.ben.post(f"{alone.path}/deletions/{soft}/restore"), 410, "not_restorable")


def test_what_is_deleted_is_deleted_for_good_and_nothing_lives_to_be_counted(alone: Tenant) -> None:
    made = tree(alone)
    soft = alone.remove(made["workspaces"])
    request = ask(alone, made["workspaces"], softly=False)
    assert {name: request[name] for name in COUNTS} == COUNTS
    carry_out(alone)
    assert roots(alone) == [outcome(alone, request)[0], soft["deletion_id"]]
    assert deletion(alone, roots(alone)[0])["counts"] == WHOLE_TREE


# -- refusals -----------------------------------------------------------------------------------------


def test_a_held_check_out_is_in_the_way_and_the_request_says_so(alone: Tenant) -> None:
    made, _ = tree(alone), alone.aud
    alone.check_out(made["workflows"], alone.ben)
    footprint = alone.footprint()
    for softly in (True, False):
        request = ask(alone, made["workspaces"], softly=softly)
        carry_out(alone)
        deletion_id, problem = outcome(alone, request)
        assert deletion_id is None
        assert problem is not None
        assert problem.startswith("checked_out: Check-outs of 1 resource are held by ben")
        [event] = events(alone, action="DELETE", request_id=f"deletion-request-{request['request_id']}")
        assert (event["status"], event["error_message"]) == ("failed", problem)
        assert event["resource_name"] == made["workspaces"]["name"]
    assert alone.footprint() == footprint
    ok(alone.ben.delete(f"{alone.at(made['workflows'])}/check-out"), 204)
    request = ask(alone, made["workspaces"])
    carry_out(alone)
    assert outcome(alone, request) == (roots(alone)[0], None)


def test_what_was_deleted_before_its_turn_is_told(alone: Tenant) -> None:
    made = alone.make("workspaces")
    request = ask(alone, made)
    alone.remove(made)
    carry_out(alone)
    assert outcome(alone, request) == (
        None,
        "resource_deleted: The workspace was deleted: restore it first.",
    )


@pytest.mark.parametrize("softly", [True, False])
def test_an_unknown_workspace_or_user_is_refused_at_once(alone: Tenant, quiet: Server, softly: bool) -> None:
    made, elsewhere = alone.make("workspaces"), Tenant(quiet, "elsewhere")
    with pytest.raises(psycopg.errors.NoDataFound, match="there is no workspace"):
        ask(alone, {"resource_id": str(uuid4())}, softly=softly)
    for user_id in (str(uuid4()), elsewhere.ana.user_id):
        with pytest.raises(psycopg.errors.NoDataFound, match=f"there is no user {user_id}"):
            ask(alone, made, softly=softly, by=user_id)
    assert requests(alone) == 0


def test_what_is_deleted_is_not_deleted_softly_again(alone: Tenant) -> None:
    made = alone.make("workspaces")
    alone.remove(made)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="deleted already"):
        ask(alone, made)
    assert requests(alone) == 0


@pytest.mark.parametrize("role", ["annals_service", "annals_ingest", "annals_retention"])
@pytest.mark.parametrize(
    "what",
    [
        "SELECT cascade_delete_workspace(gen_random_uuid(), gen_random_uuid())",
        "INSERT INTO deletion_requests (request_id) VALUES (gen_random_uuid())",
        "DELETE FROM deletion_requests",
        "TRUNCATE deletion_requests",
        "UPDATE deletion_requests SET workspace_id = gen_random_uuid()",
        "UPDATE deletion_requests SET requested_by = gen_random_uuid()",
        "UPDATE deletion_requests SET is_soft_delete = false",
    ],
)
def test_no_role_of_the_service_asks_for_a_deletion(quiet: Server, role: str, what: LiteralString) -> None:
    with (
        quiet.database.connection(role, "platform") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(what)


def test_the_owner_may_ask_and_so_may_whom_it_grants_that_alone(alone: Tenant) -> None:
    made = alone.make("workspaces")
    query = "SELECT cascade_delete_workspace(%s, %s)->>'state'"
    values = [made["resource_id"], alone.ana.user_id]
    grant = "GRANT EXECUTE ON FUNCTION cascade_delete_workspace(uuid, uuid, boolean) TO annals_ingest"
    with alone.server.database.connection() as connection, connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL ROLE annals_owner")
        assert connection.execute(query, values).fetchone() == ("waiting",)
        connection.execute(grant)
        connection.execute("SET LOCAL ROLE annals_ingest")
        assert connection.execute(query, values).fetchone() == ("waiting",)


# -- in order, and once -------------------------------------------------------------------------------


def requests(tenant: Tenant) -> int:
    query = "SELECT count(*) FROM deletion_requests WHERE subscription_id = %s"
    count: int = tenant.server.database.value(query, tenant.subscription_id)
    return count


def test_two_that_wait_for_the_same_are_one(alone: Tenant) -> None:
    made = tree(alone)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(alone, made["workspaces"]), range(24)))
    assert len({answer["request_id"] for answer in answers}) == requests(alone) == 1
    assert ask(alone, made["workspaces"], by=alone.ben.user_id) == answers[0]
    carry_out(alone)
    assert roots(alone) == [outcome(alone, answers[0])[0]]


def test_requests_are_carried_out_in_their_order(alone: Tenant) -> None:
    made = [alone.make("workspaces") for _ in range(3)]
    asked = [ask(alone, made[number]) for number in (2, 0, 1)]
    for_good = ask(alone, made[2], softly=False)
    carry_out(alone)
    order = [outcome(alone, request)[0] for request in (*asked, for_good)]
    assert roots(alone) == order[::-1]
    assert deletion(alone, order[-1])["is_soft_delete"] is False


def test_of_many_hosts_one_carries_a_request_out(alone: Tenant) -> None:
    asked = [ask(alone, alone.make("workspaces")) for _ in range(8)]
    subscription_id = SubscriptionId(UUID(alone.subscription_id))
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        hosts = [stack.enter_context(host(alone.server)) for _ in range(3)]
        rounds = 0
        while any(stored(alone.server.database, request)["done_at"] is None for request in asked):
            assert all(pool.map(lambda each: each.carry_out(subscription_id), hosts))
            rounds += 1
            assert rounds < SECONDS
    assert roots(alone) == [outcome(alone, request)[0] for request in reversed(asked)]


def test_where_a_store_is_away_requests_wait_and_hold_up_no_other_subscription(quiet: Server) -> None:
    away, well = Tenant(quiet, "away"), Tenant(quiet, "well")
    asked = {tenant: ask(tenant, tenant.make("workspaces")) for tenant in (away, well)}
    aside = away.repository.rename(away.repository.with_suffix(".aside"))
    with host(quiet) as other:
        assert other._look() is False
    assert stored(quiet.database, asked[away])["done_at"] is None
    assert outcome(well, asked[well]) == (roots(well)[0], None)
    aside.rename(away.repository)
    with host(quiet) as other:
        assert other._look() is True
    assert outcome(away, asked[away]) == (roots(away)[0], None)


def test_a_host_that_is_stopping_leaves_a_request_to_the_next(alone: Tenant) -> None:
    request = ask(alone, alone.make("workspaces"))
    with host(alone.server) as stopping:
        stopping._group.stop()
        assert stopping.carry_out(SubscriptionId(UUID(alone.subscription_id))) is False
    assert stored(alone.server.database, request)["done_at"] is None


def forget(tenant: Tenant, request: Json) -> None:
    """Make a request wait again, as if the process died before it recorded the outcome."""
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE deletion_requests SET done_at = NULL, deletion_id = NULL WHERE request_id = %s",
            [request["request_id"]],
        )


@pytest.mark.parametrize("softly", [True, False])
def test_what_was_done_and_not_noted_is_not_done_again(alone: Tenant, softly: bool) -> None:
    request = ask(alone, tree(alone)["workspaces"], softly=softly)
    carry_out(alone)
    before, footprint = outcome(alone, request), alone.footprint()
    forget(alone, request)
    carry_out(alone)
    assert outcome(alone, request) == before
    assert alone.footprint() == footprint


def test_not_even_where_it_was_restored_meanwhile(alone: Tenant) -> None:
    made = tree(alone)
    request = ask(alone, made["workspaces"])
    carry_out(alone)
    before = outcome(alone, request)
    alone.restore(deletion(alone, before[0]))
    forget(alone, request)
    carry_out(alone)
    assert outcome(alone, request) == before
    assert made["workspaces"]["resource_id"] in live(alone)


@pytest.mark.parametrize(
    ("place", "softly"), [("committed", True), ("answer-ready", True), ("committed", False)]
)
def test_death_between_the_commit_and_its_note_deletes_once(
    standing: Standing, place: str, softly: bool
) -> None:
    server, database = standing.server, standing.database
    tenant = SmallTenant(server.url)
    with tenant.client(server.url) as client:
        made = workspace(client, "w")
    [before] = server.pids(COMMITTER)
    asked: list[Any] = [made["resource_id"], made["created_by"], softly]
    arm(standing.failpoint, f"{place}:kill")
    request = database.value("SELECT cascade_delete_workspace(%s, %s, %s)", *asked)
    until(lambda: server.pids(COMMITTER) not in ([], [before]))
    row = done(database, request)
    assert standing.failpoint.with_suffix(".fired").exists()
    assert row["problem"] is None
    found = database.rows(
        "SELECT deletion_id::text, is_soft_delete FROM deletion_logs WHERE subscription_id = %s ORDER BY 2",
        tenant.subscription_id,
    )
    assert found[0] == (row["deletion_id"], softly)
    assert len(found) == (1 if softly else 2)
    # Two versions, and a commit of each deletion.
    commits = "SELECT commits FROM repositories WHERE subscription_id = %s"
    assert database.value(commits, tenant.subscription_id) == 2 + len(found)
