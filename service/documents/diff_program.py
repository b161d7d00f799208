"""The JSON patch (RFC 6902) between two documents, without a time limit; as a program, within limits.

`service.documents.diff` runs the program where a comparison could take long. Standard input has the two
documents, one after the other. The arguments are the bytes of the first and the seconds for all. Standard
output gets the patch.
"""

import resource
import signal
import sys
from functools import partial

import jsonpatch
import orjson

# Nobody reads more, and a longer patch takes longer to apply than the whole value.
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
    """Compute the operations that turn `old` into exactly `new`, as a JSON text; NO_PATCH for too many.

    Raises ValueError for a text that is no JSON.
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
        # Compared as texts: for Python 1, 1.0 and true are equal, and so are 0.0 and -0.0.
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
    # The parent may have died, so the child ends itself. Without a handler, the kernel ends it at once.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    old, new = sys.stdin.buffer.read(old_bytes), sys.stdin.buffer.read()
    sys.stdout.buffer.write(patch_between(old, new))


if __name__ == "__main__":
    main()
