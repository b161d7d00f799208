"""A figure of the table: its measurements in turns, and their verdict against the demand."""

import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.load import Outcome, percentile

Verdict = Literal["goal", "must", "MISSED", "FAILED", "skipped"]


@dataclass(frozen=True, slots=True)
class Demand:
    """The limits that a figure must and should reach: lower ones, or upper ones with `at_most`."""

    key: str
    figure: str
    must: float
    goal: float
    unit: str
    at_most: bool = False

    def verdict(self, value: float) -> Verdict:
        """Return the stricter limit that a value reaches."""
        if math.isnan(value):
            return "skipped"
        if self._reached(value, self.goal):
            return "goal"
        return "must" if self._reached(value, self.must) else "MISSED"

    def _reached(self, value: float, limit: float) -> bool:
        return value <= limit if self.at_most else value >= limit


@dataclass(frozen=True, slots=True)
class Traffic:
    """One turn of load: requests a second, latencies in milliseconds, processor milliseconds a save."""

    rate: float
    p50: float
    p99: float
    cpu_ms: dict[str, float]
    # The share of the machine's processors that programs other than service, database and load took; a high
    # share makes figures worse.
    others: float

    @classmethod
    def of(cls, outcome: Outcome, label: str, cpu: dict[str, float], *, saves_each: int = 1) -> "Traffic":
        """Compute the figures of all calls with a label, each of which makes `saves_each` saves."""
        latencies = outcome.latencies_ms(label)
        # A call that was answered too late has cost processor time, too.
        made = sum(answer.label == label for answer in outcome.answers) * saves_each
        return cls(
            rate=len(latencies) * saves_each / outcome.seconds,
            p50=percentile(latencies, 0.5),
            p99=percentile(latencies, 0.99),
            cpu_ms={group: seconds * 1000 / max(1, made) for group, seconds in cpu.items()},
            others=cpu["others"] / (outcome.seconds * (os.cpu_count() or 1)),
        )


@dataclass(slots=True)
class Measured:
    """A figure with its measurements of service and reference, a pair for each turn."""

    demand: Demand
    ratios: list[float] = field(default_factory=list)
    service: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    measure: str = "/s"
    traffic: list[Traffic] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: bool = False

    def add(self, service: float, reference: float) -> None:
        """Add a pair."""
        self.service.append(service)
        self.reference.append(reference)
        self.ratios.append(service / reference)

    @property
    def value(self) -> float:
        """The median of the pairs; NaN if the figure was skipped."""
        return statistics.median(self.ratios) if self.ratios else math.nan

    @property
    def verdict(self) -> Verdict:
        """Compare the value with the demand."""
        return "FAILED" if self.failed else self.demand.verdict(self.value)


def median_traffic(turns: Sequence[Traffic]) -> Traffic:
    """Compute the median turn: the median of each number by itself."""
    groups = turns[0].cpu_ms
    return Traffic(
        rate=statistics.median(turn.rate for turn in turns),
        p50=statistics.median(turn.p50 for turn in turns),
        p99=statistics.median(turn.p99 for turn in turns),
        cpu_ms={group: statistics.median(turn.cpu_ms.get(group, 0.0) for turn in turns) for group in groups},
        others=statistics.median(turn.others for turn in turns),
    )
