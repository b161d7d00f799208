"""Labels of a drawing, cut to the room that they have."""

import unicodedata

# Columns of text that fit, of which a wide character takes two.
LABEL, KIND, LINE, TITLE = 21, 26, 24, 80
_WHOLE = 300
_NO_WIDTH = {"Mn", "Me", "Cf"}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn"}


def short(text: str, columns: int) -> str:
    """Cut a text to so many columns, on one line; a text of which nothing can be seen says so."""
    line = whole(text)
    width = 0
    for place, character in enumerate(line):
        width += _width(character)
        # Marks without a width would pile up on one character.
        if width > columns or place > 3 * columns:
            return f"{line[: max(place - 1, 0)].rstrip()}…"
    return line


def whole(text: str, more: str = "") -> str:
    """Return a text on one line, of a length that a tooltip shows, with something more in brackets."""
    line = " ".join(text[: 2 * _WHOLE].split())
    if not any(unicodedata.category(character) not in _HIDDEN for character in line):
        line = "(no name)"
    if len(line) > _WHOLE:
        line = f"{line[: _WHOLE - 1]}…"
    return f"{line} ({whole(more)})" if more.strip() else line


def _width(character: str) -> int:
    if unicodedata.category(character) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
