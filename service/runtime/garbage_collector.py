"""Tune Python's garbage collector for a long-running process."""

import gc

# Containers made since the last collection. A few requests reach Python's own threshold of 700.
_YOUNG = 10_000


def put_off() -> None:
    """Collect nothing until `spare_what_stays`: imports make next to no garbage."""
    gc.disable()


def spare_what_stays() -> None:
    """Exempt all present objects from later collections; called once, after the set-up.

    Without this, each collection of the oldest generation walks all modules: a sixth of an API worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
    gc.enable()
