"""What one run of a job is handed, what it tells, and what a run would take away."""

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

# What a run came to, as `job_runs.counts` has it: numbers by name, and where the next run goes on.
Counts = Mapping[str, Any]
# Of one run; the next goes on where it ended.
BUDGET_SECONDS = 3600.0


def silent(_message: str, _details: Mapping[str, Any]) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """A run: the time that it takes for now, who acts, when to stop, and whom to tell what it does.

    `at` is what every term is counted from: the beginning of the run, or the instant of the plan that it
    applies. `resume` is what the counts of the last run said under that name.
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
        """Whether to begin nothing more: it was asked to stop, or its time is used up."""
        return self.stop.is_set() or time.monotonic() >= self.deadline

    @property
    def machine(self) -> Machine:
        """The author of what the run does, as the audit log names it."""
        origin = Origin(
            request_id=f"job-{self.run_id}",
            ip_address=None,
            user_agent=None,
            endpoint=f"jobs/{self.job}",
            method="RUN",
        )
        return Machine(username=f"system:{self.job}", origin=origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a run would take away of one thing: rows of a log at a level, or anything else that it names.

    `bytes` are those that the disk gets back at once, None where that is not known; `chunks` go as a whole.
    `oldest_kept` is the oldest row that stays, None where none does.
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
    """What a hold keeps from being taken away."""

    hold_id: UUID
    what: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run at an instant would do."""

    at: datetime
    parts: Sequence[Part]
    blocked: Sequence[Blocked] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of what would go and what is blocked: equal for a plan that still fits."""
        parts = [(p.what, p.level, str(p.subscription_id), p.rows, p.chunks) for p in self.parts if p.rows]
        blocked = [(str(b.hold_id), b.what, b.rows) for b in self.blocked if b.rows]
        return sha256(orjson.dumps([sorted(map(str, parts)), sorted(map(str, blocked))])).hexdigest()

    def shown(self) -> dict[str, Any]:
        """The plan as JSON has it, with totals."""
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
