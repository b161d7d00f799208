"""Masking of values: keep secrets, known by shape or by name and value, out of all that is logged or printed.

Pure functions, in time linear in the size of the value; a value without secrets is returned as it is.
"""

import json
from collections.abc import Sequence
from typing import Any

import orjson

from service.masking.candidates import could_be_secret
from service.masking.members import Siblings, is_pair_value, item, member, siblings
from service.masking.names import Secrecy
from service.masking.patterns import MASK
from service.masking.places import index_in, said_by, secrecy_at, steps_of, value_at, written_by
from service.masking.texts import (
    ALL_HINTS,
    NO_NAME,
    Hints,
    hints_of,
    key_of,
    masked_text,
    without_matches,
    without_secrets,
)

# Deeper than any document (64), and less deep than JSON writers take (254): deeper values are masked unread.
MAX_DEPTH = 200
# Numbers below it are counts and flags, also under the name of a password.
_LEAST_NUMBER = 100
# The beginnings of JSON texts.
_OPENING = frozenset(("{", "["))
_NONE = Secrecy.NONE
# Values that are never masked.
_WITHOUT_SECRETS = (bool, float)
# A longer JSON text within a text is not parsed; its names are found as in any text.
_LONGEST_PARSED = 256 * 1024
# Joins the words of a command that is a list, so that one search finds an option and its value.
_JOINT = "\x1f"
# A longer list is no command.
_MOST_WORDS = 256
# Members that hold operations, with those that hold the states before and after, in events and data changes.
_PATCHES = {"changes": ("old_values", "new_values"), "diff": ("old_data", "new_data")}


def masked(value: Any) -> Any:
    """Mask a JSON value; the structure stays, and a value without secrets is returned itself.

    A value that is not JSON, as a log line may have, is replaced by its text if that contains a secret.
    """
    hints = _hints_in(value)
    return _masked(value, hints, Secrecy.NONE, 0) if hints.signs else value


def masked_patch(operations: list[dict[str, Any]], documents: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Mask RFC 6902 operations; the steps of a path, and what lies around it in the documents, decide.

    `documents` are those before and after the operations. Where a name stands beside a value, the value is a
    secret if either of them says so, or another operation that writes the name.
    """
    # One search covers all operations, since most have no secret. An escape `~` is only decoded when each
    # step is read.
    paths = (f"{operation.get('path')}{operation.get('from')}" for operation in operations)
    if not documents and not _hints_in(operations).signs and not any(map(_needs_reading, paths)):
        return operations
    around = [*documents, written_by(operations)]
    return [_masked_operation(operation, around, is_known=bool(documents)) for operation in operations]


def _needs_reading(path: str) -> bool:
    return "~" in path or is_pair_value(path.rpartition("/")[2].removesuffix("None"))


def _hints_in(value: Any) -> Hints:
    try:
        return hints_of(orjson.dumps(value).decode())
    except TypeError:
        return ALL_HINTS


def _masked(value: Any, hints: Hints, how: Secrecy, depth: int) -> Any:
    """Mask a value under a name of some secrecy."""
    if isinstance(value, str):
        return _masked_string(value, hints, how, depth)
    if value is None or isinstance(value, _WITHOUT_SECRETS):
        return value
    if isinstance(value, int):
        return MASK if abs(value) >= _LEAST_NUMBER and how >= Secrecy.ANY else value
    if depth >= MAX_DEPTH:
        return MASK
    if isinstance(value, dict):
        return _masked_object(value, hints, how, depth + 1)
    if isinstance(value, list):
        return _masked_list(value, hints, how, depth + 1)
    return _masked_other(value, hints)


def _masked_string(value: str, hints: Hints, how: Secrecy, depth: int) -> str:
    if how is _NONE and value[:1] not in _OPENING:
        # Most strings are of this kind.
        return without_secrets(value, hints)
    if value[:1] == "{" and how <= Secrecy.LIKELY and (kept := _masked_json(value, hints, how, depth)):
        # The names within it decide, as within an object: `{"algorithm": …}` below `credentialData`.
        return kept
    if how is not _NONE and value != MASK and could_be_secret(value, how):
        return MASK
    return _masked_json(value, hints, how, depth) or without_secrets(value, hints)


def _masked_json(text: str, hints: Hints, how: Secrecy, depth: int) -> str | None:
    """Mask a JSON text within a string; None if it is none, or holds no name that the hints found."""
    if text[:1] not in _OPENING or len(text) > _LONGEST_PARSED or not hints.names:
        return None
    parsed = _parsed(text)
    if parsed is None:
        return None
    kept = _masked(parsed, hints, how, depth + 1)
    return text if kept is parsed else orjson.dumps(kept).decode()


def _parsed(text: str) -> Any:
    """Parse a JSON text within a string; None if it is not one, or loses a member in being parsed."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member stands twice")
    return found


def _masked_list(value: list[Any], hints: Hints, how: Secrecy, depth: int) -> list[Any]:
    read = _without_commands(value, hints)
    items = [
        _masked(each, hints, item(value, index, how) if isinstance(each, str) else how, depth)
        for index, each in enumerate(read)
    ]
    return value if all(map(_is, items, value)) else items


def _without_commands(value: list[Any], hints: Hints) -> list[Any]:
    """Mask the secrets of a command whose words are the items of a list."""
    if (
        not hints.commands
        or not 1 < len(value) <= _MOST_WORDS
        or not all(isinstance(each, str) for each in value)
    ):
        return value
    joined = _JOINT.join(value)
    shown = without_matches(joined, joined.lower(), hints.commands)
    items = shown.split(_JOINT)
    return (
        [old if old == new else new for old, new in zip(value, items, strict=True)]
        if len(items) == len(value)
        else value
    )


def _is(one: object, other: object) -> bool:
    return one is other


def _masked_object(value: dict[Any, Any], hints: Hints, inherited: Secrecy, depth: int) -> dict[Any, Any]:
    around: Siblings | None = None
    found: dict[Any, Any] = {}
    numbers: dict[str, int] = {}
    changed = False
    for key, each in value.items():
        shown, how, is_alone = key_of(key) if isinstance(key, str) else NO_NAME
        if not is_alone or inherited is not _NONE:
            around = around or siblings(value, inherited)
            how = member(value, key, around)
        kept = each
        if key in _PATCHES and (patch := _patch_between(value, key, each)) is not None:
            kept = masked_patch(each, patch)
        kept = (
            _masked_string(kept, hints, how, depth)
            if isinstance(kept, str)
            else _masked(kept, hints, how, depth)
        )
        if shown is not None:
            key = free_key(shown, value, numbers)
            changed = True
        elif kept is not each:
            changed = True
        found[key] = kept
    return found if changed else value


def _patch_between(value: dict[Any, Any], key: Any, operations: Any) -> list[Any] | None:
    """Return the states beside a member that holds the operations between them, as in a posted event."""
    if not isinstance(operations, list):
        return None
    if not all(isinstance(each, dict) for each in operations):
        return None
    return [value[state] for state in _PATCHES[key] if state in value] or None


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


def _masked_other(value: Any, hints: Hints) -> Any:
    """Mask a value that is not JSON, by its printed form."""
    text = repr(value)
    found = without_secrets(text, hints)
    return value if found is text else found


def _masked_operation(
    operation: dict[str, Any], documents: Sequence[Any], *, is_known: bool
) -> dict[str, Any]:
    # A platform's operation may have members that RFC 6902 does not know, and paths that are not valid.
    found = dict(masked({key: each for key, each in operation.items() if key != "value"}))
    if isinstance(path := operation.get("path"), str):
        found["path"] = _masked_path(path)
    if isinstance(source := operation.get("from"), str):
        found["from"] = _masked_path(source)
    if "value" in operation:
        found["value"] = _masked_value(operation["value"], path, documents, is_known=is_known)
    # The order of the members stays.
    found = {key: found.pop(key) for key in operation if key in found} | found
    is_same = found.keys() == operation.keys() and all(map(_is, found.values(), operation.values()))
    return operation if is_same else found


def _masked_path(path: str) -> str:
    whole = masked_text(path)
    keys = steps_of(whole)
    shown = "/".join((key_of(key).shown or key).replace("~", "~0").replace("/", "~1") for key in keys)
    return path if shown == path else shown


def _masked_value(value: Any, path: Any, documents: Sequence[Any], *, is_known: bool) -> Any:
    """Mask the value of an operation, by the steps of its path and what lies around it in the documents.

    Where nobody knows the name beside a value, the value itself has to look like a secret.
    """
    steps = steps_of(path)[1:] if isinstance(path, str) and path.startswith("/") else []
    how = said_by(steps)
    shown = value
    for document in documents:
        how = max(how, secrecy_at(document, steps))
        if isinstance(value, str):
            shown = _word_of_command(document, steps, shown)
    if not is_known and steps and is_pair_value(steps[-1]):
        how = max(how, Secrecy.LIKELY)
    hints = _hints_in(shown)
    if not hints.signs and how is Secrecy.NONE:
        return shown
    return _masked(shown, hints, how, 0)


def _word_of_command(document: Any, steps: Sequence[str], value: str) -> str:
    """Mask a word of a command whose other words are in the document."""
    document = value_at(document, steps[:-1])
    last = steps[-1] if steps else ""
    if not isinstance(document, list) or len(document) > _MOST_WORDS:
        return value
    index = index_in(last, document)
    if index is None:
        return value
    words = [*document]
    words[index] = value
    return str(_without_commands(words, _hints_in(words))[index])
