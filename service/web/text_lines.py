"""Rows of a unified diff for a table, with marks on the words that differ in paired lines."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Literal

# A row is five elements of a page, which has 3,000 at most.
MAX_ROWS = 600
# The page has a bound, too, and a document may be one line.
MAX_CHARACTERS = 120_000
MAX_LINE = 2_000
# Words of two lines together.
_MOST_WORDS = 400
# Steps to match words, of two lines and of a whole diff; a step takes less than a tenth of a microsecond.
_MOST_STEPS = 500_000
_MOST_STEPS_OF_ALL = 5_000_000
_LEAST_ALIKE = 0.3
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")

RowKind = Literal["same", "add", "del", "hunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRow:
    """A line with its numbers in both texts, in parts of which some differ."""

    kind: RowKind
    old: int | None
    new: int | None
    parts: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        """Whole line, without the sign in front."""
        return "".join(text for text, _ in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRows:
    """Rows of a diff, and how many lines the whole diff adds and removes; `is_cut` if rows are left out."""

    rows: tuple[TextRow, ...]
    added: int
    removed: int
    is_cut: bool


def read(diff: str) -> TextRows:
    """Read a unified diff of two texts."""
    added = removed = characters = 0
    kept: list[TextRow] = []
    is_cut = False
    for row in _rows(diff):
        added += row.kind == "add"
        removed += row.kind == "del"
        characters += len(row.parts[0][0])
        is_cut = is_cut or len(kept) >= MAX_ROWS or characters > MAX_CHARACTERS
        if not is_cut:
            kept.append(row)
    return TextRows(rows=tuple(_marked(kept)), added=added, removed=removed, is_cut=is_cut)


def _rows(diff: str) -> Iterator[TextRow]:
    old = new = 0
    is_inside = False
    # Only \n ends a line of git, unlike splitlines().
    for line in diff.removesuffix("\n").split("\n") if diff else ():
        text = line[1:]
        if hunk := _HUNK.match(line):
            old, new, is_inside = int(hunk[1]), int(hunk[2]), True
            yield TextRow(kind="hunk", old=None, new=None, parts=((line, False),))
        elif not is_inside or line.startswith("\\"):
            continue
        elif line.startswith("-"):
            yield TextRow(kind="del", old=old, new=None, parts=((text, False),))
            old += 1
        elif line.startswith("+"):
            yield TextRow(kind="add", old=None, new=new, parts=((text, False),))
            new += 1
        else:
            yield TextRow(kind="same", old=old, new=new, parts=((text, False),))
            old, new = old + 1, new + 1


def _marked(rows: Sequence[TextRow]) -> list[TextRow]:
    """Mark the words that differ where as many lines were removed as were added after them."""
    found = list(rows)
    steps = _MOST_STEPS_OF_ALL
    at = 0
    while at < len(found):
        middle = _end_of_run(found, at, "del")
        end = _end_of_run(found, middle, "add")
        if at < middle and end - middle == middle - at:
            for old, new in zip(range(at, middle), range(middle, end), strict=True):
                if steps > 0:
                    found[old], found[new], used = _paired(found[old], found[new], min(steps, _MOST_STEPS))
                    steps -= used
        at = max(end, at + 1)
    return found


def _end_of_run(rows: Sequence[TextRow], begin: int, kind: RowKind) -> int:
    while begin < len(rows) and rows[begin].kind == kind:
        begin += 1
    return begin


def _paired(old: TextRow, new: TextRow, most_steps: int) -> tuple[TextRow, TextRow, int]:
    """Mark what differs between two lines; returns both and the number of steps that were taken at most.

    Between what both begin and end with, all differs where a match would take too many steps.
    """
    if max(len(old.text), len(new.text)) > MAX_LINE:
        return old, new, 0
    olds, news = _WORDS.findall(old.text), _WORDS.findall(new.text)
    words = len(olds) + len(news)
    if words > _MOST_WORDS:
        return old, new, 0
    begin = _alike(olds, news)
    end = _alike(olds[begin:][::-1], news[begin:][::-1])
    inner_olds, inner_news = olds[begin : len(olds) - end], news[begin : len(news) - end]
    steps = _steps(inner_olds, inner_news)
    same = begin + end
    operations: list[tuple[str, int, int, int, int]]
    if steps > most_steps:
        steps = 0
        operations = [("replace", 0, len(inner_olds), 0, len(inner_news))]
    else:
        match = SequenceMatcher(None, inner_olds, inner_news, autojunk=False)
        same += sum(block.size for block in match.get_matching_blocks())
        operations = [*match.get_opcodes()]
    # Lines without words are equal.
    if 2 * same < _LEAST_ALIKE * words:
        return old, new, steps + words
    left, right = [(olds[:begin], False)], [(news[:begin], False)]
    for operation, i1, i2, j1, j2 in operations:
        left.append((inner_olds[i1:i2], operation != "equal"))
        right.append((inner_news[j1:j2], operation != "equal"))
    left.append((olds[len(olds) - end :], False))
    right.append((news[len(news) - end :], False))
    return replace(old, parts=_joined(left)), replace(new, parts=_joined(right)), steps + words


def _alike(olds: Sequence[str], news: Sequence[str]) -> int:
    """Count the words that both begin with."""
    pairs = enumerate(zip(olds, news, strict=False))
    return next((number for number, (old, new) in pairs if old != new), min(len(olds), len(news)))


def _steps(olds: Sequence[str], news: Sequence[str]) -> int:
    """Bound the steps of a match: it looks at each pair of equal words again for each match that it finds."""
    counts = Counter(olds)
    equal = sum(counts[word] * count for word, count in Counter(news).items())
    return equal * min(len(olds), len(news))


def _joined(parts: Sequence[tuple[Sequence[str], bool]]) -> tuple[tuple[str, bool], ...]:
    return tuple(("".join(words), differs) for words, differs in parts if words)
