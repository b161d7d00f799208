"""Time line of an execution: each node as a bar from its begin to its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from service.usecases.executions import ExecutedNode, Execution
from service.web import words

# Bars of a drawing; the table lists the nodes of a page.
MOST_BARS: Final = 100
# In pixels.
ROW: Final = 24
_LEAST: Final = 0.4
# In percent.
_MIDDLE: Final = 50
_TONES: Final = {"success": "ok", "failed": "bad", "timed_out": "bad", "cancelled": "mute", "skipped": "mute"}
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A node: where its bar begins and how wide it is, in percent; `is_open` for one that has not ended.

    Its name begins with the bar, or ends with it where the bar begins in the right half.
    """

    node: ExecutedNode
    top: int
    x: str
    width: str
    name_at: str
    name_ends: bool
    tone: str
    after: str
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLine:
    """Bars of the first nodes, and the times of the axis in percent of the width."""

    bars: Sequence[Bar]
    ticks: Sequence[tuple[str, str]]
    height: int


def drawn(execution: Execution, nodes: Sequence[ExecutedNode], zone: ZoneInfo) -> TimeLine:
    """Draw the nodes of an execution; one that has not ended lasts up to the last time that is known."""
    shown = nodes[:MOST_BARS]
    begin = min([execution.begun_at, *map(_begin, shown)])
    end = max(_known(execution, shown))
    whole = max(end - begin, _MILLISECOND)
    bars = []
    for place, node in enumerate(shown):
        left = (_begin(node) - begin) / whole * 100
        width = max(((node.ended_at or end) - _begin(node)) / whole * 100, _LEAST)
        x, is_right = min(max(left, 0), 100 - _LEAST), left > _MIDDLE
        bars.append(
            Bar(
                node=node,
                top=place * ROW,
                x=f"{x:.2f}",
                width=f"{min(width, 100):.2f}",
                name_at=f"{min(x + width, 100) if is_right else x:.2f}",
                name_ends=is_right,
                tone=_TONES.get(node.status or "", "info"),
                after=words.duration((_begin(node) - begin) / _MILLISECOND),
                is_open=node.ended_at is None,
            )
        )
    ticks = [(f"{share * 25}", words.duration(whole * share / 4 / _MILLISECOND)) for share in range(4)]
    return TimeLine(bars=bars, ticks=ticks, height=len(bars) * ROW)


def _known(execution: Execution, nodes: Sequence[ExecutedNode]) -> list[datetime]:
    times = [execution.ended_at, *(node.ended_at for node in nodes)]
    begins = [execution.begun_at, *(node.begun_at for node in nodes)]
    return [*begins, *(time for time in times if time is not None)]


def _begin(node: ExecutedNode) -> datetime:
    """Return the begin of a node; of one whose only event is its end, that is by its duration."""
    if node.ended_at is not None and node.duration_ms is not None:
        return min(node.begun_at, node.ended_at - timedelta(milliseconds=node.duration_ms))
    return node.begun_at
