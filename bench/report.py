"""The report: the printed tables, and the same figures as JSON."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.completeness import Completeness
from bench.figures import Demand, Measured, median_traffic


def text(
    facts: Mapping[str, str],
    results: Sequence[Measured],
    found: Completeness,
    *,
    title: str,
    committer: str,
    request: str,
) -> str:
    """Print machine, figures, traffic and completeness as Markdown; `request` is the kind of request."""
    parts = [
        f"# {title}",
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        table(
            ("figure", "service", "reference", "ratio", "of the pairs", "must", "goal", "verdict"),
            map(_figure, results),
        ),
        table(
            (
                *("figure", "requests/s", "p50 ms", "p99 ms", f"CPU ms a {request}: API", "committer"),
                *("database", "load generator", "others on the machine"),
            ),
            (_traffic(each, committer) for each in results if each.traffic),
        ),
        "\n".join(f"- {each.demand.key}: {note}" for each in results for note in each.notes),
        f"Every row complete: {'yes' if found.is_complete else 'NO'}. {found.sentence()}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(facts: Mapping[str, str], results: Sequence[Measured], found: Completeness) -> dict[str, Any]:
    """Make the report for programs, with every pair."""
    return {
        "facts": dict(facts),
        "figures": [
            asdict(each) | {"value": each.value if each.ratios else None, "verdict": each.verdict}
            for each in results
        ],
        "completeness": asdict(found) | {"is_complete": found.is_complete},
    }


def _figure(each: Measured) -> tuple[str, ...]:
    demand = each.demand
    limits = (_limit(demand, demand.must), _limit(demand, demand.goal))
    if not each.ratios:
        return (demand.figure, "", "", "", "", *limits, each.verdict)
    is_ratio = demand.unit.startswith("×")
    return (
        demand.figure,
        f"{statistics.median(each.service):,.4g} {each.measure}" if is_ratio else "",
        f"{statistics.median(each.reference):,.4g} {each.measure}" if is_ratio else "",
        f"{each.value:.2f} {demand.unit}",
        f"{min(each.ratios):.2f}–{max(each.ratios):.2f}",
        *limits,
        each.verdict,
    )


def _limit(demand: Demand, value: float) -> str:
    return f"{'≤' if demand.at_most else '≥'} {value:.3g} {demand.unit}"


def _traffic(each: Measured, committer: str) -> tuple[str, ...]:
    turn = median_traffic(each.traffic)
    cpu = turn.cpu_ms
    return (
        each.demand.figure,
        f"{turn.rate:,.0f}",
        f"{turn.p50:.1f}",
        f"{turn.p99:.1f}",
        f"{cpu['API']:.2f}",
        f"{cpu['committer']:.2f}" if committer == "process" else "in the API's",
        f"{cpu['database']:.2f}" if cpu["database"] else "not seen",
        f"{cpu['load']:.2f}",
        f"{turn.others:.0%}",
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table in Markdown; an empty text if there are no rows."""
    lines = [list(head), *map(list, rows)]
    if len(lines) == 1:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(lines[0]), rule, *map(line, lines[1:])])
