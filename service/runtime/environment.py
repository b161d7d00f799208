"""The environment of this process, which its children inherit and other programs of its user can read."""

import ctypes
import os
from collections.abc import Iterable


def forget(names: Iterable[str]) -> None:
    """Remove variables from this environment, and overwrite their values where the system shows them.

    `/proc/<pid>/environ` is the memory in which a process got its variables, and forks have a copy: to unset
    a variable hides it from programs that are started later alone (`proc_pid_environ(5)`).
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    for name in names:
        place = libc.getenv(os.fsencode(name))
        if place is not None:
            ctypes.memset(place, 0, len(ctypes.string_at(place)))
        os.environ.pop(name, None)
