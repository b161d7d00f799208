"""Encode deltas for packs: a tree that differs from another in one entry takes some bytes, not kilobytes.

The format is that of gitformat-pack(5), "Deltified representation".
"""

_COPY = 0x80
_LARGEST_COPY = 0xFFFFFF
_LARGEST_INSERT = 0x7F


def delta(base: bytes, target: bytes) -> bytes:
    """Encode `target` as a delta of `base`; only a common beginning and end are looked for."""
    head = _common(base, target)
    longest = min(len(base), len(target)) - head
    tail = _common(base[len(base) - longest :][::-1], target[len(target) - longest :][::-1])
    parts = [_size(len(base)), _size(len(target)), _copies(0, head)]
    new = target[head : len(target) - tail]
    parts += [
        bytes([len(piece)]) + piece
        for start in range(0, len(new), _LARGEST_INSERT)
        if (piece := new[start : start + _LARGEST_INSERT])
    ]
    parts.append(_copies(len(base) - tail, tail))
    return b"".join(parts)


def _common(one: bytes, other: bytes) -> int:
    """Measure the common beginning of two byte strings."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _size(number: int) -> bytes:
    """Encode a size: seven bits a byte, lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(0x80 | number & 0x7F)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _copies(offset: int, size: int) -> bytes:
    parts = []
    while size:
        part = min(size, _LARGEST_COPY)
        parts.append(_copy(offset, part))
        offset, size = offset + part, size - part
    return b"".join(parts)


def _copy(offset: int, size: int) -> bytes:
    """Encode a copy: a command byte says which bytes of offset and size follow, those that are not zero."""
    command, given = _COPY, bytearray()
    for bit, value in enumerate((*offset.to_bytes(4, "little"), *size.to_bytes(3, "little"))):
        if value:
            command |= 1 << bit
            given.append(value)
    return bytes([command]) + bytes(given)
