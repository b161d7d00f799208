"""Paths of lines between boxes: out of one side, around what stands between, into another side."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from service.web.graphs.graph import Flow, Spot
from service.web.graphs.layout import HEIGHT, WIDTH

_LEAST_BEND = 24
_MOST_BEND = 120
_AROUND = 30


class LinePath(NamedTuple):
    """A cubic curve: its beginning, the two points that bend it, and its end."""

    begin: Spot
    bend: Spot
    other_bend: Spot
    end: Spot

    @property
    def text(self) -> str:
        """Path as SVG writes it."""
        begin, *others = (f"{point.x:.0f} {point.y:.0f}" for point in self)
        return f"M{begin}C{' '.join(others)}"

    def at(self, part: float) -> Spot:
        """Point after a part of the curve, from 0 to 1."""
        rest = 1 - part
        factors = (rest**3, 3 * rest**2 * part, 3 * rest * part**2, part**3)
        return Spot(
            sum(factor * point.x for factor, point in zip(factors, self, strict=True)),
            sum(factor * point.y for factor, point in zip(factors, self, strict=True)),
        )


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
    return _upright(source, target)


def _upright(source: Spot, target: Spot) -> LinePath:
    """Lead a line down, from the middle of one box to the middle of the other; or up."""
    is_down = target.y > source.y
    begin = Spot(source.x + WIDTH / 2, source.y + (HEIGHT if is_down else 0))
    end = Spot(target.x + WIDTH / 2, target.y + (0 if is_down else HEIGHT))
    bend = max(abs(end.y - begin.y) / 2, _LEAST_BEND) * (1 if is_down else -1)
    return LinePath(begin, Spot(begin.x, begin.y + bend), Spot(end.x, end.y - bend), end)


def _to_the_right(source: Spot, target: Spot) -> LinePath:
    begin = Spot(source.x + WIDTH, source.y + HEIGHT / 2)
    end = Spot(target.x, target.y + HEIGHT / 2)
    if end.x > begin.x:
        bend = min(max((end.x - begin.x) / 2, _LEAST_BEND), _MOST_BEND)
        return LinePath(begin, Spot(begin.x + bend, begin.y), Spot(end.x - bend, end.y), end)
    if abs(begin.y - end.y) >= HEIGHT:
        return _upright(source, target)
    # A line back swings below both boxes.
    low = max(source.y, target.y) + HEIGHT + _LEAST_BEND
    return LinePath(begin, Spot(begin.x + _MOST_BEND, low), Spot(end.x - _MOST_BEND, low), end)


def _sideways(source: Spot, target: Spot) -> LinePath:
    is_right = target.x > source.x
    begin = Spot(source.x + (WIDTH if is_right else 0), source.y + HEIGHT / 2)
    end = Spot(target.x + (0 if is_right else WIDTH), target.y + HEIGHT / 2)
    middle = (begin.x + end.x) / 2
    return LinePath(begin, Spot(middle, begin.y), Spot(middle, end.y), end)


def _around(source: Spot, target: Spot, boxes: Sequence[Spot]) -> LinePath:
    """Lead a line on the right of both boxes, and of those between them in their columns."""
    top, bottom = sorted((source.y, target.y))
    left, most = sorted((source.x, target.x))
    for box in boxes[bisect_left(boxes, left - WIDTH, key=lambda spot: spot.x) :]:
        if box.x > most + WIDTH / 2:
            break
        if top <= box.y <= bottom:
            most = max(most, box.x)
    x = most + WIDTH + _AROUND
    begin = Spot(source.x + WIDTH, source.y + HEIGHT / 2)
    end = Spot(target.x + WIDTH, target.y + HEIGHT / 2)
    return LinePath(begin, Spot(x, begin.y), Spot(x, end.y), end)


def _is_between(source: Spot, target: Spot, boxes: Sequence[Spot]) -> bool:
    """Tell if a box stands in the way of a straight line down."""
    if abs(source.x - target.x) > WIDTH / 2:
        return False
    left, right = sorted((source.x, target.x))
    for box in boxes[bisect_left(boxes, left - WIDTH / 2, key=lambda spot: spot.x) :]:
        if box.x > right + WIDTH / 2:
            return False
        if source.y + HEIGHT <= box.y <= target.y - HEIGHT:
            return True
    return False


def _loop(box: Spot) -> LinePath:
    x, y = box.x + WIDTH, box.y + HEIGHT / 2
    return LinePath(Spot(x, y - 10), Spot(x + 34, y - 24), Spot(x + 34, y + 24), Spot(x, y + 10))
