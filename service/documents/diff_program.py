"""The JSON patch (RFC 6902) between two documents, however long it takes; as a program, within limits.

`service.documents.diff` runs the program where it could take long: the two documents, one after the other, on
standard input, the bytes of the first and the seconds that it has as arguments, and the patch on standard
output.
"""

import resource
import signal
import sys
from functools import partial

import jsonpatch
import orjson

# More is read by nobody, and takes longer to apply than the whole value.
MAX_OPERATIONS = 10_000
# A patch may outweigh a small document, but not a large one: every operation repeats its path, so that ten
# thousand below one long key would make gigabytes.
MAX_SMALL_PATCH_BYTES = 64 * 1024

NO_PATCH = b"null"

# Two documents of 8 MiB that differ in one place take 160 to 350 MB, and reserve up to 850 MB of addresses,
# which are what the kernel counts.
_MEMORY_BYTES = 1024**3

_text = partial(orjson.dumps, option=orjson.OPT_SORT_KEYS)


def patch_between(old: bytes, new: bytes) -> bytes:
    """The operations that turn `old` into exactly `new`, as a JSON text, or NO_PATCH where they are too many.

    Raises ValueError for what is no JSON.
    """
    source, target, result = orjson.loads(old), orjson.loads(new), orjson.loads(old)
    try:
        # Not with orjson as its `dumps`: a text of every item is kept, and one of orjson takes 4 KB at least.
        patch = jsonpatch.make_patch(source, target)
        if len(patch.patch) > MAX_OPERATIONS:
            return NO_PATCH
        text = _text(patch.patch)
        if len(text) > max(len(new), MAX_SMALL_PATCH_BYTES):
            return NO_PATCH
        # As texts, unlike as values of Python, 1, 1.0 and true differ, and so do 0.0 and -0.0.
        exact = _text(patch.apply(result, in_place=True)) == _text(target)
    except (
        *(jsonpatch.JsonPatchException, jsonpatch.JsonPointerException),
        *(LookupError, TypeError, RecursionError, MemoryError),
    ):
        return NO_PATCH
    return text if exact else NO_PATCH


def main() -> None:
    """Answer one pair of documents."""
    old_bytes, seconds = int(sys.argv[1]), float(sys.argv[2])
    # Nobody may be left to kill it. Without a handler, the kernel ends it in the middle of whatever it is at.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    old, new = sys.stdin.buffer.read(old_bytes), sys.stdin.buffer.read()
    sys.stdout.buffer.write(patch_between(old, new))


if __name__ == "__main__":
    main()
