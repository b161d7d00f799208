"""The command of each benchmark: folder, database and server, then the figures and their report."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import report
from bench.cloning import CloneFailed
from bench.facts import NoDisk, facts
from bench.figures import Demand, Measured
from bench.load import LoadFailed
from bench.service import ROOT, NotDurable, own_database
from bench.stage import FULL, QUICK, Sizes, Stage

# Figures that are measured together, and the function that measures them.
Group = tuple[tuple[Demand, ...], Callable[[Stage], list[Measured]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Figures under one name of `script/bench`; `about` is their description in its help.

    `sizes` describes the amounts of data, `request` is the kind of request to the service. Turns that are
    `timed` last as long as the caller wants; others end with their work.
    """

    name: str
    about: str
    title: str
    groups: Sequence[Group]
    sizes: Callable[[Sizes], str]
    request: str
    timed: bool

    @property
    def keys(self) -> list[str]:
        """The names of the benchmark's figures on the command line."""
        return [demand.key for demands, _ in self.groups for demand in demands]


def run(benchmark: Benchmark) -> int:
    """Measure and print; returns the exit code.

    1 if a must is missed or a row is missing, 2 if nothing could be measured.
    """
    given = _arguments(benchmark)
    sizes = QUICK if given.quick else FULL
    sizes = replace(sizes, pairs=given.pairs or sizes.pairs)
    if benchmark.timed:
        sizes = replace(sizes, seconds=given.seconds or sizes.seconds)
    given.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=given.folder)).resolve()
    try:
        return _measure(benchmark, folder, sizes, given)
    except (NotDurable, NoDisk) as error:
        _say(str(error))
        return 2
    finally:
        if given.keep:
            _say(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


def _measure(benchmark: Benchmark, folder: Path, sizes: Sizes, given: argparse.Namespace) -> int:
    results: list[Measured] = []
    server_url = given.database_url or _timescaledb_url()
    wanted = given.only or benchmark.keys
    with (
        own_database(server_url) as database,
        Stage(folder, database, sizes, workers=given.workers, say=_say) as stage,
    ):
        # The server starts first: it makes the schema, and with it the extension whose version is a fact.
        service = stage.service()
        known = facts(folder, database)
        committer = "process" if service.has_committer_process() else "thread"
        known["service"] = f"{given.workers} API worker(s), the committer as a {committer}"
        known["sizes"] = benchmark.sizes(sizes) + (
            ", smaller than a full run throughout: no verdict counts" if given.quick else ""
        )
        for demands, measure in benchmark.groups:
            if any(demand.key in wanted for demand in demands):
                results += _measured(stage, demands, measure)
        stage.compare_histories()
    title = benchmark.title + (" (quick)" if given.quick else "")
    print(
        report.text(known, results, stage.found, title=title, committer=committer, request=benchmark.request)
    )
    if given.json:
        given.json.write_text(json.dumps(report.as_json(known, results, stage.found), indent=2) + "\n")
    missed = [each.demand.key for each in results if each.verdict in ("MISSED", "FAILED")]
    if missed:
        _say(f"missed: {', '.join(missed)}")
    return 1 if missed or not stage.found.is_complete else 0


def _measured(
    stage: Stage, demands: tuple[Demand, ...], measure: Callable[[Stage], list[Measured]]
) -> list[Measured]:
    """Measure figures, or report that they failed; figures measured before are reported all the same."""
    try:
        return measure(stage)
    except (LoadFailed, CloneFailed, OSError) as error:
        _say(f"FAILED: {error}")
        log = stage.folder / "serve.log"
        _say(f"the last words of annals serve:\n{log.read_text()[-4000:]}")
        return [Measured(demand, notes=[f"FAILED: {error}"], failed=True) for demand in demands]


def _arguments(benchmark: Benchmark) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"script/bench {benchmark.name}", description=benchmark.about)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--pairs", type=int, help="turns of reference and service for each figure")
    if benchmark.timed:
        parser.add_argument("--seconds", type=float, help="length of one turn")
    parser.add_argument("--quick", action="store_true", help="one short pair of everything, on less")
    parser.add_argument(
        "--only",
        action="append",
        choices=benchmark.keys,
        metavar="FIGURE",
        help=f"one of {', '.join(benchmark.keys)}; repeatable",
    )
    parser.add_argument("--workers", type=int, default=1, help="API workers, but for the figure about them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there as well")
    parser.add_argument(
        "--folder",
        type=Path,
        default=cache / "annals" / "bench",
        help="where service and references write; its file system is what is measured",
    )
    parser.add_argument("--keep", action="store_true", help="leave that folder for looking at")
    parser.add_argument(
        "--database-url", metavar="URL", help="server for the benchmark's database; else script/timescaledb's"
    )
    return parser.parse_args()


def _timescaledb_url() -> str:
    asked = subprocess.run(
        [ROOT / "script" / "timescaledb", "url"], stdout=subprocess.PIPE, text=True, check=False
    )
    if asked.returncode != 0:
        sys.exit(2)
    return asked.stdout.strip()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
