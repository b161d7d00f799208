"""Executions of random workflows, and what they are, computed from the posted events by plain Python."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.api import Caller, Json, Tenant, ok

ENDS = ("success", "failed", "cancelled", "skipped", "timed_out")
FAILURES = ("failed", "timed_out")


@dataclass
class History:
    """Workflows with versions that were published at known times, and the events of their executions."""

    tenant: Tenant
    workflows: list[Json] = field(default_factory=list)
    commits: dict[tuple[str, int], str] = field(default_factory=dict)
    published: dict[str, list[tuple[datetime, datetime | None, int]]] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)

    def add_workflow(self, periods: list[tuple[datetime, datetime | None, int]]) -> Json:
        """Make a workflow of three versions, which were published in the given periods."""
        workflow = self.tenant.workflow()
        resource_id = workflow["resource_id"]
        self.commits[resource_id, 1] = workflow["git_commit_hash"]
        for number in (2, 3):
            saved = self.tenant.save(workflow, {"n": number})
            self.commits[resource_id, number] = saved["git_commit_hash"]
        for begin, end, number in periods:
            ok(self.tenant.ana.post(f"{self.tenant.at(workflow)}/versions/{number}/publish", {}))
            with self.tenant.server.database.connection() as connection:
                connection.execute(
                    "UPDATE publications SET published_at = %s, unpublished_at = %s, unpublished_by ="
                    " CASE WHEN %s::timestamptz IS NOT NULL THEN published_by END"
                    " WHERE resource_id = %s AND published_at > now() - interval '1 minute'"
                    " AND unpublished_at IS NULL",
                    [begin, end, end, resource_id],
                )
        self.published[resource_id] = periods
        self.workflows.append(workflow)
        return workflow

    def send(self, events: list[Json]) -> None:
        """Post events, up to 1,000 at once."""
        self.events += events
        for begin in range(0, len(events), 1_000):
            path = f"{self.tenant.path}/execution-logs?import=true"
            ok(self.tenant.ana.post(path, events[begin : begin + 1_000]), 201)

    def executions(self) -> dict[str, Json]:
        """Compute each execution by its id."""
        by_id: dict[str, list[Json]] = defaultdict(list)
        nodes: dict[str, list[Json]] = defaultdict(list)
        for event in sorted(self.events, key=lambda each: datetime.fromisoformat(each["occurred_at"])):
            kind = nodes if event["execution_type"] == "node" else by_id
            kind[event["execution_id"]].append(event)
        return {each: self._execution(events, nodes[each]) for each, events in by_id.items()}

    def _execution(self, events: list[Json], nodes: list[Json]) -> Json:
        begun_at = datetime.fromisoformat(events[0]["occurred_at"])
        workflow_id = next((each["workflow_id"] for each in events if each.get("workflow_id")), None)
        last = next((each for each in reversed(events) if each.get("status")), {})
        status = last.get("status")
        has_ended = status in ENDS
        ended_at = datetime.fromisoformat(last["occurred_at"]) if has_ended else None
        duration = last.get("duration_ms") if has_ended else None
        if duration is None and ended_at is not None and ended_at > begun_at:
            duration = (ended_at - begun_at) / timedelta(milliseconds=1)
        number, commit, source = self._version(workflow_id, begun_at, events)
        failures = [each for each in (*nodes, *events) if each.get("status") in FAILURES]
        failures.sort(key=lambda each: datetime.fromisoformat(each["occurred_at"]))
        failure = failures[0] if failures and status in FAILURES else None
        return {
            "workflow_id": workflow_id,
            "begun_at": begun_at,
            "ended_at": ended_at,
            "status": status,
            "duration_ms": duration,
            "events": len(events),
            "version_number": number,
            "git_commit_hash": commit,
            "version_from": source,
            "failure": failure and (failure.get("node_id"), failure["error_code"], failure["log_message"]),
        }

    def _version(
        self, workflow_id: str | None, begun_at: datetime, events: list[Json]
    ) -> tuple[int | None, str | None, str | None]:
        of_workflow = {n: commit for (each, n), commit in self.commits.items() if each == workflow_id}
        for event in events:
            number, commit = event.get("version_number"), event.get("git_commit_hash")
            if number is not None or commit is not None:
                if number is None:
                    same = [n for n, each in of_workflow.items() if each.startswith(commit or "")]
                    number = max(same, default=None)
                made = of_workflow.get(number or 0)
                is_same = made is not None and (commit is None or made.startswith(commit))
                return number, made if is_same else commit, "event"
        for begin, end, number in self.published.get(workflow_id or "", []):
            if begin <= begun_at and (end is None or begun_at < end):
                return number, of_workflow[number], "publication"
        return None, None, None


def filled(tenant: Tenant, rng: random.Random, count: int, days: int) -> History:
    """Make three workflows and executions of some days: without ends, without versions, in random order."""
    history = History(tenant)
    now = datetime.now(UTC)
    for shift in range(3):
        first, second = now - timedelta(days=days * 0.8 + shift), now - timedelta(days=days * 0.4 + shift)
        gap = second + timedelta(days=1)
        third = now - timedelta(days=days * 0.2)
        periods = [(first, second, 1), (gap, third, 2), (third, None, 1 + 2 * (shift > 0))]
        history.add_workflow(periods)
    events = [event for number in range(count) for event in _events(history, f"run {number}", now, days, rng)]
    rng.shuffle(events)
    history.send(events)
    return history


def _events(history: History, name: str, now: datetime, days: int, rng: random.Random) -> list[Json]:
    workflow = rng.choice(history.workflows)["resource_id"]
    begun_at = now - timedelta(seconds=rng.uniform(3_600, days * 86_400))
    length = timedelta(seconds=rng.choice([rng.uniform(1, 3_000), rng.uniform(1, 3_000), 2 * 86_400]))
    named: dict[str, Any] = rng.choice(
        [
            *({}, {}, {}),
            {"version_number": rng.choice([1, 2, 3, 17])},
            {"git_commit_hash": history.commits[workflow, rng.choice([1, 2, 3])][: rng.choice([9, 40])]},
            {"git_commit_hash": "0123456789abcdef"},
            {"version_number": 2, "git_commit_hash": history.commits[workflow, 2]},
            {"version_number": 2, "git_commit_hash": "fedcba9876"},
        ]
    )
    about = {"execution_id": name, "log_level": "INFO", "workflow_id": workflow}
    run = {**about, "execution_type": "workflow"}

    def at(share: float) -> str:
        return min(begun_at + share * length, now - timedelta(seconds=60 - share)).isoformat()

    status = rng.choice([*ENDS, "success", "success", "success", "failed", "running", "retrying", None])
    begins = {**run, "log_message": "begins", "occurred_at": at(0), "status": rng.choice(["running", None])}
    found = [begins]
    if rng.random() < 0.5:
        found.append({**run, "log_message": "goes on", "occurred_at": at(0.5), **named})
    else:
        begins |= named
    node = {**about, "execution_type": "node", "node_id": "load", "log_message": "load"}
    found.append({**node, "occurred_at": at(0.3), "status": "running"})
    if status in FAILURES and rng.random() < 0.7:
        failed = {"status": "failed", "error_code": "E1", "log_message": f"{name} failed"}
        found.append({**node, **failed, "node_id": "extract", "occurred_at": at(0.4)})
    if status is not None or rng.random() < 0.5:
        last = {"log_message": "last", "status": status, "error_code": None}
        duration = rng.choice([None, rng.randint(0, 9_999), 12.5])
        found.append({**run, **last, "occurred_at": at(1), "duration_ms": duration})
    return found


def run(
    tenant_path: str,
    ana: Caller,
    workflow_id: str,
    execution_id: str,
    ended_at: datetime,
    status: str = "success",
    milliseconds: int = 1_200,
    *,
    nodes: Sequence[str] = ("load",),
    code: str | None = None,
    text: str = "ended",
    **more: Any,
) -> None:
    """Send the events of an execution: its begin, each node one after another, and its end."""
    begun_at = ended_at - timedelta(milliseconds=milliseconds)
    told: Json = {"execution_id": execution_id, "workflow_id": workflow_id, "log_message": text, **more}

    def event(at: datetime, kind: str, state: str, **fields: Any) -> Json:
        level = "ERROR" if state == "failed" else "INFO"
        return {
            **told,
            "execution_type": kind,
            "status": state,
            "log_level": level,
            "occurred_at": at.isoformat(),
            **fields,
        }

    events = [event(begun_at, "workflow", "running")]
    share = milliseconds / max(len(nodes), 1)
    for place, node in enumerate(nodes):
        begin = begun_at + timedelta(milliseconds=place * share)
        is_last = place + 1 == len(nodes)
        events.append(event(begin, "node", "running", node_id=node))
        end: Json = {"node_id": node, "duration_ms": round(share)}
        if is_last and status == "failed":
            end |= {"error_code": code, "error_details": {"said": text}}
        state = status if is_last else "success"
        events.append(event(begin + timedelta(milliseconds=share), "node", state, **end))
    events.append(
        event(ended_at, "workflow", status, duration_ms=milliseconds, error_code=code, rows_processed=10)
    )
    ok(ana.post(f"{tenant_path}/execution-logs", json=events), 201)
