"""Third part of the demo's story: a week of executions, in which one version makes things worse."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from service.cli.client import Client
from service.cli.demo_documents import Say

# Executions may be reported for seven days.
WEEK: Final = timedelta(days=6, hours=22)
EVENTS_AT_ONCE: Final = 500
# So that each demo tells the same.
SEED: Final = 20


@dataclass(frozen=True)
class Chapter:
    """Executions of one version from a day of the week on; `slower` is a factor of all durations."""

    day: float
    version: int
    failing: float
    error: str
    message: str
    slower: float = 1.0


@dataclass(frozen=True)
class Plot:
    """Executions of one workflow; nodes run one after the other, for so many milliseconds as a rule."""

    title: str
    every: timedelta
    nodes: Sequence[tuple[str, int]]
    # The place of the node that fails.
    fails_at: int
    chapters: Sequence[Chapter]


_DUPLICATES = "The table orders has the key 48213 twice"
PLOTS: Final = (
    Plot(
        title="Order ETL",
        every=timedelta(hours=1),
        nodes=(
            ("extract", 4_000),
            ("validate", 900),
            ("convert", 1_200),
            ("deduplicate", 700),
            ("load", 3_100),
        ),
        fails_at=4,
        chapters=(
            Chapter(0, 2, 0.03, "SOURCE_TIMEOUT", "The source did not answer within 30 s"),
            Chapter(1.5, 3, 0.02, "SOURCE_TIMEOUT", "The source did not answer within 30 s"),
            # Validation is skipped for half a day, until the rollback.
            Chapter(4, 4, 0.6, "DUPLICATE_KEY", _DUPLICATES),
            Chapter(4.6, 5, 0.02, "SOURCE_TIMEOUT", "The source did not answer within 30 s"),
        ),
    ),
    Plot(
        title="Invoice approval",
        every=timedelta(minutes=30),
        nodes=(("read", 1_500), ("match", 600), ("amount", 20), ("book", 800), ("pay", 1_900)),
        fails_at=3,
        chapters=(
            Chapter(0, 1, 0.03, "LEDGER_BUSY", "The ledger is closed for the night"),
            # Amounts above 5,000 need a board that the ledger asks for: this one is still in use.
            Chapter(3.5, 2, 0.22, "LIMIT_EXCEEDED", "The ledger takes 5,000 at most without a board", 1.1),
        ),
    ),
    Plot(
        title="Nightly export",
        every=timedelta(days=1),
        nodes=(("snapshot", 640_000), ("mask", 210_000), ("compress", 95_000), ("upload", 330_000)),
        fails_at=3,
        chapters=(
            Chapter(0, 1, 0.0, "UPLOAD_REFUSED", "The bucket is read only"),
            Chapter(2, 2, 0.0, "UPLOAD_REFUSED", "The bucket is read only", 0.9),
        ),
    ),
)


def play(by: Client, base: str, say: Say) -> None:
    """Report the executions of a week, each of which names the version that it ran."""
    chance = random.Random(SEED)  # noqa: S311 - a story, no secret
    workflows = {each["name"]: each["resource_id"] for each in by.get(f"{base}/workflows")["items"]}
    now = datetime.now(UTC)
    events = [event for plot in PLOTS for event in _executions(plot, workflows[plot.title], now, chance)]
    for place in range(0, len(events), EVENTS_AT_ONCE):
        by.post(f"{base}/execution-logs", json.dumps(events[place : place + EVENTS_AT_ONCE]).encode())
    executions = len({event["execution_id"] for event in events})
    say(f"A scheduler reports the {executions} executions of a week, by {len(events):,} events.")
    say("Version 4 of Order ETL failed until it was rolled back. Version 2 of Invoice approval still fails:")
    health = by.get(f"{base}/workflows/{workflows['Invoice approval']}/health")
    say(f"  worse since version {health['worse_since']}, roll back to version {health['roll_back_to']}.")


def _executions(
    plot: Plot, workflow_id: str, now: datetime, chance: random.Random
) -> Iterator[dict[str, Any]]:
    begin = now - WEEK
    at = begin
    while at < now - timedelta(hours=1):
        day = (at - begin) / timedelta(days=1)
        chapter = next(each for each in reversed(plot.chapters) if each.day <= day)
        yield from _execution(plot, chapter, workflow_id, at, chance)
        at += plot.every


def _execution(
    plot: Plot, chapter: Chapter, workflow_id: str, begun: datetime, chance: random.Random
) -> Iterator[dict[str, Any]]:
    """Yield the events of an execution: its begin, the end of each node, its own end."""
    common = {
        "execution_id": str(UUID(int=chance.getrandbits(128), version=4)),
        "workflow_id": workflow_id,
        "version_number": chapter.version,
        "triggered_by": "schedule",
        "source": "demo",
    }
    fails = chance.random() < chapter.failing
    at, rows = begun, 0
    yield common | _event("workflow", at, "INFO", "begins", status="running")
    for place, (node_id, usual) in enumerate(plot.nodes):
        took = round(usual * chapter.slower * chance.lognormvariate(0, 0.25))
        at += timedelta(milliseconds=took)
        done = chance.randrange(500, 5_000)
        rows += done
        ended = {"node_id": node_id, "duration_ms": took, "rows_processed": done}
        if fails and place == plot.fails_at:
            failure = {"status": "failed", "error_code": chapter.error}
            yield common | ended | _event("node", at, "ERROR", chapter.message, **failure)
            break
        yield common | ended | _event("node", at, "INFO", f"{node_id} is done", status="success")
    took = round((at - begun) / timedelta(milliseconds=1))
    end: dict[str, Any] = {"duration_ms": took, "rows_processed": rows}
    if fails:
        end |= {"status": "failed", "error_code": chapter.error}
        yield common | end | _event("workflow", at, "ERROR", chapter.message)
    else:
        yield common | end | _event("workflow", at, "INFO", "is done", status="success")


def _event(kind: str, at: datetime, level: str, message: str, **more: Any) -> dict[str, Any]:
    return {
        "execution_type": kind,
        "occurred_at": at.isoformat(),
        "log_level": level,
        "log_message": message,
    } | more
