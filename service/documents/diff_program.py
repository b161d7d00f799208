"""Compute the JSON patch (RFC 6902) between two documents; as a program, within limits of time and memory.

`service.documents.diff` runs the program if a comparison could take long. Standard input has the two
documents, one after the other. The arguments are the size of the first document in bytes, and the seconds
allowed for the comparison. Standard output gets the patch.
"""

import resource
import signal
import sys
from functools import partial

import jsonpatch
import orjson

# Nobody reads more operations, and a longer patch takes longer to apply than the whole value.
MAX_OPERATIONS = 10_000
# A patch may outweigh a small document, but not a large one: every operation repeats its path, so ten
# thousand below one long key would make gigabytes.
MAX_SMALL_PATCH_BYTES = 64 * 1024

NO_PATCH = b"null"

# Two documents of 8 MiB that differ in one place take 160 to 350 MB, and reserve up to 850 MB of addresses,
# which the kernel counts.
_MEMORY_BYTES = 1024**3

_text = partial(orjson.dumps, option=orjson.OPT_SORT_KEYS)


def patch_between(old: bytes, new: bytes) -> bytes:
    """Compute the operations that turn `old` into exactly `new`, as a JSON text.

    NO_PATCH stands for operations that are too many, too large or not exact. Raises ValueError for a text
    that is not JSON.
    """
    source, target, result = orjson.loads(old), orjson.loads(new), orjson.loads(old)
    try:
        # The patch is not made with orjson as its `dumps`, because it keeps a text of every item, and a text
        # of orjson takes 4 KB at least.
        patch = jsonpatch.make_patch(source, target)
        if len(patch.patch) > MAX_OPERATIONS:
            return NO_PATCH
        text = _text(patch.patch)
        if len(text) > max(len(new), MAX_SMALL_PATCH_BYTES):
            return NO_PATCH
        # The documents are compared as texts: for Python 1, 1.0 and true are equal, and so are 0.0 and -0.0.
        exact = _text(patch.apply(result, in_place=True)) == _text(target)
    except (
        *(jsonpatch.JsonPatchException, jsonpatch.JsonPointerException),
        *(LookupError, TypeError, RecursionError, MemoryError),
    ):
        return NO_PATCH
    return text if exact else NO_PATCH


def main() -> None:
    """Compare one pair of documents."""
    old_bytes, seconds = int(sys.argv[1]), float(sys.argv[2])
    # The child limits itself, since its parent may have died. Without a handler, the kernel ends it at once.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    old, new = sys.stdin.buffer.read(old_bytes), sys.stdin.buffer.read()
    sys.stdout.buffer.write(patch_between(old, new))


if __name__ == "__main__":
    main()
