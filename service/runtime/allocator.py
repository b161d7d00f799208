"""The C library's allocator, set so that the memory of large documents goes back to the system."""

import ctypes

# Parameters of mallopt(3) in glibc.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_ARENA_MAX = -8
_MIB = 1024 * 1024
# Blocks from this size on are mapped, and unmapped once they are free. Left alone, glibc raises this size to
# that of the largest block that was ever freed, and then keeps them all.
MAPPED_BYTES = _MIB
# Free memory that is kept for the next batch of small changes, which would pay for new memory in page faults.
_KEPT_BYTES = 16 * _MIB
# Threads wait for the interpreter more than for the allocator; each further arena keeps what it once had.
_ARENAS = 2


def give_back_large_blocks() -> None:
    """Set the allocator; does nothing where the C library has no such settings."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_ARENA_MAX, _ARENAS)
