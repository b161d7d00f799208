"""Tune Python's garbage collector for a long-running process."""

import gc

# Number of new containers after which Python collects. A few requests reach its default of 700.
_YOUNG = 10_000


def put_off() -> None:
    """Turn collection off until `spare_what_stays` is called: imports make next to no garbage."""
    gc.disable()


def spare_what_stays() -> None:
    """Exempt all present objects from later collections; called once, after the set-up.

    Otherwise each collection of the oldest generation visits the objects of all modules, which takes a sixth
    of an API worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
    gc.enable()
