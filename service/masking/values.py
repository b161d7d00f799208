"""Masking of values: keep secrets, known by name or shape, out of all that is stored in a log or printed.

Pure functions, in time linear in the size of the value; a value without secrets is returned as it is.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from service.masking.assignments import without_assignments
from service.masking.names import SIGNS as NAME_SIGNS
from service.masking.names import Secrecy, secrecy
from service.masking.patterns import MASK, RULES, SecretPattern
from service.masking.quick_search import QuickSearch

# Deeper than any document (64), and less deep than JSON writers take (254): deeper values are masked unread.
MAX_DEPTH = 200
# Each secret name contains one of the signs, in lower case, or has encoded characters, which begin with one
# of the last two.
_NAME_SIGNS = frozenset((*NAME_SIGNS, "%", "\\u"))
# Keys that hold the name of a value in lists of settings and headers: [{"name": "API_KEY", "value": "…"}].
NAMING = ("name", "key", "header", "variable", "Name", "Key")
NAMED = ("value", "Value", "default")
_LONGEST_REMEMBERED = 100
_MOST_PASSES = 4


class Hints(NamedTuple):
    """The secrets that a value may contain, found by a quick search; only these are then searched for."""

    signs: tuple[str, ...]
    rules: tuple[SecretPattern, ...]
    names: bool


def masked(value: Any) -> Any:
    """Mask a JSON value; the structure stays, and a value without secrets is returned itself.

    Under a secret-looking key everything but booleans, null and empty values is replaced as a whole. A value
    that is not JSON, as a log line may have, is replaced by its text if that contains a secret.
    """
    hints = _hints_in(value)
    return _masked(value, hints, 0) if hints.signs else value


def masked_text(text: str) -> str:
    """Mask a text."""
    return _masked_text(text, _hints(text.lower()))


def masked_patch(operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mask RFC 6902 operations: all values below a secret-looking step of the path are secrets."""
    # One search covers all operations, since most have no secret. An escape `~` is only decoded when each
    # step is read.
    paths = (f"{operation.get('path')}{operation.get('from')}" for operation in operations)
    if not _hints_in(operations).signs and not any("~" in path for path in paths):
        return operations
    return [_masked_operation(operation) for operation in operations]


def _hints_in(value: Any) -> Hints:
    try:
        return _hints(orjson.dumps(value).decode().lower())
    except TypeError:
        return _ALL_HINTS


def _hints(lowered: str) -> Hints:
    signs = _SEARCH.found_in(lowered)
    if not signs:
        return _NO_HINTS
    rules = tuple(rule for rule in RULES if not rule.signs.isdisjoint(signs))
    return Hints(tuple(signs), rules, names=not _NAME_SIGNS.isdisjoint(signs))


_SEARCH = QuickSearch(sorted(_NAME_SIGNS.union(*(rule.signs for rule in RULES))))
_NO_HINTS = Hints((), (), names=False)
_ALL_HINTS = Hints(("",), RULES, names=True)


def _masked(value: Any, hints: Hints, depth: int) -> Any:
    if isinstance(value, str):
        return _masked_text(value, hints)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= MAX_DEPTH:
        return MASK
    if isinstance(value, dict):
        return _masked_object(value, hints, depth + 1)
    if isinstance(value, list):
        items = [_masked(item, hints, depth + 1) for item in value]
        return value if all(map(_is, items, value)) else items
    return _masked_other(value, hints)


def _is(one: object, other: object) -> bool:
    return one is other


def _masked_object(value: dict[Any, Any], hints: Hints, depth: int) -> dict[Any, Any]:
    named = _named_secrecy(value)
    found: dict[Any, Any] = {}
    numbers: dict[str, int] = {}
    changed = False
    for key, item in value.items():
        shown, how = _key(key) if isinstance(key, str) else (key, Secrecy.NONE)
        if named is not Secrecy.NONE and key in NAMED:
            how = max(how, named)
        kept = _masked(item, hints, depth) if how is Secrecy.NONE else _hidden(item, how)
        renamed = shown != key
        if renamed:
            shown = free_key(shown, value, numbers)
        changed = changed or kept is not item or renamed
        found[shown] = kept
    return found if changed else value


def _named_secrecy(value: dict[Any, Any]) -> Secrecy:
    """Return the secrecy of the value in an object whose other field is its name."""
    if "value" not in value and "Value" not in value and "default" not in value:
        return Secrecy.NONE
    names = (value.get(key) for key in NAMING)
    return max((secrecy(name) for name in names if isinstance(name, str)), default=Secrecy.NONE)


def free_key(key: str, value: dict[Any, Any], numbers: dict[str, int]) -> str:
    """Return a changed key that no other key of the object equals, so that two keys stay two.

    `numbers` counts the requests for each key.
    """
    number = numbers.get(key, 0)
    free = key
    while number or free in value:
        number += 1
        free = f"{key} {number}"
        if free not in value:
            break
    numbers[key] = max(number, 1)
    return free


def _hidden(value: Any, how: Secrecy) -> Any:
    """Mask a value under a secret name."""
    if value is None or isinstance(value, bool) or value in ("", [], {}, MASK):
        return value
    return value if how is Secrecy.ALL_BUT_NUMBERS and _counts(value, 0) else MASK


def _counts(value: Any, depth: int) -> bool:
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return depth < MAX_DEPTH and all(_counts(item, depth + 1) for item in items)
    return value is None or isinstance(value, int | float)


def _masked_other(value: Any, hints: Hints) -> Any:
    """Mask a value that is not JSON, by its printed form."""
    text = repr(value)
    found = _masked_text(text, hints)
    return value if found is text else found


def _key(key: str) -> tuple[str, Secrecy]:
    """Mask a key, and return the secrecy of its value."""
    return _remembered_key(key) if len(key) <= _LONGEST_REMEMBERED else _read_key(key)


def _read_key(key: str) -> tuple[str, Secrecy]:
    shown = masked_text(key)
    how = secrecy(key)
    # The masked key may have another secrecy than the key. Masking again must change nothing, so the higher
    # one counts.
    return shown, how if shown is key else max(how, secrecy(shown))


_remembered_key = lru_cache(maxsize=4096)(_read_key)


def _masked_text(text: str, hints: Hints) -> str:
    lowered = text.lower()
    for sign in hints.signs:
        if sign in lowered:
            break
    else:
        return text
    found = text
    # An odd text, half quoted and half an assignment, is understood differently once a part of it is masked:
    # mask again until nothing changes.
    for _ in range(_MOST_PASSES):
        before, found = found, _masked_once(found, hints)
        if found == before:
            break
    return text if found == text else found


def _masked_once(text: str, hints: Hints) -> str:
    for rule in hints.rules:
        text = rule.pattern.sub(rule.replacement, text)
    return without_assignments(text) if hints.names else text


def _masked_operation(operation: dict[str, Any]) -> dict[str, Any]:
    # A platform's operation may have members that RFC 6902 does not know, and paths that are not valid.
    found = dict(masked(operation))
    how = Secrecy.NONE
    if isinstance(path := operation.get("path"), str):
        found["path"], how = _masked_path(path)
    if isinstance(source := operation.get("from"), str):
        found["from"], _ = _masked_path(source)
    if "value" in operation and how is not Secrecy.NONE:
        found["value"] = _hidden(operation["value"], how)
    is_same = found.keys() == operation.keys() and all(map(_is, found.values(), operation.values()))
    return operation if is_same else found


def _masked_path(path: str) -> tuple[str, Secrecy]:
    keys = [_key(token.replace("~1", "/").replace("~0", "~")) for token in path.split("/")]
    shown = "/".join(key.replace("~", "~0").replace("/", "~1") for key, _ in keys)
    return path if shown == path else shown, max(how for _, how in keys)
