"""Attacks beside a normal client of another tenant: the short form of `script/test starve`."""

from pathlib import Path

from tests.faults.starve import MEMORY_MIB
from tests.faults.starve_attacker import attacking
from tests.faults.starve_attacks import ATTACKS, Target
from tests.faults.starve_client import Client
from tests.faults.starve_stage import Memory, staged
from tests.support.databases import Cluster

# Where the attacker had no answer yet, on a loaded machine, it is tried again for longer.
SECONDS = (0.7, 3, 15)
# One of each fault; `script/test starve` tries them all, and compares latencies.
SHORT = (
    "A1/header-100m/exceeding",
    "A2/gzip-bomb/exceeding",
    "A3/deaf-clones/exceeding",
    "A4/metrics/exceeding",
    "A6/idle/within",
    "A7/keys/exceeding",
    "A8/guesses-at-a-key/exceeding",
    "A9/diffs/exceeding",
)


def test_beside_every_attack_a_client_of_another_tenant_is_served_and_afterwards_the_service_is_whole(
    cluster: Cluster, tmp_path: Path
) -> None:
    attacks = {each.key: each for each in ATTACKS}
    wrong: list[str] = []
    with staged(tmp_path, cluster, is_measured=False) as stage:
        client, target = Client(stage.normal), Target(stage)
        plans = {key: attacks[key].plan(target) for key in SHORT}
        stage.remember()
        with Memory(stage.server) as memory:
            for key, plan in plans.items():
                refused = attacks[key].refused
                for seconds in SECONDS:
                    with attacking(stage.address, plan) as reports:
                        turn = client.turn(seconds)
                    wrong += [f"{key}: {each}" for each in turn.wrong]
                    if not refused or reports[0].of(*refused):
                        break
                else:
                    wrong.append(f"{key}: the attacker was answered {reports[0].answers}")
        wrong += stage.faults()
    assert wrong == []
    assert memory.peak - memory.before < MEMORY_MIB
