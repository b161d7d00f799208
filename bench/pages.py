"""`script/bench pages`: the first byte of each page beside its data by the API; pages of long times."""

import sys

from bench import browsing, looking_back, tailing
from bench.command import Benchmark, run
from bench.stage import Sizes


def _sizes(sizes: Sizes) -> str:
    return (
        f"{sizes.pairs} pairs; a subscription of {sizes.resources:,} resources; "
        f"{sizes.executions:,} executions and five times as many nodes over {looking_back.DAYS} days, "
        f"beside {sizes.subscriptions - 1} others; {sizes.audit_events:,} audit events"
    )


PAGES = Benchmark(
    name="pages",
    about=str(__doc__),
    title="Pages: one reader, one page after the other",
    groups=(
        (tuple(each.demand for each in browsing.PAGES), browsing.views),
        (looking_back.DEMANDS, looking_back.pages),
        ((tailing.TAILS,), tailing.saves),
    ),
    sizes=_sizes,
    request="page",
    timed=False,
)

if __name__ == "__main__":
    sys.exit(run(PAGES))
