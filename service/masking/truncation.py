"""Truncation of values too large for a log: their beginning and true size stay, but no half of a secret.

Each function masks before it cuts, and replaces characters that PostgreSQL cannot store.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson

from service.masking.members import judged_late
from service.masking.patterns import MASK
from service.masking.texts import hints_of, masked_text
from service.masking.values import MAX_DEPTH, free_key, masked, masked_patch

T = TypeVar("T")

# Below this size there is no room for the marker itself.
MIN_BYTES = 100

# The part of a long text that is searched, as a multiple of the part that is shown, since masking shortens
# texts. No key or token is longer than LONGEST_SECRET.
_READ_AHEAD = 4
LONGEST_SECRET = 16 * 1024

# So many values share one quick search: of more, some would look like a secret, as ids do now and then.
_LOOKED_AT = 32

# PostgreSQL does not take NUL, and UTF-8 has no lone surrogates.
_UNFIT = re.compile("[\0\ud800-\udfff]")
_SUBSTITUTE = "\ufffd"
# The escape of NUL as the JSON writer makes it; a backslash that is itself escaped only costs a search.
_ESCAPED_NUL = b"\\u0000"


def bounded(value: Any, max_bytes: int) -> Any:
    """Mask a JSON value; if its text is larger than `max_bytes`, replace it by its beginning.

    The replacement is `{"truncated": true, "bytes": <size of the whole>, "beginning": "<its masked text,
    cut>"}`, of at most `max_bytes` as compact JSON.
    """
    if _is_plain(value, max_bytes):
        return value
    read, size = _read(clean(value), max_bytes)
    return _cut(masked(read), read, max_bytes, size)


def _is_plain(value: Any, max_bytes: int) -> bool:
    """Tell by one text of a value that nothing is to be done, as for most: it is small, and has no secret."""
    _check(max_bytes)
    try:
        text = orjson.dumps(value)
    except TypeError:
        return False
    return len(text) <= max_bytes and _ESCAPED_NUL not in text and not hints_of(text.decode()).signs


def bounded_all(values: list[Any], max_bytes: int) -> list[Any]:
    """Mask and cut many JSON values, each as `bounded` does.

    Values are searched together, which mostly finds no secret.
    """
    found = []
    for some in _parts(clean(values)):
        read, sizes = _read_all(some, max_bytes)
        kept = masked(read)
        found += [
            _cut(each, value, max_bytes, size) for each, value, size in zip(kept, read, sizes, strict=True)
        ]
    return found


def bounded_patch(operations: list[dict[str, Any]], max_bytes: int, documents: Sequence[Any] = ()) -> Any:
    """Mask and cut RFC 6902 operations as `bounded` does; their paths are masked, too.

    `documents` are those before and after the operations: what stands around a value decides if it is masked.
    """
    read, size = _read(clean(operations), max_bytes)
    return _cut(masked_patch(read, documents), read, max_bytes, size)


def bounded_patches(patches: list[list[dict[str, Any]]], max_bytes: int) -> list[Any]:
    """Mask and cut many lists of operations, each of which holds whole states; they are searched together."""
    found = []
    for some in _parts(clean(patches)):
        read, sizes = _read_all(some, max_bytes)
        kept = iter(masked_patch([operation for patch in read for operation in patch]))
        found += [
            _cut(list(islice(kept, len(patch))), patch, max_bytes, size)
            for patch, size in zip(read, sizes, strict=True)
        ]
    return found


def _read_all(values: list[Any], max_bytes: int) -> tuple[list[Any], list[int]]:
    # Mostly all of them together are small, and none has to be measured by itself.
    if len(_json(values)) <= max_bytes:
        return values, [0] * len(values)
    sizes = [len(_json(value)) for value in values]
    limit = _limit(max_bytes)
    read = [
        value if size <= limit else _beginning(value, limit, 0)[0]
        for value, size in zip(values, sizes, strict=True)
    ]
    return read, sizes


def _read(value: Any, max_bytes: int) -> tuple[Any, int]:
    """Return the part of a value that can be shown, and the size of the whole.

    Only this part is searched for secrets, since a search of megabytes takes a second.
    """
    size = len(_json(value))
    limit = _limit(max_bytes)
    return (value if size <= limit else _beginning(value, limit, 0)[0]), size


def _limit(max_bytes: int) -> int:
    """Size up to which a value is read whole."""
    return max_bytes + _READ_AHEAD * LONGEST_SECRET


def _beginning(value: Any, room: int, depth: int) -> tuple[Any, int]:
    """Return the beginning of a value of about so many bytes, and the room that it leaves."""
    if isinstance(value, str):
        return value[: max(0, room)], room - len(value) - 2
    if not isinstance(value, dict | list) or depth >= MAX_DEPTH:
        return value, room - 4
    if isinstance(value, list):
        items = []
        for item in value:
            if room <= 0:
                break
            part, room = _beginning(item, room - 1, depth + 1)
            items.append(part)
        return items, room
    found: dict[str, Any] = {}
    for key, item in value.items():
        if room <= 0:
            break
        found[key], room = _beginning(item, room - len(key) - 4, depth + 1)
    if len(found) < len(value):
        # The member that tells that another one is a secret may be among those that are not read.
        found |= {key: MASK for key in judged_late(value) if key in found}
    return found, room


def _parts(values: list[T]) -> Iterator[list[T]]:
    return (values[at : at + _LOOKED_AT] for at in range(0, len(values), _LOOKED_AT))


def bounded_text(text: str, max_bytes: int, longest_secret: int = LONGEST_SECRET) -> str:
    """Mask a text; if it is too large in UTF-8, return its beginning and ` … [cut: <its size> bytes]`."""
    _check(max_bytes)
    text = clean_text(text)
    read = _READ_AHEAD * max_bytes + longest_secret
    if len(text) <= read:
        found = masked_text(text)
        if len(found.encode()) <= max_bytes:
            return found
    else:
        # Only the part that can be shown is searched. Its end is left out, since it may be half a secret.
        found = masked_text(text[:read])[:-longest_secret]
    marker = f" … [cut: {len(text.encode())} bytes]"
    return found.encode()[: max_bytes - len(marker.encode())].decode(errors="ignore") + marker


def clean_text(text: str) -> str:
    """Replace each NUL and lone surrogate by U+FFFD: PostgreSQL takes neither."""
    if text.isascii():
        return text.replace("\0", _SUBSTITUTE) if "\0" in text else text
    return _UNFIT.sub(_SUBSTITUTE, text)


def clean(value: Any) -> Any:
    """Clean all strings and keys of a JSON value, and mask values too deep to be read."""
    try:
        if _ESCAPED_NUL not in orjson.dumps(value):
            return value
    except TypeError:
        # There is a lone surrogate, or just a number that this writer does not know.
        pass
    return _clean(value, 0)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, dict | list):
        return value
    if depth >= MAX_DEPTH:
        return MASK
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    found: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    for key, item in value.items():
        shown = clean_text(key)
        if shown != key:
            shown = free_key(shown, value, numbers)
        found[shown] = _clean(item, depth + 1)
    return found


def _cut(kept: Any, read: Any, max_bytes: int, size: int) -> Any:
    """Cut what is kept of the part that was read; `size` is that of the whole, 0 if it is known to fit."""
    _check(max_bytes)
    if size <= max_bytes and kept is read:
        return kept
    text = _json(kept)
    if size > _limit(max_bytes):
        # The end is left out, since it may be half a secret.
        text = text[:-LONGEST_SECRET]
    elif len(text) <= max_bytes:
        return kept
    else:
        size = size or len(_json(read))
    # Within the beginning, quotes are escaped once more: bisection finds how much of it fits.
    fits, too_many = 0, min(max_bytes, len(text) + 1)
    while fits + 1 < too_many:
        middle = (fits + too_many) // 2
        if len(_json(_truncated(text[:middle], size))) <= max_bytes:
            fits = middle
        else:
            too_many = middle
    return _truncated(text[:fits], size)


def _truncated(beginning: bytes, size: int) -> dict[str, Any]:
    return {"truncated": True, "bytes": size, "beginning": beginning.decode(errors="ignore")}


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # The fast writer refuses integers past 64 bits, and too many levels.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode()


def _check(max_bytes: int) -> None:
    if max_bytes < MIN_BYTES:
        raise ValueError(f"at least {MIN_BYTES} bytes are needed, not {max_bytes}")
