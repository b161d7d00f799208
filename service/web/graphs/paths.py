"""Paths of lines between boxes: out of one side, around what stands between, into another side."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from service.web.graphs.graph import Flow, Spot
from service.web.graphs.layout import HEIGHT, WIDTH

_LEAST_BEND = 24
_AROUND = 30


class LinePath(NamedTuple):
    """A path as SVG writes it, and the place of a label beside it."""

    text: str
    x: int
    y: int


def path_between(source: Spot, target: Spot, boxes: Sequence[Spot], flow: Flow) -> LinePath:
    """Lead a line from one box to another; `boxes` are all boxes, sorted by column."""
    if source == target:
        return _loop(source)
    if flow == "right":
        return _to_the_right(source, target)
    if abs(source.y - target.y) < HEIGHT:
        return _sideways(source, target)
    if target.y < source.y or _is_between(source, target, boxes):
        return _around(source, target, boxes)
    x1, y1, x2, y2 = source.x + WIDTH / 2, source.y + HEIGHT, target.x + WIDTH / 2, target.y
    bend = max((y2 - y1) / 2, _LEAST_BEND)
    return _path(x1, y1, x1, y1 + bend, x2, y2 - bend, x2, y2, 6, 4)


def _to_the_right(source: Spot, target: Spot) -> LinePath:
    x1, y1, x2, y2 = source.x + WIDTH, source.y + HEIGHT / 2, target.x, target.y + HEIGHT / 2
    # A line back leaves and arrives as others do, and so has to swing out.
    bend = max((x2 - x1) / 2, _LEAST_BEND) if x2 > x1 else min((x1 - x2) / 3 + _LEAST_BEND, 120)
    if x2 <= x1 and abs(y1 - y2) < HEIGHT:
        down = source.y + HEIGHT + 22
        path = f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {down:.0f} {x2 - bend:.0f} {down:.0f} {x2:.0f} {y2:.0f}"
        return LinePath(path, round((x1 + x2) / 2), round(down))
    return _path(x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2, 0, -5)


def _sideways(source: Spot, target: Spot) -> LinePath:
    is_right = target.x > source.x
    x1, x2 = (source.x + WIDTH, target.x) if is_right else (source.x, target.x + WIDTH)
    y1, y2, middle = source.y + HEIGHT / 2, target.y + HEIGHT / 2, (x1 + x2) / 2
    return _path(x1, y1, middle, y1, middle, y2, x2, y2, -12, -6)


def _around(source: Spot, target: Spot, boxes: Sequence[Spot]) -> LinePath:
    """Lead a line on the right of both boxes, and of those between them in their columns."""
    top, bottom = min(source.y, target.y), max(source.y, target.y)
    left = min(source.x, target.x)
    most = max(source.x, target.x)
    for box in boxes[bisect_left(boxes, left - WIDTH, key=lambda spot: spot.x) :]:
        if box.x > most + WIDTH / 2:
            break
        if top <= box.y <= bottom:
            most = max(most, box.x)
    x = most + WIDTH + _AROUND
    x1, y1, x2, y2 = source.x + WIDTH, source.y + HEIGHT / 2, target.x + WIDTH, target.y + HEIGHT / 2
    return _path(x1, y1, x, y1, x, y2, x2, y2, -24, 0)


def _is_between(source: Spot, target: Spot, boxes: Sequence[Spot]) -> bool:
    """Tell if a box stands in the way of a straight line down."""
    if abs(source.x - target.x) > WIDTH / 2:
        return False
    left, right = min(source.x, target.x), max(source.x, target.x)
    begin = bisect_left(boxes, left - WIDTH / 2, key=lambda spot: spot.x)
    for box in boxes[begin:]:
        if box.x > right + WIDTH / 2:
            return False
        if source.y + HEIGHT <= box.y <= target.y - HEIGHT:
            return True
    return False


def _loop(box: Spot) -> LinePath:
    x, y = box.x + WIDTH, box.y + HEIGHT / 2
    text = f"M{x:.0f} {y - 10:.0f}C{x + 34:.0f} {y - 24:.0f} {x + 34:.0f} {y + 24:.0f} {x:.0f} {y + 10:.0f}"
    return LinePath(text, round(x + 6), round(y + 26))


def _path(
    x1: float, y1: float, bx1: float, by1: float, bx2: float, by2: float, x2: float, y2: float,
    beside: float, below: float,
) -> LinePath:  # fmt: skip
    text = f"M{x1:.0f} {y1:.0f}C{bx1:.0f} {by1:.0f} {bx2:.0f} {by2:.0f} {x2:.0f} {y2:.0f}"
    # The middle of a cubic curve.
    x, y = (x1 + 3 * bx1 + 3 * bx2 + x2) / 8, (y1 + 3 * by1 + 3 * by2 + y2) / 8
    return LinePath(text, round(x + beside), round(y + below))
