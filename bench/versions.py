"""`script/bench versions`: the versioning service against git alone, side by side."""

import sys

from bench import cloning, saving, storing
from bench.command import Benchmark, run
from bench.stage import Sizes


def _sizes(sizes: Sizes) -> str:
    return f"{sizes.pairs} pairs of {sizes.seconds:g} s, {sizes.resources:,} resources"


VERSIONS = Benchmark(
    name="versions",
    about=str(__doc__),
    title="Versions: the service against git alone",
    groups=(
        ((saving.HOT_16,), saving.hot_16),
        ((saving.HOT_64,), saving.hot_64),
        ((saving.SPREAD,), saving.spread_64),
        ((saving.CHECK_IN,), saving.check_in_16),
        ((saving.WORKERS,), saving.workers),
        ((saving.BULK,), saving.bulk),
        ((storing.GROWTH,), storing.growth),
        ((storing.WRITTEN, storing.KEPT), storing.storage),
        ((cloning.CLONE,), cloning.clone),
        ((cloning.BESIDE, cloning.LASTING), cloning.clones),
    ),
    sizes=_sizes,
    request="save",
    timed=True,
)

if __name__ == "__main__":
    sys.exit(run(VERSIONS))
