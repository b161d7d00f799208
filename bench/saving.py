"""The figures of writing: saves, check-ins and bulk check-ins against the references."""

import statistics
from collections.abc import Callable

from bench import reference, tenants
from bench.figures import Demand, Measured, Traffic
from bench.load import Chain
from bench.stage import Stage

_BULK_CLIENTS = 2

HOT_16 = Demand("hot-16", "`POST R/versions`, one hot subscription, 16 clients", 2, 2.5, "× A")
HOT_64 = Demand("hot-64", "the same, 64 clients", 3, 4, "× A")
SPREAD = Demand("spread-64", "the same over 20 subscriptions, 64 clients", 3, 4, "× A")
CHECK_IN = Demand("check-in-16", "check-out + check-in, 16 clients, counted as check-ins", 1, 1.2, "× A")
WORKERS = Demand("workers", "2 API workers against 1, 64 clients", 0.9, 1.2, "×")
BULK = Demand("bulk", "bulk `S/check-ins` of 500, documents/s", 1 / 3, 1 / 2, "× B")


def hot_16(stage: Stage) -> list[Measured]:
    """Measure saves in one subscription by few clients."""
    return [_against_a(stage, HOT_16, _hot_saves(stage), "save", clients=16)]


def hot_64(stage: Stage) -> list[Measured]:
    """Measure saves in one subscription by many clients."""
    return [_against_a(stage, HOT_64, _hot_saves(stage), "save", clients=64)]


def spread_64(stage: Stage) -> list[Measured]:
    """Measure saves in many subscriptions at once."""
    among = stage.spread()
    return [
        _against_a(
            stage, SPREAD, lambda amount: list(tenants.saves(among, amount, stage.rng)), "save", clients=64
        )
    ]


def check_in_16(stage: Stage) -> list[Measured]:
    """Measure the whole cycle: a check-out, then a check-in by the same user."""
    hot = stage.hot()
    return [
        _against_a(
            stage,
            CHECK_IN,
            lambda amount: list(tenants.check_ins(hot, amount, stage.rng)),
            "check-in",
            clients=16,
        )
    ]


def workers(stage: Stage) -> list[Measured]:
    """Measure the same load on a server with two API workers, and on one with a single API worker."""
    measured = Measured(WORKERS)
    make = _hot_saves(stage)
    for _ in range(stage.sizes.pairs):
        one = stage.turn(make, "save", clients=64, workers=1)
        two = stage.turn(make, "save", clients=64, workers=2)
        measured.add(two.rate, one.rate)
        measured.traffic.append(two)
        _tell(stage, measured)
    return [measured]


def bulk(stage: Stage) -> list[Measured]:
    """Measure many documents in one call and one commit, against the same commits by `git fast-import`."""
    size = stage.sizes
    hot = stage.hot()
    measured = Measured(BULK)
    arguments = ("b", "--resources", str(size.resources), "--commits")
    singly = []
    for _ in range(size.pairs):
        b = reference.in_a_process(
            stage.template(), *arguments, str(size.bulk_calls), "--per-commit", str(size.bulk_items)
        )
        one_each = size.bulk_calls * size.bulk_items
        singly.append(
            reference.in_a_process(stage.template(), *arguments, str(one_each), "--per-commit", "1").rate
        )
        chains = list(tenants.bulks(hot, size.bulk_calls, size.bulk_items, stage.rng))
        outcome, cpu = stage.service().measured(chains, clients=_BULK_CLIENTS)
        stage.note(chains, outcome)
        # The rate is computed up to the last answer, since a time limit cannot cut off calls that take
        # seconds.
        turn = Traffic.of(outcome, "bulk", cpu, saves_each=size.bulk_items)
        measured.add(turn.rate, b.rate)
        measured.traffic.append(turn)
        _tell(stage, measured)
    measured.notes.append(
        f"{_BULK_CLIENTS} clients; B makes the same commits of {size.bulk_items} documents; with one commit "
        f"for each document it does {statistics.median(singly):,.0f} documents/s "
        f"({statistics.median(measured.service) / statistics.median(singly):.2f} ×)"
    )
    return [measured]


def _hot_saves(stage: Stage) -> Callable[[int], list[Chain]]:
    hot = stage.hot()
    return lambda amount: list(tenants.saves([hot], amount, stage.rng))


def _against_a(
    stage: Stage, demand: Demand, make: Callable[[int], list[Chain]], label: str, *, clients: int
) -> Measured:
    measured = Measured(demand)
    for _ in range(stage.sizes.pairs):
        a = stage.reference_a()
        turn = stage.turn(make, label, clients=clients)
        measured.add(turn.rate, a.rate)
        measured.traffic.append(turn)
        _tell(stage, measured)
    return measured


def _tell(stage: Stage, measured: Measured) -> None:
    stage.say(
        f"{measured.demand.key}, pair {len(measured.ratios)}: {measured.service[-1]:,.0f}/s against "
        f"{measured.reference[-1]:,.0f}/s = {measured.ratios[-1]:.2f} {measured.demand.unit}"
    )
