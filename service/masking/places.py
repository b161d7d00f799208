"""Places in documents, as the paths of RFC 6902 name them, and the secrecy of what lies there."""

from collections.abc import Iterable, Sequence
from typing import Any

from service.masking.members import item, member, siblings
from service.masking.names import Secrecy

# No list in a document has more items than a number of so many digits says.
_LONGEST_INDEX = 18


def steps_of(path: str) -> list[str]:
    """Split a path into its steps, unescaped; the first is empty."""
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]


def said_by(steps: Iterable[str]) -> Secrecy:
    """Return what the steps of a path say alone."""
    how = Secrecy.NONE
    for step in steps:
        how = member({}, step, siblings({}, how)) if not step.isdigit() else how
    return how


def secrecy_at(document: Any, steps: Sequence[str]) -> Secrecy:
    """Return the secrecy of the place in a document to which a path leads."""
    how = Secrecy.NONE
    for step in steps:
        if isinstance(document, dict):
            how = member(document, step, siblings(document, how))
            document = document.get(step)
        elif isinstance(document, list) and (index := index_in(step, document)) is not None:
            how = item(document, index, how)
            document = document[index]
        else:
            break
    return how


def index_in(step: str, values: Sequence[Any]) -> int | None:
    """Return the index that a step of a path names, None if a list has no such item."""
    # A platform's paths are any text: Python takes no thousands of digits, and not each digit for a number.
    if not step.isdecimal() or len(step) > _LONGEST_INDEX:
        return None
    index = int(step)
    return index if index < len(values) else None


def value_at(document: Any, steps: Iterable[str]) -> Any:
    """Return the value to which a path leads, None if a document has none."""
    for step in steps:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and (index := index_in(step, document)) is not None:
            document = document[index]
        else:
            return None
    return document


def written_by(operations: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Make the document of the strings that operations write, to see names beside values."""
    found: dict[str, Any] = {}
    for operation in operations:
        path, value = operation.get("path"), operation.get("value")
        if not isinstance(path, str) or not isinstance(value, str):
            continue
        *parents, last = steps_of(path)[1:] or [""]
        place = found
        for step in parents:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                break
        else:
            place[last] = value
    return found
