"""Charts of executions: how they ended, and how long they took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from service.usecases.execution_logs import ExecutionBucket
from service.usecases.overview import SUCCEEDED, ExecutionsFigures
from service.web import charts, words
from service.web.charts import Chart, ChartMark, Series, TimeAxis

# Outcomes by the names of their series: the states that it adds, and its class.
_OUTCOMES: Final = (
    ("Succeeded", (SUCCEEDED,), "ok"),
    ("Cancelled or skipped", ("cancelled", "skipped"), "mute"),
    ("Failed or timed out", ("failed", "timed_out"), "bad"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCharts:
    """Charts of figures, and the small lines beside their totals."""

    outcomes: Chart
    durations: Chart
    ended: str
    failed: str
    p95: str
    rows_processed: str


def drawn(figures: ExecutionsFigures, zone: ZoneInfo, marks: Sequence[ChartMark]) -> ExecutionCharts:
    """Draw the figures of a time."""
    axis = TimeAxis(begins=figures.begins, width=figures.span.width, zone=zone)
    found = {(each.time, each.group): each for each in figures.by_time}

    def sums(statuses: Sequence[str], value: Callable[[ExecutionBucket], int]) -> list[int]:
        cells = [
            [found[(begin, status)] for status in statuses if (begin, status) in found]
            for begin in figures.begins
        ]
        return [sum(value(each) for each in cell) for cell in cells]

    succeeded = [found.get((begin, SUCCEEDED)) for begin in figures.begins]
    p95 = [None if each is None else each.p95 for each in succeeded]
    median = [None if each is None else each.p50 for each in succeeded]
    outcomes = [
        Series(name=name, tone=tone, values=sums(statuses, lambda each: each.count))
        for name, statuses, tone in _OUTCOMES
    ]
    every = [status for _, statuses, _ in _OUTCOMES for status in statuses]
    return ExecutionCharts(
        outcomes=charts.columns(axis, outcomes, say=words.number, marks=marks),
        durations=charts.durations(
            axis,
            [
                Series(name="95th percentile", tone="warn", values=p95),
                Series(name="Median", tone="info", values=median),
            ],
            say=words.duration,
            marks=marks,
        ),
        ended=charts.spark(sums(every, lambda each: each.count)),
        failed=charts.spark(sums(every, lambda each: each.failed)),
        p95=charts.spark(p95),
        rows_processed=charts.spark(sums(every, lambda each: each.rows_processed)),
    )
