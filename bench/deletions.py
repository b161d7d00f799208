"""`script/bench deletions`: a large tree deleted and restored, against plain SQL and a commit by git."""

import sys

from bench import deleting
from bench.command import Benchmark, run
from bench.stage import Sizes


def _sizes(sizes: Sizes) -> str:
    shape = sizes.tree
    return (
        f"{sizes.pairs} pairs; {shape.resources:,} resources: 1 workspace, {shape.folders} folders, "
        f"{shape.jobs} jobs, {shape.workflows:,} workflows, {shape.jobpackages} job packages, "
        f"{shape.connectors} connectors"
    )


DELETIONS = Benchmark(
    name="deletions",
    about=str(__doc__),
    title="Deletions: the service against plain SQL and `git fast-import`",
    groups=((deleting.DEMANDS, deleting.delete_and_restore),),
    sizes=_sizes,
    request="deletion or restore",
    timed=False,
)

if __name__ == "__main__":
    sys.exit(run(DELETIONS))
