"""`script/bench logs`: events of a platform, sent as streams and arrays, against COPY."""

import sys

from bench import posting, streaming
from bench.command import Benchmark, run
from bench.stage import Sizes


def _sizes(sizes: Sizes) -> str:
    return (
        f"{sizes.pairs} pairs of {sizes.events:,} events, {sizes.seconds:g} s of saves; "
        f"a stream of {sizes.stream_bytes / 1e9:g} GB"
    )


LOGS = Benchmark(
    name="logs",
    about=str(__doc__),
    title="Events: against psycopg's COPY into the same tables",
    groups=(
        ((streaming.NDJSON,), streaming.streams),
        ((streaming.ARRAYS,), streaming.arrays),
        *(((form.demand,), posting.compared(form)) for form in posting.FORMS),
        ((streaming.MEMORY,), streaming.memory),
        ((streaming.SAVES,), streaming.saves),
    ),
    sizes=_sizes,
    request="event",
    timed=True,
)

if __name__ == "__main__":
    sys.exit(run(LOGS))
