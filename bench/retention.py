"""`script/bench retention`: an expired day dropped and archived, against DELETE and COPY piped to zstd."""

import sys

from bench import retaining
from bench.command import Benchmark, run
from bench.stage import Sizes


def _sizes(sizes: Sizes) -> str:
    return (
        f"{sizes.pairs} pairs; days of {sizes.day:,} and of {sizes.small_day:,} rows of the server log; "
        f"{retaining.INSERTS_A_SECOND} inserts a second"
    )


RETENTION = Benchmark(
    name="retention",
    about=str(__doc__),
    title="Retention and archive: against DELETE, and `COPY … TO STDOUT` piped to `zstd`",
    groups=((retaining.DAY, retaining.expired_day), ((retaining.INSERTS,), retaining.inserts)),
    sizes=_sizes,
    request="row",
    timed=True,
)

if __name__ == "__main__":
    sys.exit(run(RETENTION))
