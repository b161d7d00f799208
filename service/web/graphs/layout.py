"""Layout of graphs: as the document has it, spread to the size of our boxes, or else in layers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from service.web.graphs.graph import Flow, Spot

WIDTH, HEIGHT = 180.0, 46.0
# Space between boxes: room for a line's end and its label.
_ALONG = {"down": 38.0, "right": 64.0}
_ACROSS = {"down": 56.0, "right": 20.0}
# Empty stretches of a canvas are shortened to so many boxes.
_WIDEST_GAP = 2.5
_SMALLEST, _LARGEST = 0.2, 3.0
# Nodes that stand in one line may differ by so many units of their canvas.
_LANE = 24.0
_MOST_IN_A_LAYER = 8

Ends = tuple[str, str]


def placed(spots: Mapping[str, Spot | None], ends: Iterable[Ends], flow: Flow) -> dict[str, Spot]:
    """Place boxes, each apart from all others, the first of them at 0, 0 or further right and down."""
    keys = list(spots)
    known = dict.fromkeys(ends)
    links = [pair for pair in known if pair[0] in spots and pair[1] in spots and pair[0] != pair[1]]
    given = {key: spot for key, spot in spots.items() if spot is not None}
    # A document whose nodes stand at one place says nothing, either.
    if len(set(given.values())) * 2 > len(keys):
        return _at_origin(_apart(_beside(_spread(given, flow), keys, links, flow), flow))
    return _at_origin(_layered(keys, links, flow))


def _gaps(flow: Flow) -> tuple[float, float]:
    """Least distances of boxes, to the right and down."""
    return (_ALONG[flow], _ACROSS[flow]) if flow == "right" else (_ACROSS[flow], _ALONG[flow])


def _spread(given: Mapping[str, Spot], flow: Flow) -> dict[str, Spot]:
    gap_x, gap_y = _gaps(flow)
    factor_x = _factor(((spot.y, spot.x) for spot in given.values()), WIDTH + gap_x)
    factor_y = _factor(((spot.x, spot.y) for spot in given.values()), HEIGHT + gap_y)
    xs = _shortened((spot.x * factor_x for spot in given.values()), WIDTH * _WIDEST_GAP)
    ys = _shortened((spot.y * factor_y for spot in given.values()), HEIGHT * _WIDEST_GAP * 2)
    return {key: Spot(xs[spot.x * factor_x], ys[spot.y * factor_y]) for key, spot in given.items()}


def _factor(places: Iterable[tuple[float, float]], wanted: float) -> float:
    """Find the factor by which most neighbours in a lane get the wanted distance.

    The places are pairs: across lanes, and along them.
    """
    lanes = sorted((round(across / _LANE), along) for across, along in places)
    steps = sorted(
        after[1] - before[1]
        for before, after in pairwise(lanes)
        if before[0] == after[0] and after[1] > before[1]
    )
    if not steps:
        return 1.0
    return min(max(wanted / steps[len(steps) // 5], _SMALLEST), _LARGEST)


def _shortened(values: Iterable[float], most: float) -> dict[float, float]:
    """Move values together where there is a long stretch without any."""
    found: dict[float, float] = {}
    last = at = 0.0
    for number, value in enumerate(sorted(set(values))):
        at += min(value - last, most) if number else 0.0
        last = value
        found[value] = at
    return found


def _beside(
    spots: dict[str, Spot], keys: Sequence[str], links: Sequence[Ends], flow: Flow
) -> dict[str, Spot]:
    """Give a place to nodes that have none: after a node that leads there, or before one, or below all."""
    found = dict(spots)
    step = Spot(WIDTH + _ALONG[flow], 0) if flow == "right" else Spot(0, HEIGHT + _ALONG[flow])
    for source, target in links:
        if source in found and target not in found:
            found[target] = Spot(found[source].x + step.x, found[source].y + step.y)
        elif target in found and source not in found:
            found[source] = Spot(found[target].x - step.x, found[target].y - step.y)
    below = max((spot.y for spot in found.values()), default=0) + HEIGHT + _ALONG[flow]
    left = min((spot.x for spot in found.values()), default=0)
    return {key: found.get(key, Spot(left, below)) for key in keys}


def _apart(spots: Mapping[str, Spot], flow: Flow) -> dict[str, Spot]:
    """Move boxes down until none touches another; those above and to the left stay where they are."""
    gap_x, gap_y = _gaps(flow)
    # Half of a gap does between boxes that were put close together by a person.
    gap_x, gap_y = gap_x / 2, gap_y / 2
    found: dict[str, Spot] = {}
    by_height: list[Spot] = []
    for key, spot in sorted(spots.items(), key=lambda each: (each[1].y, each[1].x)):
        y = spot.y
        for other in by_height:
            if abs(other.x - spot.x) >= WIDTH + gap_x or other.y + HEIGHT + gap_y <= y:
                continue
            if other.y >= y + HEIGHT + gap_y:
                break
            y = other.y + HEIGHT + gap_y
        found[key] = Spot(spot.x, y)
        by_height.append(found[key])
        by_height.sort(key=lambda each: each.y)
    return {key: found[key] for key in spots}


def _layered(keys: Sequence[str], links: Sequence[Ends], flow: Flow) -> dict[str, Spot]:
    following: dict[str, list[str]] = {key: [] for key in keys}
    for source, target in links:
        following[source].append(target)
    preceding: dict[str, list[str]] = defaultdict(list)
    layer = dict.fromkeys(keys, 0)
    for key in _in_order(keys, following):
        for target in following[key]:
            preceding[target].append(key)
            layer[target] = max(layer[target], layer[key] + 1)
    rows: dict[int, list[str]] = defaultdict(list)
    for key in keys:
        rows[layer[key]].append(key)
    across, along = (WIDTH, HEIGHT) if flow == "down" else (HEIGHT, WIDTH)
    across, along = across + _ACROSS[flow], along + _ALONG[flow]
    middle: dict[str, float] = {}
    found: dict[str, Spot] = {}
    depth = 0.0
    for number in sorted(rows):
        wanted = {key: _mean([middle[each] for each in preceding[key]]) for key in rows[number]}
        row = sorted(rows[number], key=lambda key: wanted[key])
        for begin in range(0, len(row), _MOST_IN_A_LAYER):
            part = row[begin : begin + _MOST_IN_A_LAYER]
            for key, at in _in_row([wanted[key] for key in part], part, across):
                middle[key] = at
                found[key] = Spot(at, depth) if flow == "down" else Spot(depth, at)
            depth += along
    return found


def _in_order(keys: Sequence[str], following: dict[str, list[str]]) -> list[str]:
    """Sort nodes so that all edges lead forward; edges that close a circle are removed from `following`."""
    order: list[str] = []
    is_open = dict.fromkeys(keys, False)
    done: set[str] = set()
    for first in keys:
        if first in done:
            continue
        way = [(first, iter(list(following[first])))]
        is_open[first] = True
        while way:
            key, targets = way[-1]
            for target in targets:
                if is_open[target]:
                    following[key].remove(target)
                elif target not in done:
                    is_open[target] = True
                    way.append((target, iter(list(following[target]))))
                    break
            else:
                way.pop()
                is_open[key] = False
                done.add(key)
                order.append(key)
    return order[::-1]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _in_row(wanted: Sequence[float], keys: Sequence[str], step: float) -> list[tuple[str, float]]:
    """Place boxes in their order, near the places they want, a step apart."""
    places: list[float] = []
    for want in wanted:
        places.append(max(want, places[-1] + step) if places else want)
    shift = _mean([want - place for want, place in zip(wanted, places, strict=True)])
    return [(key, place + shift) for key, place in zip(keys, places, strict=True)]


def _at_origin(spots: Mapping[str, Spot]) -> dict[str, Spot]:
    left = min((spot.x for spot in spots.values()), default=0)
    top = min((spot.y for spot in spots.values()), default=0)
    return {key: Spot(round(spot.x - left), round(spot.y - top)) for key, spot in spots.items()}
