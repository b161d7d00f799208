"""A tree of 2,371 resources: one commit deletes it and one restores it, exactly and fast."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

import httpx
import orjson
import pytest
from psycopg import sql

from bench import load
from tests.support.api import COLLECTIONS, Json, Server, Tenant

COUNTS = {
    "workspaces": 1,
    "folders": 20,
    "jobs": 200,
    "workflows": 2_000,
    "jobpackages": 100,
    "connectors": 50,
}
DEEP = 3
CLIENTS = 16
MOST_SECONDS = 10
BRANCHES = ("main", "published")
# Rows that a deletion ends and a restore begins anew are compared without their beginnings.
STANDING: dict[str, LiteralString] = {
    "versions": "SELECT to_jsonb(t) - 'unversioned_changes' FROM versions t WHERE subscription_id = {0}",
    "tags": "SELECT to_jsonb(t) FROM tags t WHERE subscription_id = {0}",
    "publications": "SELECT jsonb_build_array(resource_id, version_id) FROM publications"
    " WHERE subscription_id = {0} AND unpublished_at IS NULL",
}


@dataclass(frozen=True)
class State:
    """The state at a time: rows by table, the branches' trees, their numbers of commits, the tags."""

    rows: dict[str, list[Any]]
    trees: list[str]
    commits: list[int]
    tags: str

    @property
    def living(self) -> dict[str, int]:
        """The number of live resources of each kind."""
        return {name: sum(row["deleted_at"] is None for row in self.rows[name]) for name in COLLECTIONS}


@dataclass(frozen=True)
class Story:
    """The two answers, their seconds, and the states before, between and after."""

    deletion: Json
    restoration: Json
    seconds: tuple[float, float]
    before: State
    between: State
    after: State


@pytest.fixture(scope="module")
def story(server: Server) -> Story:
    """Delete and restore a large tree beside a small one."""
    tenant = Tenant(server, "large")
    workspace = filled(tenant)
    before = state(tenant)
    deletion, fell_in = timed(lambda: tenant.remove(workspace, tenant.ben))
    between = state(tenant)
    restoration, came_back_in = timed(lambda: tenant.restore(deletion))
    return Story(deletion, restoration, (fell_in, came_back_in), before, between, state(tenant))


def filled(tenant: Tenant) -> Json:
    """A workspace with the tree in it; every tenth workflow has a published version with a tag."""
    # The small tree: resources without a given parent are made in it.
    assert tenant.job_id
    workspace = tenant.make("workspaces")
    folders: list[Json] = []
    for number in range(COUNTS["folders"]):
        outer = {"parent_folder_id": folders[-1]["resource_id"]} if number % DEEP else {}
        folders.append(tenant.make("folders", workspace_id=workspace["resource_id"], **outer))

    def make(collection: str, field: str, parents: list[Json]) -> list[Json]:
        places = [parents[number % len(parents)]["resource_id"] for number in range(COUNTS[collection])]
        bodies = [{"name": f"number {at}", field: place} for at, place in enumerate(places)]
        return posted(tenant, [(f"{tenant.path}/{collection}", body) for body in bodies])

    make("connectors", "workspace_id", [workspace])
    make("jobpackages", "folder_id", folders)
    workflows = make("workflows", "job_id", make("jobs", "folder_id", folders))
    release = {"data": {"n": 2}, "tag": "release", "publish": True}
    posted(tenant, [(f"{tenant.at(each)}/versions", release) for each in workflows[::10]])
    return workspace


def posted(tenant: Tenant, calls: list[tuple[str, Json]]) -> list[Json]:
    """The resources that many clients made, by the load generator of bench: httpx takes twice as long."""
    address = httpx.URL(tenant.server.url)
    key = str(tenant.ana.key)
    chains = []
    for at, (path, body) in enumerate(calls):
        content = orjson.dumps(body)
        request = load.http_request(
            "POST", path, host=address.host, key=key, request_id=f"fill-{at}", body=content
        )
        chains.append([load.Call("post", request, 201, f"fill-{at}")])
    outcome = load.run((address.host, address.port or 80), chains, clients=CLIENTS)
    return [orjson.loads(each.body) for each in sorted(outcome.answers, key=lambda answer: answer.chain)]


def state(tenant: Tenant) -> State:
    queries: dict[str, LiteralString] = dict.fromkeys(
        COLLECTIONS, "SELECT to_jsonb(t) FROM {1} t WHERE subscription_id = {0}"
    )
    with tenant.server.database.connection() as connection:
        rows = {
            table: sorted(
                (
                    row
                    for [row] in connection.execute(
                        sql.SQL(query).format(sql.Literal(tenant.subscription_id), sql.Identifier(table))
                    )
                ),
                key=str,
            )
            for table, query in (queries | STANDING).items()
        }
    return State(
        rows=rows,
        trees=[tenant.git("rev-parse", f"{branch}^{{tree}}") for branch in BRANCHES],
        commits=[int(tenant.git("rev-list", "--count", branch)) for branch in BRANCHES],
        tags=tenant.git("for-each-ref", "refs/tags"),
    )


def timed(step: Callable[[], Json]) -> tuple[Json, float]:
    began = time.monotonic()
    return step(), time.monotonic() - began


def test_all_of_it_falls_and_comes_back_and_nothing_else(story: Story) -> None:
    small = {"workspaces": 1, "folders": 1, "jobs": 1, "workflows": 0, "jobpackages": 0, "connectors": 0}
    assert story.deletion["counts"] == story.restoration["restored"] == COUNTS
    assert story.between.living == small
    assert story.before.living == story.after.living == {name: small[name] + COUNTS[name] for name in small}


def test_each_step_is_one_commit_of_each_branch(story: Story) -> None:
    main, published = story.before.commits
    assert story.between.commits == [main + 1, published + 1]
    assert story.after.commits == [main + 2, published + 2]


def test_the_trees_of_both_branches_are_those_of_before(story: Story) -> None:
    assert story.between.trees[0] != story.before.trees[0]
    assert story.between.trees[1] != story.before.trees[1]
    assert story.after.trees == story.before.trees
    total = sum(COUNTS.values())
    assert total == 2_371
    assert story.restoration["blobs"] == {"compared": total, "equal": total}


def test_every_row_version_tag_and_publication_is_as_before(story: Story) -> None:
    assert len(story.before.rows["versions"]) == sum(COUNTS.values()) + COUNTS["workflows"] // 10 + 3
    assert len(story.before.rows["publications"]) == len(story.before.rows["tags"]) == 200
    assert story.between.rows["publications"] == []
    assert story.after.rows == story.before.rows
    assert story.after.tags == story.between.tags == story.before.tags
    assert story.before.tags.count("\n") == 200


def test_each_step_takes_less_than_ten_seconds(story: Story) -> None:
    assert max(story.seconds) < MOST_SECONDS
