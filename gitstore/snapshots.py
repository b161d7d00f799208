"""The canonical bytes of a snapshot, which are its git blob and the truth of its version."""

import math
import re
from dataclasses import dataclass
from hashlib import sha1

import orjson

_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
_NATIVE_REFUSED = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)

_HEAD = b'{\n  "definition": '
_DEFINITION_END = b"\n}\n"
# This cannot occur inside a definition: its strings hold no raw newline and its keys are indented deeper. It
# follows the definition because keys are sorted.
_TAIL = b',\n  "description": '
# A double ends its line, perhaps before a comma. In a string it can't: such a line ends in a quote.
_DOUBLE = re.compile(rb"(?<= )-?[0-9]+(?=[.eE])[0-9.eE+-]+(?=,?\n)")


@dataclass(frozen=True)
class Snapshot:
    """The parts of a snapshot; `definition` is its canonical bytes as they are inside the whole."""

    definition: bytes
    description: str | None
    name: str
    parent_id: str | None
    resource_id: str
    resource_type: str


def canonical_definition(definition: dict[str, object]) -> bytes:
    """Return the bytes of a definition exactly as its snapshot has them, indented one level.

    Raises ValueError for values that JSON or UTF-8 can't hold: non-finite floats, lone surrogates, integers
    past 64 bits, keys that are not strings, nesting past orjson's limit.
    """
    try:
        whole = orjson.dumps({"definition": definition}, option=_OPTIONS | _NATIVE_REFUSED)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"not a JSON document: {error}") from error
    # orjson writes NaN and infinity as null, so only a text with a null in it can have lost one.
    if b"null" in whole and not is_finite(definition):
        raise ValueError("not a JSON document: a number is not finite")
    if not _ORJSON_IS_CANONICAL:
        whole = with_canonical_doubles(whole)
    return whole[len(_HEAD) : -len(_DEFINITION_END)]


def assemble(
    *,
    definition: bytes,
    description: str | None,
    name: str,
    parent_id: str | None,
    resource_id: str,
    resource_type: str,
) -> bytes:
    """Assemble a snapshot around the canonical bytes of its definition.

    Raises ValueError as `canonical_definition` does.
    """
    rest = {
        "description": description,
        "name": name,
        "parent_id": parent_id,
        "resource_id": resource_id,
        "resource_type": resource_type,
    }
    try:
        tail = orjson.dumps(rest, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"not a JSON document: {error}") from error
    return b"".join((_HEAD, definition, b",", tail.removeprefix(b"{")))


def split(snapshot: bytes) -> Snapshot:
    """Split a snapshot without parsing its definition; raises ValueError if the bytes are not a snapshot."""
    boundary = snapshot.rfind(_TAIL)
    if boundary < 0 or not snapshot.startswith(_HEAD):
        raise ValueError("not a snapshot: its first fields are not definition and description")
    rest = orjson.loads(b"{" + snapshot[boundary + 1 :])
    try:
        return Snapshot(definition=snapshot[len(_HEAD) : boundary], **rest)
    except TypeError as error:
        raise ValueError(f"not a snapshot: {error}") from error


def double(value: float) -> bytes:
    """Write a finite double canonically: the fewest digits that read back as it.

    From 1e-5 up to, but not including, 1e16 it has no exponent; an exponent has its sign and no leading
    zeros. This is the form of orjson since 3.11.7.
    """
    # Python finds the same digits, but writes 0.00001 as 1e-05 and 1e-7 as 1e-07.
    digits, _, exponent = repr(value).partition("e")
    if exponent == "-05":
        digits = digits.replace(".", "")
        return (f"-0.0000{digits[1:]}" if digits[0] == "-" else f"0.0000{digits}").encode()
    return (f"{digits}e{int(exponent):+d}" if exponent else digits).encode()


def with_canonical_doubles(text: bytes) -> bytes:
    """Write the doubles of an indented text as `double` does, in whichever way they are written in it."""
    return _DOUBLE.sub(lambda found: double(float(found[0])), text)


# Doubles of each notation, and those at the borders between notations.
_NOTATIONS = [0.0, 1.5, 123456.75, 9.5e-5, 1e-5, 9.999999999999999e-6, 1e-6, 1.5e-10, 5e-324]
_NOTATIONS += [9999999999999998.0, 1e16, 1.5e16, 1e21, 1e100, 1.7976931348623157e308]
# An orjson that writes each of these as `double` does needs no help. If another release writes them in
# another way, its bytes would change the blobs of unchanged documents.
_ORJSON_IS_CANONICAL = all(
    orjson.dumps(number) == double(number) for value in _NOTATIONS for number in (value, -value)
)


def blob_id(data: bytes) -> str:
    """Compute git's id of a blob of these bytes: 40 hex digits."""
    digest = sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def is_finite(value: object) -> bool:
    """Check that no number in a JSON value is NaN or infinite."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_finite, value))
    return True
