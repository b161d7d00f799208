"""`script/bench pages`: the time to the first byte of each page, beside the same data by the API."""

import sys

from bench import browsing
from bench.command import Benchmark, run
from bench.stage import Sizes


def _sizes(sizes: Sizes) -> str:
    return f"{sizes.pairs} pairs; a subscription of {sizes.resources:,} resources"


PAGES = Benchmark(
    name="pages",
    about=str(__doc__),
    title="Pages: one reader, one page after the other",
    groups=((tuple(each.demand for each in browsing.PAGES), browsing.views),),
    sizes=_sizes,
    request="page",
    timed=False,
)

if __name__ == "__main__":
    sys.exit(run(PAGES))
