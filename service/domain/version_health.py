"""Judge the executions of a resource by version: since which version it got worse, and where to roll back to.

Two shares are compared, before a version and from it on: of executions that failed, and of successful ones
that were slow. Decision 51 tells why, and how often the rule is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import exp, lgamma, log
from typing import Final

from sql.queries.version_health import BINS_PER_E

# The chance at which a share counts as higher, for all versions of a resource together.
LEVEL: Final = 0.02
# Shares of many executions differ surely, though by little: less than this factor is not called worse.
FACTOR: Final = 1.5
# Executions on either side that are needed to compare.
LEAST: Final = 5
# Executions right before a version with which those from it on are compared.
BASELINE: Final = 500
# Slow is slower than FACTOR times the 95th percentile before.
SLOW_BINS: Final = round(BINS_PER_E * log(FACTOR))
_SLOW_SHARE: Final = 0.05
# Terms of a sum that are so much smaller than the sum add nothing.
_NOTHING: Final = 1e-9


class Worsening(StrEnum):
    """Shares that can get worse."""

    FAILURES = "failures"
    DURATION = "duration"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCounts:
    """Counts of the executions of one version; `durations` are those of successful ones by bins.

    A version that `is_stored` is no mere number that events name.
    """

    version_number: int
    failed: int
    succeeded: int
    durations: Mapping[int, int] = field(default_factory=dict)
    is_stored: bool = True

    @property
    def judged(self) -> int:
        """Return the number of executions that tell if the version does its work."""
        return self.failed + self.succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The version since which something got worse, and the one to roll back to; None for none."""

    worse_since: int | None = None
    worse_in: Worsening | None = None
    roll_back_to: int | None = None


@dataclass(frozen=True, slots=True)
class _Shares:
    """Cases among executions before a version, and from it on."""

    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def chance(self) -> float:
        """Return the chance of so many cases after it if nothing changed; 1 if there are no more of them."""
        (cases, of), (cases_after, of_after) = self.before, self.after
        if min(of, of_after) < LEAST or cases_after * of <= FACTOR * cases * of_after:
            return 1.0
        return upper_tail(cases_after, of_after, cases + cases_after, of + of_after)


def upper_tail(cases: int, drawn: int, all_cases: int, of: int) -> float:
    """Return the chance of at least `cases` among `drawn` of `of` with `all_cases` (Fisher's exact test)."""
    begin = _logs(cases, drawn, all_cases, of)
    total = term = 1.0
    for number in range(cases, min(drawn, all_cases)):
        left, others = all_cases - number, of - all_cases - drawn + number + 1
        term *= left * (drawn - number) / ((number + 1) * others)
        total += term
        if term < _NOTHING * total:
            break
    return min(1.0, exp(begin) * total)


def _logs(cases: int, drawn: int, all_cases: int, of: int) -> float:
    """Return the logarithm of the chance of exactly `cases`."""
    return _choose(all_cases, cases) + _choose(of - all_cases, drawn - cases) - _choose(of, drawn)


def _choose(of: int, some: int) -> float:
    return lgamma(of + 1) - lgamma(some + 1) - lgamma(of - some + 1)


def judge(versions: Sequence[VersionCounts], current: int | None) -> Verdict:
    """Find the version up to the current one since which shares are higher; the clearest of several.

    `versions` may come in any order, and `current` is the version of the newest execution.
    """
    known = sorted(
        (each for each in versions if each.judged and current is not None and each.version_number <= current),
        key=lambda each: each.version_number,
    )
    best: tuple[float, int, Worsening] | None = None
    for place in range(1, len(known)):
        for worsening, shares in _compared(known, place):
            chance = shares.chance
            if chance >= LEVEL / (2 * (len(known) - 1)) or _has_recovered(known, place, worsening):
                continue
            if best is None or chance < best[0]:
                best = chance, place, worsening
    if best is None:
        return Verdict()
    _, place, worsening = best
    targets = [each.version_number for each in known[:place] if each.judged >= LEAST and each.is_stored]
    return Verdict(
        worse_since=known[place].version_number,
        worse_in=worsening,
        roll_back_to=targets[-1] if targets else None,
    )


def _compared(known: Sequence[VersionCounts], place: int) -> Iterator[tuple[Worsening, _Shares]]:
    before, after = _baseline(known[:place]), known[place:]
    yield Worsening.FAILURES, _Shares(_failures(before), _failures(after))
    limit = _slow_from(before)
    if limit is not None:
        yield Worsening.DURATION, _Shares(_slow(before, limit), _slow(after, limit))


def _has_recovered(known: Sequence[VersionCounts], place: int, worsening: Worsening) -> bool:
    """Tell if a version after the one at a place made it better again."""
    limit = _slow_from(_baseline(known[:place]))
    for later in range(place + 1, len(known)):
        worse, now = known[place:later], known[later:]
        if worsening is Worsening.FAILURES:
            shares = _Shares(_failures(now), _failures(worse))
        elif limit is not None:
            shares = _Shares(_slow(now, limit), _slow(worse, limit))
        if shares.chance < LEVEL:
            return True
    return False


def _baseline(before: Sequence[VersionCounts]) -> list[VersionCounts]:
    """Return the last versions that have BASELINE executions together."""
    found: list[VersionCounts] = []
    for each in reversed(before):
        if sum(other.judged for other in found) >= BASELINE:
            break
        found.append(each)
    return found


def _failures(versions: Sequence[VersionCounts]) -> tuple[int, int]:
    return sum(each.failed for each in versions), sum(each.judged for each in versions)


def _slow_from(before: Sequence[VersionCounts]) -> int | None:
    """Return the bin from which durations are slow: FACTOR times the 95th percentile; None without any."""
    bins: dict[int, int] = {}
    for each in before:
        for place, count in each.durations.items():
            bins[place] = bins.get(place, 0) + count
    left = _SLOW_SHARE * sum(bins.values())
    for place in sorted(bins, reverse=True):
        left -= bins[place]
        if left < 0:
            return place + SLOW_BINS + 1
    return None


def _slow(versions: Sequence[VersionCounts], limit: int) -> tuple[int, int]:
    slow = sum(count for each in versions for place, count in each.durations.items() if place >= limit)
    return slow, sum(each.succeeded for each in versions)
