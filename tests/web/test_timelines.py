"""The time line of an execution: each name is at its bar."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from service.usecases.executions import ExecutedNode, Execution
from service.web import timelines

BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def node(name: str, begin: float, end: float) -> ExecutedNode:
    return ExecutedNode(
        node_id=name,
        begun_at=at(begin),
        ended_at=at(end),
        status="success",
        duration_ms=None,
        events=2,
        error_code=None,
    )


def test_a_name_begins_with_a_bar_of_the_left_half_and_ends_with_one_of_the_right() -> None:
    execution = Execution(
        execution_id="run",
        execution_type="workflow",
        workflow_id=None,
        job_id=None,
        jobpackage_id=None,
        resource_name=None,
        begun_at=BEGIN,
        ended_at=at(100),
        status="success",
        duration_ms=None,
        events=2,
        version_number=None,
        git_commit_hash=None,
        version_from=None,
        failure=None,
    )
    nodes = [node("first", 0, 40), node("middle", 45, 90), node("late", 70, 80), node("last", 99.9, 100)]
    bars = timelines.drawn(execution, nodes, ZoneInfo("UTC")).bars
    assert [(each.name_at, each.name_ends) for each in bars] == [
        ("0.00", False),
        ("45.00", False),
        ("80.00", True),
        ("100.00", True),
    ]
