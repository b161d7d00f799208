"""Reading a JSON document strictly: what can't be stored faithfully is refused, with a pointer to it.

Python's own parser accepts NaN and duplicate keys, and orjson turns an integer past 64 bits into a float;
both would change a customer's document in silence. So the parser here marks what is wrong where it stands,
and one walk over the result finds the marks, the depth and the unfit strings.
"""

import json
from dataclasses import dataclass
from typing import Any

from service.errors import DocumentTooLarge, Fault, Invalid, MalformedJson

MAX_DEPTH = 64
# The canonical form indents by two blanks a level: a small body of deep lists could unfold to gigabytes.
INDENT = 2
MAX_PRETTY_BYTES = 64 * 1024 * 1024
# The union of what signed and unsigned 64-bit integers hold.
MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**64 - 1
_LONGEST_SAFE_LITERAL = 18
# Enough to mend a document by, without an answer as large as the question.
MAX_FAULTS = 20


@dataclass(frozen=True, slots=True)
class _Mark:
    """Stands in the parsed document for something that is not allowed."""

    detail: str
    key: str | None = None


def _integer(literal: str) -> int | _Mark:
    if len(literal) > _LONGEST_SAFE_LITERAL:
        if len(literal) > _LONGEST_SAFE_LITERAL + 3:
            return _Mark("an integer has to fit 64 bits")
        value = int(literal)
        return value if MIN_INTEGER <= value <= MAX_INTEGER else _Mark("an integer has to fit 64 bits")
    return int(literal)


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
                found[key] = _Mark("the key stands twice in its object", key)
            seen.add(key)
    return found


_INFINITY = float("inf")
_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_real, parse_constant=_constant, object_pairs_hook=_object
)


def parse(raw: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises MalformedJson for what is no JSON, Invalid with JSON pointers for what is JSON but not allowed.
    """
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
        # The parser gave up long before it could say where; the first branch that deep is found by counting.
        raise _invalid([Fault(_TOO_DEEP, pointer=_first_deep_pointer(text))]) from None
    faults, indentation = _examine(value)
    if faults:
        raise _invalid(faults)
    if len(raw) + indentation > MAX_PRETTY_BYTES:
        raise DocumentTooLarge(
            f"Pretty-printed, as it is stored, the document is larger than {MAX_PRETTY_BYTES // 1024**2} MiB."
        )
    return value


_TOO_DEEP = f"the document is more than {MAX_DEPTH} levels deep"


def _invalid(faults: list[Fault]) -> Invalid:
    places = ", ".join(fault.pointer or "the document" for fault in faults[:3])
    return Invalid(f"The document holds what can't be stored, at {places}.", faults=faults)


def _examine(document: Any) -> tuple[list[Fault], int]:
    """What can't be stored, and how many bytes of blanks pretty-printing adds at least."""
    indentation = 0
    faults: list[Fault] = []
    pending: list[tuple[str, Any, int]] = [("", document, 1)]
    while pending and len(faults) < MAX_FAULTS:
        pointer, value, depth = pending.pop()
        indentation += INDENT * depth
        if isinstance(value, str):
            detail = unfit(value)
            if detail:
                faults.append(Fault(detail, pointer=pointer))
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                faults.append(Fault(_TOO_DEEP, pointer=pointer))
            elif isinstance(value, list):
                pending.extend(
                    (f"{pointer}/{index}", value[index], depth + 1) for index in range(len(value) - 1, -1, -1)
                )
            else:
                for key in reversed(value):
                    at = f"{pointer}/{_escape(key)}"
                    detail = unfit(key)
                    if detail:
                        faults.append(Fault(f"the key: {detail}", pointer=at))
                    pending.append((at, value[key], depth + 1))
        elif isinstance(value, _Mark):
            faults.append(Fault(value.detail, pointer=pointer))
    return faults, indentation


def unfit(text: str) -> str | None:
    """Why a string can't be stored, None where it can."""
    if "\0" in text:
        return "a string may not hold NUL (U+0000)"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "a string may not hold half of a surrogate pair"
    return None


def _escape(key: str) -> str:
    shown = key.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")
    return shown.replace("~", "~0").replace("/", "~1")


def _first_deep_pointer(text: str) -> str:
    """The pointer of the first value past MAX_DEPTH in a text too deep for the parser."""
    path: list[str | int] = []
    key = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == '"':
            end = position + 1
            while end < len(text) and text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            key = text[position + 1 : end]
            position = end
        elif character in "[{":
            if path and isinstance(path[-1], str):
                path[-1] = key
            if len(path) == MAX_DEPTH:
                break
            path.append(0 if character == "[" else "")
        elif character in "]}" and path:
            path.pop()
        elif character == "," and path and isinstance(path[-1], int):
            path[-1] += 1
        position += 1
    return "".join(f"/{_escape(str(step))}" for step in path)
