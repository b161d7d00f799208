"""Compute the JSON patch (RFC 6902) between two values in linear time, fast enough for every row of a log.

`service.documents.diff` finds shorter patches for people to read; it may take minutes if items of a list have
moved.
"""

from math import copysign
from typing import Any

import orjson

Operation = dict[str, Any]


def structural_patch(old: Any, new: Any) -> list[Operation]:
    """Compute the operations that turn one JSON value into exactly the other, including the types of numbers.

    Objects are compared by key. Lists are compared item by item, after their common beginning and end.
    """
    operations: list[Operation] = []
    _compare(old, new, "", operations)
    return operations


def document_patch(old: bytes, new: bytes) -> list[Operation]:
    """Compute the operations between two JSON texts; the whole value is replaced if that is shorter."""
    after = orjson.loads(new)
    operations = structural_patch(orjson.loads(old), after)
    if len(orjson.dumps(operations)) <= len(new):
        return operations
    return [{"op": "replace", "path": "", "value": after}]


def _compare(old: Any, new: Any, path: str, operations: list[Operation]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        _compare_objects(old, new, path, operations)
    elif isinstance(old, list) and isinstance(new, list):
        _compare_lists(old, new, path, operations)
    else:
        operations.append({"op": "replace", "path": path, "value": new})


def _compare_objects(
    old: dict[str, Any], new: dict[str, Any], path: str, operations: list[Operation]
) -> None:
    for key, value in old.items():
        if key not in new:
            operations.append({"op": "remove", "path": f"{path}/{_escaped(key)}"})
        elif not _same(value, new[key]):
            _compare(value, new[key], f"{path}/{_escaped(key)}", operations)
    for key, value in new.items():
        if key not in old:
            operations.append({"op": "add", "path": f"{path}/{_escaped(key)}", "value": value})


def _compare_lists(old: list[Any], new: list[Any], path: str, operations: list[Operation]) -> None:
    shorter = min(len(old), len(new))
    begin = 0
    while begin < shorter and _same(old[begin], new[begin]):
        begin += 1
    end = 0
    while end < shorter - begin and _same(old[-1 - end], new[-1 - end]):
        end += 1
    both = shorter - begin - end
    for index in range(begin, begin + both):
        if not _same(old[index], new[index]):
            _compare(old[index], new[index], f"{path}/{index}", operations)
    first = begin + both
    # Items are removed from the last one backwards, so that no index shifts before it is used.
    operations += [
        {"op": "remove", "path": f"{path}/{index}"} for index in reversed(range(first, len(old) - end))
    ]
    operations += [
        {"op": "add", "path": f"{path}/{index}", "value": new[index]}
        for index in range(first, len(new) - end)
    ]


def _same(old: Any, new: Any) -> bool:
    if old != new or type(old) is not type(new):
        return False
    if isinstance(old, dict | list):
        # The texts are compared, since for Python 1, 1.0 and true are equal.
        return orjson.dumps(old, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            new, option=orjson.OPT_SORT_KEYS
        )
    return not isinstance(old, float) or copysign(1, old) == copysign(1, new)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
