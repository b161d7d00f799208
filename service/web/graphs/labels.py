"""Labels of a drawing: cut to the room that they have, and placed where they cover nothing."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from math import ceil, floor

from service.web.graphs.graph import Spot
from service.web.graphs.layout import HEIGHT, WIDTH
from service.web.graphs.paths import LinePath
from service.web.words import revealed

# Room for a text in pixels, and the mean width of a letter in each size of letters.
LABEL_ROOM, LABEL_LETTER = WIDTH - 24, 7.9
KIND_ROOM, KIND_LETTER = WIDTH - 22, 6.2
LINE_ROOM, LINE_LETTER = 150.0, 6.2
TITLE_ROOM, TITLE_LETTER = 600.0, 7.6
_WHOLE = 300
# Characters that no markup may have.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NO_WIDTH = {"Mn", "Me", "Cf"}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn"}
_NARROW = frozenset("iIjlft.,:;'|!()[] ")
_WIDE = frozenset("mwMW@%—…")
# Parts of a line where its label may stand, the best first.
_PARTS = (0.5, 0.66, 0.34, 0.8, 0.22, 0.58, 0.42)
# Labels are closer to boxes than two cells.
_CELL = Spot(6, 6)
_LINE_HEIGHT = 12
# Space between a label and the end of its line, for the arrow.
_ARROW = 9


def short(text: str, room: float, letter: float) -> str:
    """Cut a text to the room that it has, on one line; a text of which nothing can be seen says so."""
    line = whole(text)
    width = 0.0
    fits = 0
    for place, character in enumerate(line):
        width += _width(character) * letter
        # Marks without a width would pile up on one character.
        if width > room or place > room:
            return f"{line[:fits].rstrip()}…"
        if width + letter <= room:
            fits = place + 1
    return line


def whole(text: str, more: str = "") -> str:
    """Return a text on one line, of a length that a tooltip shows, with something more in brackets."""
    line = " ".join(_CONTROLS.sub("\ufffd", text[: 2 * _WHOLE]).split())
    if not any(unicodedata.category(character) not in _HIDDEN for character in line):
        line = "(no name)"
    line = revealed(line)
    if len(line) > _WHOLE:
        line = f"{line[: _WHOLE - 1]}…"
    return f"{line} ({whole(more)})" if more.strip() else line


def _width(character: str) -> float:
    """Width of a character in letters."""
    if unicodedata.category(character) in _NO_WIDTH:
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.8
    if character in _NARROW:
        return 0.55
    return 1.4 if character in _WIDE else 1.15 if character.isupper() else 1


class LabelPlaces:
    """Places of labels beside lines; cells of a grid tell what is covered already."""

    def __init__(self, boxes: Iterable[Spot]) -> None:
        self._covered: set[tuple[int, int]] = set()
        for box in boxes:
            self._covered |= _cells(box.x, box.y, WIDTH, HEIGHT)

    def take(self, path: LinePath, text: str) -> Spot:
        """Find the place for a label that is covered least, and cover it."""
        width = sum(map(_width, text)) * LINE_LETTER
        best: tuple[int, Spot, set[tuple[int, int]]] | None = None
        for place in _beside(path, width):
            cells = _cells(place.x, place.y - _LINE_HEIGHT + 3, width, _LINE_HEIGHT)
            covered = len(cells & self._covered)
            if best is None or covered < best[0]:
                best = covered, place, cells
            if covered == 0:
                break
        if best is None:
            return path.begin
        self._covered |= best[2]
        return best[1]


def _beside(path: LinePath, width: float) -> Iterator[Spot]:
    """Yield left ends of a label's text beside a line, the best first.

    Lines that fan out to the right are far from each other where they end. Others have their label right or
    left of a steep part, above or below a flat one.
    """
    if path.other_bend.y == path.end.y and path.other_bend.x < path.end.x:
        x = path.end.x - width - _ARROW
        yield Spot(round(x), round(path.end.y - 4))
        yield Spot(round(x), round(path.end.y + _LINE_HEIGHT))
    for is_first in (True, False):
        for part in _PARTS:
            point, ahead = path.at(part), path.at(part + 0.05)
            if abs(ahead.y - point.y) > abs(ahead.x - point.x):
                yield Spot(round(point.x + 6 if is_first else point.x - 6 - width), round(point.y + 4))
            else:
                y = point.y - 4 if is_first else point.y + _LINE_HEIGHT
                yield Spot(round(point.x - width / 2), round(y))


def _cells(x: float, y: float, width: float, height: float) -> set[tuple[int, int]]:
    columns = range(floor(x / _CELL.x), ceil((x + width) / _CELL.x))
    rows = range(floor(y / _CELL.y), ceil((y + height) / _CELL.y))
    return {(column, row) for column in columns for row in rows}
