"""Summaries of what versions changed, kept by their blobs, which never change."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import Lock

from service.usecases import histories
from service.usecases.histories import Pair
from service.web import differences
from service.web.gate import View

# Summaries that a process keeps: some 200 bytes each.
MOST_KEPT = 10_000


class KeptSummaries:
    """Summaries by the blobs before and after; those looked for longest ago make room for others."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._lock = Lock()
        self._kept: OrderedDict[Pair, str] = OrderedDict()

    def found(self, pairs: Iterable[Pair]) -> dict[Pair, str]:
        """Return those that are kept."""
        with self._lock:
            known = {pair: self._kept[pair] for pair in pairs if pair in self._kept}
            for pair in known:
                self._kept.move_to_end(pair)
        return known

    def keep(self, made: dict[Pair, str]) -> None:
        """Keep summaries."""
        with self._lock:
            self._kept.update(made)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


_kept = KeptSummaries()


def of_pairs(view: View, pairs: Mapping[int, Pair]) -> dict[int, str | None]:
    """Summarize what versions changed, by their numbers; None where that would take long."""
    known = _kept.found(pairs.values())
    missing = [pair for pair in pairs.values() if pair not in known]
    if missing:
        made = histories.summarized(view.context, view.subscription_id, missing, _summary)
        _kept.keep(made)
        known |= made
    return {number: known.get(pair) for number, pair in pairs.items()}


def _summary(before: bytes | None, after: bytes) -> str:
    return differences.summary_of(before, after).text
