"""Attacks on a running server beside a normal client of another tenant: `script/test starve`.

Each attack has a bar for the client's p99: three times its p99 without the attack while the attacker stays
within the limits, five times while it exceeds them.
"""

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.report import table
from tests.faults.starve_attacker import Plan, Report, attacking
from tests.faults.starve_attacks import ATTACKS, BARS, Attack, Strength, Target
from tests.faults.starve_client import KINDS, Client, Turn
from tests.faults.starve_stage import WHOLE_SECONDS, Memory, Stage, staged
from tests.support.databases import Cluster, cluster_url

# The sum of the server's processes may grow by so many MiB.
MEMORY_MIB = 300.0
SECONDS = 15.0
# The kinds of calls that have a bar; fetches are too few for a p99.
BARRED = ("read", "save")
# How a turn after an attack compares with the one before it, once the service has recovered.
RECOVERED = 3.0
AFTER_SECONDS = 2.0


@dataclass
class Row:
    """The outcome of an attack; all latencies are p99 in milliseconds, by kind of call, one for each pair."""

    fault: str
    name: str
    strength: Strength
    alone: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    beside: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    answers: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    attackers_cpu: float = 0.0
    # MiB of all processes of the server.
    before: float = 0.0
    peak: float = 0.0
    after: float = 0.0
    recovery_seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def ratio(self, kind: str) -> float:
        """Return the median of the pairs' ratios."""
        return statistics.median(
            beside / alone for beside, alone in zip(self.beside[kind], self.alone[kind], strict=True)
        )

    @property
    def missed(self) -> list[str]:
        """The kinds of calls whose bar is missed."""
        return [kind for kind in BARRED if self.ratio(kind) > BARS[self.strength]]

    @property
    def verdict(self) -> str:
        """Say in a word how the service bore it."""
        if self.wrong:
            return "FAILED"
        return f"MISSED: {', '.join(self.missed)}" if self.missed else "held"


def tried(stage: Stage, client: Client, attack: Attack, plan: Plan, seconds: float, row: Row) -> None:
    """Measure the client alone and beside the attack, and the service after it; adds to the row."""
    alone = client.turn(seconds)
    with Memory(stage.server) as memory, attacking(stage.address, plan) as reports:
        beside = client.turn(seconds)
    [report] = reports
    _add(row, alone, beside, report, memory)
    if attack.refused and not report.of(*attack.refused):
        row.wrong.append(f"the attacker was never answered {' or '.join(attack.refused)}")
    row.wrong += stage.faults()
    recovery = _recovered(client, alone)
    if recovery is None:
        row.wrong.append(f"answers take longer than before, {WHOLE_SECONDS} s after the attack")
    row.recovery_seconds = max(row.recovery_seconds, recovery or 0.0)


def _add(row: Row, alone: Turn, beside: Turn, report: Report, memory: Memory) -> None:
    for kind in KINDS:
        row.alone[kind].append(alone.p99(kind))
        row.beside[kind].append(beside.p99(kind))
    row.answers = Counter(row.answers) + Counter(report.answers)
    row.seconds += report.seconds
    row.attackers_cpu += report.cpu_seconds
    if memory.peak - memory.before >= row.peak - row.before:
        row.before, row.peak, row.after = memory.before, memory.peak, memory.after
    if row.peak - row.before > MEMORY_MIB:
        row.wrong.append(f"{row.peak - row.before:.0f} MiB more memory")
    row.wrong += [f"alone: {each}" for each in alone.wrong]
    row.wrong += beside.wrong


def _recovered(client: Client, alone: Turn) -> float | None:
    """Return the seconds until the client's median is near that before the attack, or None."""
    began = time.monotonic()
    while time.monotonic() - began < WHOLE_SECONDS:
        waited = time.monotonic() - began
        turn = client.turn(AFTER_SECONDS)
        if not turn.wrong and all(turn.p50(kind) <= RECOVERED * alone.p50(kind) for kind in BARRED):
            return waited
    return None


def floor(stage: Stage, client: Client, seconds: float, row: Row) -> None:
    """Measure what the machine costs: a process of the lowest priority that computes, and attacks nobody."""
    alone = client.turn(seconds)
    with Memory(stage.server) as memory, attacking(stage.address, Plan(manner="compute")) as reports:
        beside = client.turn(seconds)
    _add(row, alone, beside, reports[0], memory)


def printed(rows: Sequence[Row]) -> str:
    """Make the table of all rows, and the list of what went wrong."""
    head = (
        *("fault", "attack", "limits", "reads ms", "×", "saves ms", "×", "fetches ms"),
        *("answers to the attacker", "MiB before", "peak", "after", "verdict"),
    )
    parts = [table(head, map(_cells, rows))]
    parts += [
        "\n".join(f"- {each.fault} {each.name}: {_shortened(each.wrong)}" for each in rows if each.wrong)
    ]
    return "\n\n".join(part for part in parts if part)


def _cells(row: Row) -> tuple[str, ...]:
    cells: list[str] = [row.fault, row.name, row.strength]
    for kind in KINDS:
        cells.append(f"{statistics.median(row.alone[kind]):.1f} → {statistics.median(row.beside[kind]):.1f}")
        if kind in BARRED:
            cells.append(f"{row.ratio(kind):.1f}")
    answers = ", ".join(f"{count:,} × {status}" for status, count in Counter(row.answers).most_common(4))
    return (*cells, answers, f"{row.before:.0f}", f"{row.peak:.0f}", f"{row.after:.0f}", row.verdict)


def _shortened(wrong: Sequence[str]) -> str:
    counted = Counter(wrong).most_common()
    told = "; ".join(f"{count} × {what}" if count > 1 else what for what, count in counted[:4])
    return told + (f"; and {len(counted) - 4} more kinds" if len(counted) > 4 else "")


def chosen(only: Sequence[str]) -> list[Attack]:
    """Return the attacks whose key begins with one of the names; all if there are none."""
    return [each for each in ATTACKS if not only or each.key.startswith(tuple(only))]


def measured(
    stage: Stage, attacks: Sequence[Attack], *, seconds: float, pairs: int, say: Callable[[str], None]
) -> list[Row]:
    """Try the attacks one after the other, after the machine's own figure."""
    client, target = Client(stage.normal), Target(stage)
    # The first calls of each connection of the database take longer.
    client.turn(seconds)
    stage.remember()
    rows = [Row("", "a process that computes", "within")]
    for _ in range(pairs):
        floor(stage, client, seconds, rows[0])
    say(printed(rows))
    for attack in attacks:
        row = Row(attack.fault, attack.name, attack.strength)
        plan = attack.plan(target)
        for _ in range(pairs):
            tried(stage, client, attack, plan, seconds, row)
        rows.append(row)
        say(printed([row]).partition("|\n|-")[2].partition("\n")[2])
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the attacks; returns 1 if a bar was missed."""
    parser = argparse.ArgumentParser(prog="script/test starve", description=__doc__)
    names = ", ".join(each.key for each in ATTACKS)
    parser.add_argument("--only", action="append", default=[], help=f"the beginning of a name: {names}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each turn")
    parser.add_argument(
        "--pairs", type=int, default=1, help="turns alone and beside, of which the median counts"
    )
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    options = parser.parse_args(arguments)
    attacks = chosen(options.only)
    if not attacks:
        parser.error("no attack has such a name")
    # The server is stopped, however this program is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cluster = Cluster(cluster_url(), "starve")
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            staged(Path(folder), cluster, is_measured=True) as stage,
        ):
            rows = measured(
                stage,
                attacks,
                seconds=options.seconds,
                pairs=options.pairs,
                say=lambda text: print(text, flush=True),
            )
    finally:
        cluster.close()
    print("\n" + printed(rows))
    if options.json is not None:
        options.json.write_text(
            json.dumps(
                [asdict(row) | {"answers": dict(row.answers), "verdict": row.verdict} for row in rows],
                indent=1,
            )
        )
    return 1 if any(row.wrong or row.missed for row in rows[1:]) else 0


if __name__ == "__main__":
    sys.exit(main())
