"""Python's collector of reference cycles, told what a process that serves for long is like."""

import gc

# Of containers made since the last time; Python's own 700 is reached by a few requests.
_YOUNG = 10_000


def put_off() -> None:
    """Collect nothing until `spare_what_stays`: of what imports make, next to nothing is garbage."""
    gc.disable()


def spare_what_stays() -> None:
    """Leave out what is there by now, which stays, of each later collection; called once, when all is set up.

    A collection of the oldest generation went through all modules: a sixth of an API worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
    gc.enable()
