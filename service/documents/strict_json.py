"""Strict parsing of JSON: refuse values that cannot be stored faithfully, with a pointer to each.

Python's own parser accepts NaN and duplicate keys, and orjson turns an integer past 64 bits into a float;
both would silently change a customer's document. So this parser replaces such values by marks. One pass over
the result finds the marks, the depth, and strings that cannot be stored.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from gitstore.snapshots import is_finite
from service.domain.errors import Fault, Invalid, MalformedJson

MAX_DEPTH = 64
# Members and items, containers included. A value costs more than its bytes: an object in memory, a line once
# it is indented, a step of each diff. An array of events counts as one body, since it is parsed at once.
MAX_VALUES = 100_000
# Counting stops soon after the first value too many.
_COUNTED_BYTES = 256 * 1024
# A longer text would be read twice for too long if it turns out to be written otherwise: so its beginning is
# looked at first.
_LONG_BYTES = 16 * 1024
_BEGINNING_BYTES = 1024
_SPACED = re.compile(rb'": |, ["{\[]|\n')
# The canonical form indents by two blanks a level.
INDENT = 2
# The union of the ranges of signed and unsigned 64-bit integers, and the number of digits of the longest.
MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**64 - 1
LONGEST_INTEGER = 20
# Enough faults to mend a document by, without an answer as large as the request.
MAX_FAULTS = 20
MAX_SHOWN_STEP = 100

_TOO_DEEP = f"the document is more than {MAX_DEPTH} levels deep"
_TOO_MANY = f"the document has more than {MAX_VALUES:,} values"
# A string, which is a key if a colon follows; a bracket or comma; or another value.
_PART = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+(\s*+:)?+|[\[\]{},]|[^\s"\[\]{},:]++', re.DOTALL)
_INFINITY = float("inf")

Step = str | int


@dataclass(frozen=True, slots=True)
class _Mark:
    """A mark in the parsed document, in the place of a value that is not allowed."""

    detail: str


def _integer(literal: str) -> int | _Mark:
    if len(literal) <= LONGEST_INTEGER:
        value = int(literal)
        if MIN_INTEGER <= value <= MAX_INTEGER:
            return value
    return _Mark("an integer has to fit 64 bits")


def _real(literal: str) -> float | _Mark:
    value = float(literal)
    return _Mark("a number has to be finite as a double") if value in (_INFINITY, -_INFINITY) else value


def _constant(literal: str) -> _Mark:
    return _Mark(f"{literal} is no JSON value: a number has to be finite")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found[key] = _Mark("the key stands twice in its object")
            seen.add(key)
    return found


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_real, parse_constant=_constant, object_pairs_hook=_object
)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(literal: str) -> Any:
    raise ValueError(literal)


_PLAIN = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_unique)


# A document as deep as this is searched for faults, even if it is not too deep.
_DEEP = b"\n" + b" " * INDENT * MAX_DEPTH


def _as_written(raw: bytes) -> Any:
    """Parse a text that is just as the fast writer would write it; raises ValueError for any other.

    So it has no key twice, since one of them would be lost, and no number that is read as another. Most
    senders of events write such texts, and this takes a third of the time.
    """
    is_spaced = len(raw) > _LONG_BYTES and _SPACED.search(raw, 0, _BEGINNING_BYTES)
    if is_spaced or b"\\u0000" in raw:
        raise ValueError("to be read with care")
    value = orjson.loads(raw)
    if orjson.dumps(value) != raw or (_may_be_deep(raw) and _DEEP in _pretty(value)):
        raise ValueError("to be read with care")
    return value


def _may_be_deep(raw: bytes) -> bool:
    return raw.count(b"{") + raw.count(b"[") > MAX_DEPTH


def _pretty(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def _plainly(raw: bytes) -> Any:
    """Parse a text without faults; raises ValueError or TypeError for a text that may have faults.

    Most texts have none. The decoder that marks faults, and the pass over its result, take four times as
    long.
    """
    value = _PLAIN.decode(raw.decode("utf-8"))
    # orjson refuses integers past 64 bits and lone surrogates, and writes non-finite numbers as null.
    pretty = _pretty(value)
    if b"\\u0000" in pretty or _DEEP in pretty or (b"null" in pretty and not is_finite(value)):
        raise ValueError("to be read with care")
    return value


def parse(raw: bytes) -> Any:
    """Parse a JSON text in UTF-8.

    Raises MalformedJson for a text that is not JSON, and Invalid with JSON pointers for JSON that is not
    allowed.
    """
    if _may_have_too_many(raw):
        _refuse_excess(raw)
    try:
        return _as_written(raw)
    except ValueError:
        pass
    try:
        return _plainly(raw)
    except (ValueError, TypeError, RecursionError):
        # The text has a fault, or seems to have one: parse it again, to find the fault and its place.
        return _carefully(raw)


def _may_have_too_many(raw: bytes) -> bool:
    """Count what separates values, in a moment; some of it can be in strings."""
    if len(raw) <= MAX_VALUES:
        return False
    most = 1
    for begin in range(0, len(raw), _COUNTED_BYTES):
        end = begin + _COUNTED_BYTES
        most += sum(raw.count(sign, begin, end) for sign in (b",", b"[", b"{"))
        if most > MAX_VALUES:
            return True
    return False


def _carefully(raw: bytes) -> Any:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The body is not UTF-8: byte {error.start} can't be decoded.") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        fault = Fault(f"line {error.lineno} column {error.colno}: {error.msg}", pointer="")
        raise MalformedJson(
            f"The body is not JSON: {error.msg} at line {error.lineno} column {error.colno}.",
            faults=[fault],
        ) from None
    except RecursionError:
        # The parser did not name the place.
        _refuse_excess(raw)
        raise _invalid([Fault(_TOO_DEEP, pointer="")]) from None
    walk = _FaultSearch()
    walk.value(value)
    if walk.faults:
        raise _invalid(walk.faults)
    return value


def _invalid(faults: list[Fault]) -> Invalid:
    places = ", ".join(fault.pointer or "the document" for fault in faults[:3])
    return Invalid(f"The document holds what can't be stored, at {places}.", faults=faults)


class _FaultSearch:
    """A search for faults that visits each value once, and makes pointers for faults only."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._path: list[Step] = []

    def value(self, value: Any) -> None:
        """Visit a value and all values below it; the depth bounds the recursion."""
        if isinstance(value, str):
            self._text(value)
        elif isinstance(value, dict):
            self._children(value, value.items())
        elif isinstance(value, list):
            self._children(value, enumerate(value))
        elif isinstance(value, _Mark):
            self._fault(value.detail)

    def _children(self, container: Any, items: Any) -> None:
        depth = len(self._path) + 1
        if depth > MAX_DEPTH:
            self._fault(_TOO_DEEP)
            return
        self._path.append(0)
        for step, child in items:
            if len(self.faults) >= MAX_FAULTS:
                break
            self._path[-1] = step
            if isinstance(step, str):
                self._text(step, "the key: ")
            if not isinstance(child, int | float):
                self.value(child)
        self._path.pop()

    def _text(self, text: str, prefix: str = "") -> None:
        detail = unfit(text)
        if detail:
            self._fault(prefix + detail)

    def _fault(self, detail: str) -> None:
        self.faults.append(Fault(detail, pointer=pointer_of(self._path)))


def unfit(text: str) -> str | None:
    """Return the reason why a string cannot be stored, or None if it can."""
    if "\0" in text:
        return "a string may not hold NUL (U+0000)"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "a string may not hold half of a surrogate pair"
    return None


def pointer_of(path: list[Step]) -> str:
    """Return the JSON pointer (RFC 6901) of a path; an inordinately long step is cut."""
    return "".join(f"/{_escaped(str(step))}" for step in path)


def _escaped(step: str) -> str:
    shown = step if len(step) <= MAX_SHOWN_STEP else step[:MAX_SHOWN_STEP] + "…"
    shown = shown.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")
    return shown.replace("~", "~0").replace("/", "~1")


def _refuse_excess(raw: bytes) -> None:
    """Raise Invalid for the first value past MAX_DEPTH or MAX_VALUES, before any value is made."""
    path: list[Step] = []
    values = 0
    for found in _PART.finditer(raw):
        part = found[0]
        if found[1] is not None:
            path[-1:] = [part[1 : part.rindex(b'"')].decode("utf-8", "replace")]
        elif part == b",":
            if path and isinstance(path[-1], int):
                path[-1] += 1
        elif part in b"]}":
            del path[-1:]
        else:
            values += 1
            if values > MAX_VALUES:
                raise _invalid([Fault(_TOO_MANY, pointer=pointer_of(path))])
            if part in b"[{":
                if len(path) == MAX_DEPTH:
                    raise _invalid([Fault(_TOO_DEEP, pointer=pointer_of(path))])
                path.append(0 if part == b"[" else "")


def unknown_fields(value: Any, known: Collection[str], path: Sequence[Step] = ()) -> list[Fault]:
    """Return the keys of an object at `path` that are not `known`, as at most MAX_FAULTS faults."""
    if not isinstance(value, dict):
        return []
    return [
        Fault("there is no such field", pointer=pointer_of([*path, key]))
        for key in islice((key for key in value if key not in known), MAX_FAULTS)
    ]
