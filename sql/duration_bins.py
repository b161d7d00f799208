"""Bins of durations: their counts can be added, and percentiles be read from the sums.

A bin holds durations from a power of BASE up to the next one. The value that stands for all of them is the
one whose relative error is the same at both ends: Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable
quantile sketch with relative-error guarantees", PVLDB 12(12), 2019, section 2.
"""

import math
from typing import Any, Final

from sqlalchemy import ColumnElement, Double, SmallInteger, case, cast, func, literal

BASE: Final = 1.1
# The relative error of a percentile: 4.8 percent, and what arithmetic adds.
ERROR: Final = 0.05
# The bin of durations of zero, below all others: that of the shortest double is -7,811.
ZERO: Final = -32_768
_MIDDLE: Final = 2 * BASE / (1 + BASE)

# The bin of a duration in SQL; null for none.
BIN_OF: Final = f"""
CASE WHEN duration_ms IS NULL THEN NULL WHEN duration_ms <= 0 THEN {ZERO}
    ELSE floor(ln(duration_ms) / {math.log(BASE)!r}) END::SMALLINT"""


def bin_of(duration: ColumnElement[Any]) -> ColumnElement[int]:
    """Make the bin of a duration; null for none."""
    place = func.floor(func.ln(duration) / literal(math.log(BASE), Double()))
    return cast(case((duration.is_(None), None), (duration <= 0, ZERO), else_=place), SmallInteger())


def value_of(place: ColumnElement[int]) -> ColumnElement[float]:
    """Make the duration that stands for those of a bin; null for none."""
    power = func.power(literal(BASE, Double()), cast(place, Double()))
    return case((place == ZERO, literal(0.0, Double())), else_=literal(_MIDDLE, Double()) * power)
