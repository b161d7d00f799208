"""Runs of scheduled jobs, and plans of the deletions that a run would make."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from service.domain.callers import Machine, Origin

# Result of a run, as stored in `job_runs.counts`: numbers by name, and where the next run resumes.
Counts = Mapping[str, Any]
# Longest time of one run; the next run continues at the place where the run ended.
BUDGET_SECONDS = 3600.0


def silent(_message: str, _details: Mapping[str, Any]) -> None:
    """Discard a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """A run of a scheduled job, as its use case gets it.

    Every term counts from `at`: the beginning of the run, or the instant of the plan that it applies.
    `resume` is the value of that name in the counts of the last successful run. `tell` adds to the log of
    the run.
    """

    run_id: UUID
    job: str
    at: datetime
    stop: threading.Event = field(default_factory=threading.Event)
    # In seconds of `time.monotonic`.
    deadline: float = field(default_factory=lambda: time.monotonic() + BUDGET_SECONDS)
    tell: Callable[[str, Mapping[str, Any]], None] = silent
    resume: Any = None

    @property
    def is_over(self) -> bool:
        """True once the run was asked to stop or its time is used up; it must not begin another step then."""
        return self.stop.is_set() or time.monotonic() >= self.deadline

    @property
    def machine(self) -> Machine:
        """Author of the changes of this run in the audit log."""
        origin = Origin(
            request_id=f"job-{self.run_id}",
            ip_address=None,
            user_agent=None,
            endpoint=f"jobs/{self.job}",
            method="RUN",
        )
        return Machine(username=f"system:{self.job}", origin=origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPart:
    """Part of a plan: the rows of one table, or of a log at one level, that a run would delete.

    `bytes` is the disk space freed at once, None if unknown. `chunks` counts chunks dropped as a whole.
    `oldest_kept` is the time of the oldest row that stays, None if none stays.
    """

    what: str
    rows: int
    level: str | None = None
    subscription_id: UUID | None = None
    bytes: int | None = None
    chunks: int = 0
    oldest_kept: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Rows that a legal hold keeps from being deleted."""

    hold_id: UUID
    what: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Plan of a run at an instant: deletions, and rows that legal holds keep."""

    at: datetime
    parts: Sequence[PlannedPart]
    blocked: Sequence[Blocked] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the deletions and the kept rows; a plan still fits if a new plan has the same digest."""
        parts = [(p.what, p.level, str(p.subscription_id), p.rows, p.chunks) for p in self.parts if p.rows]
        blocked = [(str(b.hold_id), b.what, b.rows) for b in self.blocked if b.rows]
        return sha256(orjson.dumps([sorted(map(str, parts)), sorted(map(str, blocked))])).hexdigest()

    def shown(self) -> dict[str, Any]:
        """Plan as a JSON object, with totals."""
        sizes = [part.bytes for part in self.parts if part.bytes is not None]
        kept = [part.oldest_kept for part in self.parts if part.oldest_kept is not None]
        return {
            "at": self.at,
            "rows": sum(part.rows for part in self.parts),
            "bytes": sum(sizes) if sizes else None,
            "chunks": sum(part.chunks for part in self.parts),
            "oldest_kept": min(kept) if kept else None,
            "parts": [asdict(part) for part in self.parts],
            "blocked": [asdict(each) for each in self.blocked],
        }
