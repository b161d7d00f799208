"""Checks after every crash: each acknowledged change is there, once, and rows and git agree."""

import json
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

from tests.faults.fault_calls import Operation, Stuck
from tests.faults.fault_journal import Acknowledged, Own
from tests.faults.fault_load import Load
from tests.faults.fault_stage import Stage
from tests.faults.fault_trees import Tree
from tests.support.api import git, run_git, snapshot_path
from tests.support.databases import Database
from tests.support.histories import check_history, head_of_row, objects

# The committer moves the refs when it starts again, which takes about a second.
FOLLOW_SECONDS = 20
# So many versions are read over HTTP after each kill; the others are read from git, and all by the clone.
READ_OVER_HTTP = 6

# Each version is a change of its own, and each restore is one more change of the resource's version at that
# time.
_ONE_CHANGE_EACH: LiteralString = """
SELECT resource_id, version_number, changes - returns FROM (
  SELECT v.resource_id, v.version_number, count(d.change_id) AS changes,
    (SELECT count(restored_at) FROM deletion_logs l WHERE l.version_id = v.version_id) AS returns
  FROM versions v
  LEFT JOIN data_change_history d ON d.subscription_id = v.subscription_id
    AND d.record_id = v.resource_id::text AND d.new_data ->> 'version_id' = v.version_id::text
  WHERE v.subscription_id = %s GROUP BY v.version_id
) AS each WHERE changes - returns <> 1
"""
_ONE_EVENT_EACH: LiteralString = """
SELECT v.resource_id, v.version_number, count(a.audit_id) FROM versions v
LEFT JOIN audit_logs a ON a.subscription_id = v.subscription_id
  AND a.action IN ('CREATE', 'UPDATE', 'CHECK_IN', 'ROLLBACK')
  AND a.new_values ->> 'version_id' = v.version_id::text AND NOT a.new_values ? 'unchanged'
WHERE v.subscription_id = %s GROUP BY v.version_id HAVING count(a.audit_id) <> 1
"""
# A deletion is a change as well; the changes of each resource are numbered without a gap.
_CHANGES: LiteralString = """
SELECT record_id, count(*), min(version_number), max(version_number), count(DISTINCT version_number),
  count(*) FILTER (WHERE change_type = 'DELETE'),
  (SELECT count(*) FROM deletion_logs l
    WHERE l.subscription_id = d.subscription_id AND l.resource_id::text = d.record_id)
FROM data_change_history d WHERE subscription_id = %s
  AND table_name NOT IN ('subscriptions', 'users', 'api_keys', 'audit_policies')
GROUP BY subscription_id, record_id
"""
_DELETIONS: LiteralString = """
SELECT root_deletion_id::text, git_commit_hash, count(*), count(restored_at), min(restored_commit_hash)
FROM deletion_logs WHERE subscription_id = %s GROUP BY 1, 2
"""
_FALLEN: LiteralString = """
SELECT count(*), count(restored_at), count(purged_at), count(*) FILTER (WHERE NOT is_soft_delete),
  max(deletion_id::text) FILTER (WHERE can_be_restored)
FROM deletion_logs WHERE subscription_id = %s AND resource_id = %s
"""
_VERSIONS: LiteralString = """
SELECT version_id::text, version_number, resource_id::text, git_commit_hash, version_tag, is_published
FROM versions WHERE subscription_id = %s
"""
_EVENTS: LiteralString = """
SELECT DISTINCT request_id FROM audit_logs WHERE subscription_id = %s AND request_id = ANY(%s)
  AND status = 'success' AND action <> 'LOGIN'
"""
_SETTLED: LiteralString = """
SELECT head_commit, published_commit, NOT EXISTS (SELECT 1 FROM tags t
  WHERE t.subscription_id = r.subscription_id AND NOT t.ref_is_settled)
FROM repositories r WHERE subscription_id = %s
"""

# Operations of which each makes a commit of `main`; deletions have no Idempotency-Key.
_COMMITTING = {"create", "save", "check-in", "bulk", "rollback", "restore"}
_DELETING = {"delete", "contend", "purge"}


@dataclass(slots=True)
class Found:
    """The result of a check: acknowledged changes, the truth about unknown outcomes, and violations."""

    operations: int = 0
    versions: int = 0
    became: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Add the counts and violations of another result."""
        self.operations += other.operations
        self.versions += other.versions
        self.became += other.became
        self.answers += other.answers
        self.wrong += other.wrong


@dataclass(slots=True)
class _Side:
    database: Database


class Watched:
    """A subscription under load, in the form that the checks of histories take."""

    def __init__(self, stage: Stage, load: Load) -> None:
        self._stage = stage
        self._load = load
        self._known: dict[str, tuple[Any, ...]] = {}

    @property
    def subscription_id(self) -> str:
        return self._load.subscription_id

    @property
    def server(self) -> _Side:
        return _Side(self._stage.database)

    @property
    def repository(self) -> Path:
        return self._stage.git_dir / f"{self.subscription_id}.git"

    def git(self, *arguments: str) -> str:
        return git(self.repository, *arguments)

    def main(self) -> str:
        return self.git("for-each-ref", "--format=%(objectname)", "refs/heads/main").strip()

    def check(self) -> Found:
        """Check the changes since the last check, and all rows; the clients must be paused."""
        found = Found()
        operations, acknowledged = self._load.journal.taken()
        try:
            self._wait_for_refs()
            check_history(self, fsck=False)
            found.wrong += self._each_recorded()
            found.wrong += self._rows_as_acknowledged(acknowledged)
            found.wrong += self._contents(acknowledged)
            found.wrong += self._own_as_known()
            found.wrong += self._deletions_as_acknowledged(operations)
            self._judge(operations, found)
        except (AssertionError, Stuck, subprocess.CalledProcessError) as error:
            found.wrong.append(f"{error!r}\n{traceback.format_exc()}")
        found.wrong += self._load.journal.wrong
        self._load.journal.wrong.clear()
        found.versions = len(acknowledged)
        return found

    def check_deeply(self, folder: Path) -> list[str]:
        """Check all acknowledged versions again, with `git fsck --strict`, `annals verify` and a clone."""
        wrong: list[str] = []
        try:
            check_history(self)
            rows = {row[0]: row for row in self._stage.database.rows(_VERSIONS, self.subscription_id)}
            wrong += [
                f"an acknowledged version is gone or differs: {known} → {rows.get(known[0])}"
                for known in self._known.values()
                if rows.get(known[0], ())[:4] != known[:4]
            ]
            url = (
                f"http://git:{self._load.keys[0]}@127.0.0.1:{self._stage.port}/git/{self.subscription_id}.git"
            )
            run_git(self._stage.folder, "clone", "-q", url, str(folder))
            if git(folder, "rev-parse", "HEAD").strip() != head_of_row(self):
                wrong.append("the clone is not at the row's head")
            if said_of_it := self._stage.verify(self.subscription_id):
                wrong.append(said_of_it)
        except (AssertionError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"") or b""
            wrong.append(f"{error!r} {said[:500]!r}\n{traceback.format_exc()}")
        return wrong

    # -- one by one -----------------------------------------------------------------------------------

    def _wait_for_refs(self) -> None:
        """Wait until each ref equals its row, as it must without help after a start."""
        deadline = time.monotonic() + FOLLOW_SECONDS
        while True:
            [(head, published, tags_settled)] = self._stage.database.rows(_SETTLED, self.subscription_id)
            form = "--format=%(refname:short) %(objectname)"
            listed = dict(line.split() for line in self.git("for-each-ref", form, "refs/heads").splitlines())
            if tags_settled and (listed.get("main"), listed.get("published")) == (head, published):
                return
            rows = (head, published, tags_settled)
            assert time.monotonic() < deadline, f"refs did not follow: {listed} for {rows}"
            time.sleep(0.05)

    def _each_recorded(self) -> list[str]:
        database = self._stage.database
        wrong = [
            f"version {number} of {resource_id} has {count} rows of {table}, not one"
            for table, query in (("data_change_history", _ONE_CHANGE_EACH), ("audit_logs", _ONE_EVENT_EACH))
            for resource_id, number, count in database.rows(query, self.subscription_id)
        ]
        changes = database.rows(_CHANGES, self.subscription_id)
        wrong += [
            f"changes of {record_id}: {(first, last, many, each)}, {deletions} deleted, {deleted} recorded"
            for record_id, many, first, last, each, deletions, deleted in changes
            if (first, last, each, deletions) != (1, many, many, deleted)
        ]
        versions = database.value(
            "SELECT count(*) FROM versions WHERE subscription_id = %s", self.subscription_id
        )
        unversioned = database.value(
            "SELECT count(*) + count(restored_at) FROM deletion_logs WHERE subscription_id = %s",
            self.subscription_id,
        )
        due = versions + unversioned
        if (found := sum(each[1] for each in changes)) != due:
            wrong.append(f"{found} rows of data_change_history for {due} versions, deletions and returns")
        return wrong

    def _rows_as_acknowledged(self, acknowledged: Sequence[Acknowledged]) -> list[str]:
        rows = {row[0]: row for row in self._stage.database.rows(_VERSIONS, self.subscription_id)}
        by_place = {(row[2], row[1]): row for row in rows.values()}
        wrong = []
        for each in acknowledged:
            told = each.version
            row = by_place.get((told["resource_id"], told["version_number"]))
            # The answer of a creation does not name the version's id.
            version_id = told.get("version_id", row[0] if row else None)
            if row is None or (row[0], row[3]) != (version_id, told["git_commit_hash"]):
                wrong.append(f"acknowledged, but lost: {each.operation.described()}: {told} → {row}")
            else:
                self._known[row[0]] = row
        return wrong

    def _contents(self, acknowledged: Sequence[Acknowledged]) -> list[str]:
        known = [each for each in acknowledged if each.content is not None]
        paths = [snapshot_path({"resource_type": "workflow"} | each.version) for each in known]
        names = (f"{e.version['git_commit_hash']}:{p}" for e, p in zip(known, paths, strict=True))
        stored = objects(self, names) if known else []
        wrong = [
            f"another content: {each.operation.described()}"
            for each, (_, data) in zip(known, stored, strict=True)
            if json.loads(data)["definition"] != each.content
        ]
        for each, (_, data) in list(zip(known, stored, strict=True))[-READ_OVER_HTTP:]:
            told = each.version
            path = f"/workflows/{told['resource_id']}/versions/{told['version_number']}/data"
            if self._load.wire.read(self._load.base + path) != data:
                wrong.append(f"other bytes over HTTP: {path}")
        return wrong

    def _own_as_known(self) -> list[str]:
        """Compare the resources that one client alone writes with the client's knowledge."""
        rows = self._stage.database.rows(_VERSIONS, self.subscription_id)
        wrong = []
        for client in self._load.clients:
            trees = client.grove.trees
            known = [(own, True) for own in client.own]
            known += [(own, tree.deletion is None) for tree in trees for own in tree.flows]
            for own, lives in known:
                mine = sorted(row[1:] for row in rows if row[2] == own.resource["resource_id"])
                tags = {row[0]: row[3] for row in mine if row[3] is not None}
                published = [row[0] for row in mine if row[4]]
                due = _due(own, lives=lives)
                if (len(mine), tags, published) != due:
                    wrong.append(f"{own.at} is {(len(mine), tags, published)}, and was acknowledged as {due}")
            wrong += [each for tree in trees for each in self._tree_as_known(tree)]
        return wrong

    def _tree_as_known(self, tree: Tree) -> list[str]:
        """Compare the deletions and restores of each resource of a tree with the answers to its client."""
        # A deletion for good deletes a resource that is already deleted, so it adds a deletion without a
        # restore.
        deletions, restores, gone = tree.deletions, tree.restores, int(tree.is_gone)
        of_root = None if tree.is_gone else tree.deletion
        wrong = []
        for each in [tree.job, *(own.resource for own in tree.flows)]:
            [row] = self._stage.database.rows(_FALLEN, self.subscription_id, each["resource_id"])
            due = (deletions + gone, restores, gone, gone)
            root = row[4] if each is tree.job else of_root
            if (row[:4], root, row[4] is None) != (due, of_root, of_root is None):
                wrong.append(f"{each['resource_id']} has {row}, and was told {due}, {of_root}")
        return wrong

    def _deletions_as_acknowledged(self, operations: Sequence[Operation]) -> list[str]:
        """Check each acknowledged deletion and restore for the rows that it counted, all of one commit."""
        rows = {row[0]: row[1:] for row in self._stage.database.rows(_DELETIONS, self.subscription_id)}
        wrong = []
        for each in operations:
            told, row = each.answer, rows.get(each.answer.get("deletion_id", ""))
            if not each.succeeded or each.name not in ("delete", "contend", "purge", "restore"):
                continue
            if each.name == "restore":
                due, found = (sum(told["restored"].values()), told["commit"]), row and row[2:]
            else:
                due, found = (told["git_commit_hash"], sum(told["counts"].values())), row and row[:2]
            if found != due:
                wrong.append(f"{due} was acknowledged, and is {found}: {each.described()}")
        return wrong

    def _judge(self, operations: Sequence[Operation], found: Found) -> None:
        """Check that each acknowledged operation happened once, and that no refused one happened."""
        ids = [attempt.request_id for each in operations for attempt in each.attempts]
        rows = self._stage.database.rows(_EVENTS, self.subscription_id, ids)
        recorded = {request_id for (request_id,) in rows}
        lines = self.git("log", "main", "--format=%(trailers:key=Annals-Request,valueonly,separator=%x2C)")
        commits = Counter(filter(None, lines.splitlines()))
        for each in operations:
            found.operations += each.succeeded
            by = [attempt.request_id in recorded for attempt in each.attempts]
            for attempt in each.attempts:
                found.answers[f"{attempt.outcome} {attempt.code}".strip()] += 1
            made = sum(commits[attempt.request_id] for attempt in each.attempts)
            changed = each.succeeded and not each.answer.get("unchanged", False)
            if each.name in _DELETING:
                found.wrong += _judge_deletion(each, made, by)
            elif made != (each.name in _COMMITTING and changed):
                found.wrong.append(f"{made} commits: {each.described()}")
            if each.is_keyed and sum(by) != each.succeeded and (changed or sum(by)):
                found.wrong.append(f"{sum(by)} attempts were recorded: {each.described()}")
            if each.was_unknown:
                if not each.succeeded and not any(by):
                    found.became["not stored, then refused"] += 1
                elif any(by[:-1]):
                    found.became["stored, and answered to the retry"] += 1
                else:
                    found.became["not stored, done by the retry"] += 1


def _due(own: Own, *, lives: bool) -> tuple[int, dict[int, str], list[int]]:
    """The number of a workflow's versions, its tags, and the published versions."""
    return len(own.contents), own.tags, [own.published] if own.published and lives else []


def _judge_deletion(operation: Operation, commits: int, by: Sequence[bool]) -> list[str]:
    """Check how often a deletion happened.

    It has no key, so each attempt without an outcome may have happened too. A deletion of a client's own tree
    happened once.
    """
    times = sum(by)
    may = sum(attempt.is_unknown for attempt in operation.attempts) + operation.succeeded
    once = operation.name != "contend"
    if commits != times or not operation.succeeded <= times <= may or (once and times != 1):
        return [f"{commits} commits, {times} attempts were recorded: {operation.described()}"]
    return []
