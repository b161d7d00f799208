"""`script/bench versions`: what the versioning service does, against what git alone does beside it."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench import cloning, report, saving, storing
from bench.cloning import CloneFailed
from bench.facts import NoDisk, facts
from bench.figures import Demand, Measured
from bench.load import LoadFailed
from bench.service import ROOT, NotDurable, own_database
from bench.stage import FULL, QUICK, Sizes, Stage

_GROUPS: tuple[tuple[tuple[Demand, ...], Callable[[Stage], list[Measured]]], ...] = (
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
)
_KEYS = [demand.key for demands, _ in _GROUPS for demand in demands]


def main() -> int:
    """Measure and print; 1 where a must is missed or a row incomplete, 2 where nothing could be measured."""
    given = _arguments()
    sizes = QUICK if given.quick else FULL
    sizes = replace(sizes, pairs=given.pairs or sizes.pairs, seconds=given.seconds or sizes.seconds)
    wanted = given.only or _KEYS
    given.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=given.folder)).resolve()
    try:
        return _measure(folder, sizes, wanted, given)
    except (NotDurable, NoDisk) as error:
        _say(str(error))
        return 2
    finally:
        if given.keep:
            _say(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


def _measure(folder: Path, sizes: Sizes, wanted: list[str], given: argparse.Namespace) -> int:
    results: list[Measured] = []
    server_url = given.database_url or _timescaledb_url()
    with (
        own_database(server_url) as database,
        Stage(folder, database, sizes, workers=given.workers, say=_say) as stage,
    ):
        # The server first: it brings the schema, and with it the extension whose version is a fact.
        service = stage.service()
        known = facts(folder, database)
        committer = "process" if service.has_committer_process() else "thread"
        known["service"] = f"{given.workers} API worker(s), the committer as a {committer}"
        known["sizes"] = f"{sizes.pairs} pairs of {sizes.seconds:g} s, {sizes.resources:,} resources" + (
            ", smaller than a full run throughout: no verdict counts" if given.quick else ""
        )
        for demands, measure in _GROUPS:
            if any(demand.key in wanted for demand in demands):
                results += _measured(stage, demands, measure)
        stage.compare_histories()
    title = "Versions: the service against git alone" + (" (quick)" if given.quick else "")
    print(report.text(known, results, stage.found, title=title, committer=committer))
    if given.json:
        given.json.write_text(json.dumps(report.as_json(known, results, stage.found), indent=2) + "\n")
    missed = [each.demand.key for each in results if each.verdict in ("MISSED", "FAILED")]
    if missed:
        _say(f"missed: {', '.join(missed)}")
    return 1 if missed or not stage.found.is_complete else 0


def _measured(
    stage: Stage, demands: tuple[Demand, ...], measure: Callable[[Stage], list[Measured]]
) -> list[Measured]:
    """The figures, or that they could not be taken: what was measured before is reported all the same."""
    try:
        return measure(stage)
    except (LoadFailed, CloneFailed, OSError) as error:
        _say(f"FAILED: {error}")
        log = stage.folder / "serve.log"
        _say(f"the last words of annals serve:\n{log.read_text()[-4000:]}")
        return [Measured(demand, notes=[f"FAILED: {error}"], failed=True) for demand in demands]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench versions", description=__doc__)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--pairs", type=int, help="turns of reference and service for each figure")
    parser.add_argument("--seconds", type=float, help="length of one turn")
    parser.add_argument("--quick", action="store_true", help="one short pair of everything, on less")
    parser.add_argument(
        "--only",
        action="append",
        choices=_KEYS,
        metavar="FIGURE",
        help=f"one of {', '.join(_KEYS)}; repeatable",
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


if __name__ == "__main__":
    sys.exit(main())
