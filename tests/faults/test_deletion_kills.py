"""Kill the committer at each place of a deletion and a restore: all of the change is stored, or none."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.faults.fault_calls import Attempt, Json, Wire, make, member
from tests.faults.fault_cells import OF_THE_COMMITTER
from tests.faults.fault_stage import Stage, staged
from tests.support.api import git, snapshot_path
from tests.support.databases import Cluster, Database
from tests.support.histories import (
    check_deletions,
    check_history,
    check_main,
    check_published,
    files,
    head_of_row,
)
from tests.support.running_server import OPERATOR_KEY

# A deletion or restore does not pass the places of tags.
PLACES = [name for name in OF_THE_COMMITTER if not name.startswith("tags-")]
# A change is stored once its write has reached one of these places.
DURABLE = PLACES[PLACES.index("committed") :]
# The two branches are moved one after the other, so the place is passed twice.
CASES = [*(f"{place}:kill" for place in PLACES), "ref-moved:kill:2"]
PURGED_AT = ["repository-locked", "pack-durable", "rows-written", "committed", "ref-moved", "answer-ready"]
SECONDS = 20
# Columns of a record: it is soft, it can be restored, it was restored, it was purged.
OPEN, RESTORED = (True, True, False, False), (True, False, True, False)
PURGED, FOR_GOOD = (True, False, False, True), (False, False, False, False)


@dataclass(slots=True)
class Side:
    """The part of a server that the checks of histories need."""

    database: Database


class Scene:
    """A subscription on a server whose committer is killed; it is checked between two kills."""

    def __init__(self, stage: Stage) -> None:
        operator = Wire(stage.port, OPERATOR_KEY)
        made = make(operator, "POST", "/v1/subscriptions", {"name": "kills"})
        self.subscription_id: str = made["subscription_id"]
        self.base = f"/v1/subscriptions/{self.subscription_id}"
        self.wire = Wire(stage.port, member(operator, self.base, "ana", "admin")["api_key"])
        operator.close()
        self.stage = stage
        self.server = Side(stage.database)
        self.repository = stage.git_dir / f"{self.subscription_id}.git"

    def git(self, *arguments: str) -> str:
        return git(self.repository, *arguments)

    def main(self) -> str:
        return self.git("rev-parse", "main").strip()

    # -- calls ------------------------------------------------------------------------------------------

    def send(
        self, method: str, path: str, body: Json | None = None, key: str | None = None
    ) -> tuple[Attempt, Json]:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.wire.send(method, self.base + path, body, headers)

    def read(self, path: str) -> list[Json]:
        return list(self.done("GET", path)["items"])

    def done(self, method: str, path: str, body: Json | None = None, key: str | None = None) -> Json:
        """Make a call that has to succeed; returns its answer."""
        attempt, answer = self.send(method, path, body, key)
        assert attempt.outcome == 200, answer
        return answer

    def kill(
        self, case: str, method: str, path: str, body: Json | None = None, key: str | None = None
    ) -> None:
        """Make a call while the committer is killed at a place: the answer is 503 `outcome_unknown`."""
        before = self.stage.committer()
        self.stage.arm(case)
        attempt, _ = self.send(method, path, body, key)
        assert self.stage.fired(SECONDS), f"{case} did not happen"
        assert (attempt.outcome, attempt.code) == (503, "outcome_unknown")
        until(lambda: self.stage.committer() not in (None, before))
        until(self.has_followed)

    def has_followed(self) -> bool:
        """True if the refs name the commits of their rows."""
        query = "SELECT published_commit FROM repositories WHERE subscription_id = %s"
        published = self.server.database.value(query, self.subscription_id)
        listed = self.git("for-each-ref", "--format=%(objectname)", "refs/heads/published").strip()
        return (self.main(), listed) == (head_of_row(self), published)

    # -- what there is ----------------------------------------------------------------------------------

    def tree(self) -> dict[str, Json]:
        """Make a workspace, a folder, a job and two workflows: one has two versions, the first published."""
        made: dict[str, Json] = {}
        for kind, name, field, parent in (
            ("workspace", "workspace", None, ""),
            ("folder", "folder", "workspace_id", "workspace"),
            ("job", "job", "folder_id", "folder"),
            ("workflow", "one", "job_id", "job"),
            ("workflow", "two", "job_id", "job"),
        ):
            place = {} if field is None else {field: made[parent]["resource_id"]}
            body = {"name": f"{name} {uuid4()}", **place}
            made[name] = make(self.wire, "POST", f"{self.base}/{kind}s", body)
        at = f"{self.base}{at_of(made['one'])}/versions"
        make(self.wire, "POST", at, {"data": {"n": 2}, "tag": "v2"})
        make(self.wire, "POST", f"{at}/1/publish", {}, 200)
        return made

    def living(self, made: dict[str, Json]) -> set[str]:
        """Return the names of the resources that are not deleted."""
        found = set()
        for name, each in made.items():
            attempt, shown = self.send("GET", at_of(each))
            if attempt.outcome == 200 and shown["deleted_at"] is None:
                found.add(name)
        return found

    def records(self, made: dict[str, Json]) -> list[tuple[Any, ...]]:
        """Return the number of deletion records of the resources, by state."""
        rows = self.server.database.rows(
            "SELECT is_soft_delete, can_be_restored, restored_at IS NOT NULL, purged_at IS NOT NULL,"
            " count(*), count(DISTINCT root_deletion_id), count(DISTINCT git_commit_hash)"
            " FROM deletion_logs WHERE subscription_id = %s AND resource_id = ANY(%s::uuid[])"
            " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            self.subscription_id,
            [each["resource_id"] for each in made.values()],
        )
        return [tuple(row) for row in rows]

    def trees(self) -> list[dict[str, str]]:
        """Return the files of both branches."""
        return [files(self, branch) for branch in ("main", "published")]

    def check(self) -> None:
        """Check that rows, records and both branches agree."""
        check_main(self)
        check_published(self)
        check_deletions(self)

    def commits(self) -> int:
        return len(self.git("rev-list", "main").split())


def at_of(resource: Json) -> str:
    return f"/{resource['resource_type']}s/{resource['resource_id']}"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("kills")
    with staged(folder, cluster) as stage:
        scene = Scene(stage)
        yield scene
        check_history(scene)
        assert stage.verify(scene.subscription_id) == ""
        scene.wire.close()
        assert stage.end() == []


def is_durable(case: str) -> bool:
    """Return True if a change is stored whose committer was killed at this place."""
    return case.partition(":")[0] in DURABLE


@pytest.mark.sampled(8)
@pytest.mark.parametrize("case", CASES)
def test_a_deletion_is_whole_or_has_not_been(scene: Scene, case: str) -> None:
    made = scene.tree()
    root, is_there = made["workspace"], is_durable(case)
    before, commits = scene.trees(), scene.commits()

    scene.kill(case, "DELETE", at_of(root))

    assert scene.living(made) == (set() if is_there else made.keys())
    assert scene.records(made) == ([(*OPEN, 5, 1, 1)] if is_there else [])
    assert (scene.trees() == before, scene.commits()) == (not is_there, commits + is_there)
    scene.check()
    retried, _ = scene.send("DELETE", at_of(root))
    expected = (409, "resource_deleted") if is_there else (200, "")
    assert (retried.outcome, retried.code) == expected
    # The deletion happened once, either before the kill or by the retry.
    assert scene.living(made) == set()
    assert scene.records(made) == [(*OPEN, 5, 1, 1)]
    assert scene.commits() == commits + 1
    path, deletion = restoring(scene, root)
    assert scene.main() == deletion["git_commit_hash"]
    assert scene.done("POST", path, {})["restored"] == deletion["counts"]
    assert scene.trees() == before


def restoring(scene: Scene, root: Json) -> tuple[str, Json]:
    """Return the path that restores the only deletion of a root, and that deletion."""
    [deletion] = scene.read(f"/deletions?resource_id={root['resource_id']}")
    return f"/deletions/{deletion['deletion_id']}/restore", deletion


@pytest.mark.sampled(8)
@pytest.mark.parametrize(
    ("case", "renames"),
    [(case, False) for case in CASES]
    + [(f"{place}:kill", True) for place in ("pack-durable", "rows-written", "committed", "ref-moved")],
)
def test_a_restore_is_whole_or_has_not_been(scene: Scene, case: str, renames: bool) -> None:
    made = scene.tree()
    root, is_there, key = made["workspace"], is_durable(case), str(uuid4())
    name = f"again {key}" if renames else root["name"]
    before, commits = scene.trees(), scene.commits()
    scene.done("DELETE", at_of(root))
    between = scene.trees()
    path, deletion = restoring(scene, root)
    body = {"resolve": {"rename": name}}

    scene.kill(case, "POST", path, body, key)

    assert scene.living(made) == (made.keys() if is_there else set())
    assert scene.records(made) == [(*(RESTORED if is_there else OPEN), 5, 1, 1)]
    assert scene.commits() == commits + 1 + is_there
    assert (scene.trees() == between) == (not is_there)
    scene.check()
    answers = [scene.done("POST", path, body, key) for _ in range(2)]
    # The restore happened once, either before the kill or by a retry, and each retry gets the same answer.
    assert answers[0] == answers[1]
    assert (answers[0]["restored"], answers[0]["commit"]) == (deletion["counts"], scene.main())
    assert answers[0]["blobs"] == {"compared": 5 - renames, "equal": 5 - renames}
    attempt, _ = scene.send("POST", path, body)
    assert (attempt.outcome, attempt.code) == (409, "restore_conflict")
    assert scene.living(made) == made.keys()
    assert scene.records(made) == [(*RESTORED, 5, 1, 1)]
    assert scene.commits() == commits + 2
    shown = scene.done("GET", at_of(root))
    assert (shown["name"], shown["current_version"]) == (name, 1 + renames)
    now, own = scene.trees(), snapshot_path(root)
    assert (now[0].pop(own) == before[0].pop(own)) == (not renames)
    assert now == before


@pytest.mark.parametrize("case", [f"{place}:kill" for place in PURGED_AT])
def test_a_deletion_for_good_is_whole_or_has_not_been(scene: Scene, case: str) -> None:
    made = scene.tree()
    root, is_there = made["workspace"], is_durable(case)
    scene.done("DELETE", at_of(root))
    path, _ = restoring(scene, root)
    before, commits = scene.trees(), scene.commits()
    gone = [(*FOR_GOOD, 5, 1, 1), (*PURGED, 5, 1, 1)]

    scene.kill(case, "DELETE", f"{at_of(root)}?permanent=true")

    assert scene.records(made) == (gone if is_there else [(*OPEN, 5, 1, 1)])
    assert scene.commits() == commits + is_there
    scene.check()
    attempt, _ = scene.send("DELETE", f"{at_of(root)}?permanent=true")
    assert attempt.outcome == (404 if is_there else 200)
    for each in made.values():
        attempt, _ = scene.send("GET", at_of(each))
        assert attempt.outcome == 404
    attempt, _ = scene.send("POST", path, {})
    assert (attempt.outcome, attempt.code) == (410, "not_restorable")
    assert scene.records(made) == gone
    assert (scene.trees(), scene.commits()) == (before, commits + 1)
