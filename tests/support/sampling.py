"""Tests that a run in between leaves out; ANNALS_TEST_ALL=1 runs all.

Of a test with very many cases it takes some.
Of a file that takes long, and whose subject is settled, it takes a third of the tests: another one each day.
A file of fewer tests is taken on one day of three.
A run of files or tests that are named leaves out none.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import pytest

THIRDS = 3
# The third of the day; processes of one run have the same, also at midnight.
VARIABLE = "ANNALS_TEST_THIRD"
# Files of which a run takes a third; each takes 10 s or more as a whole.
SETTLED = frozenset(
    f"tests/{name}.py"
    for name in (
        *("cli/test_cli", "cli/test_client_commands", "cli/test_client_retries", "cli/test_verify_command"),
        "cli/test_version_commands",
        *(
            "committer/test_committer_process",
            "committer/test_committer_socket",
            "committer/test_group_commit",
        ),
        *("database/test_embedded", "database/test_embedded_cluster", "database/test_embedded_user"),
        *("database/test_query_plans", "database/test_tree_plans"),
        *("deletions/test_deletion_races", "deletions/test_deletion_requests", "deletions/test_deletions"),
        *("deletions/test_deletion_size", "deletions/test_restores"),
        *("faults/test_database_pause", "faults/test_deletion_kills", "faults/test_durability"),
        *("faults/test_faults", "faults/test_scheduling_hosts", "faults/test_stream_kills"),
        "faults/test_three_hosts",
        *("git/test_commit_messages", "git/test_git_clients", "git/test_git_http", "git/test_git_refusals"),
        *("git/test_negotiation", "git/test_upkeep"),
        *("http/test_bodies", "http/test_connections", "http/test_credentials", "http/test_idempotency"),
        *("http/test_if_match", "http/test_quotas", "http/test_refusals"),
        *("logs/test_execution_logs", "logs/test_following_writers", "logs/test_log_plans"),
        *("logs/test_otlp_reading", "logs/test_server_log_writer", "logs/test_server_logs"),
        *("machines/test_deletion_machine", "machines/test_versioning_machine"),
        "maintenance/test_scheduler",
        *("processes/test_children", "processes/test_document_workers", "processes/test_server"),
        *("project/test_bench", "project/test_bench_deletions"),
        *("recovery/test_rebuild", "recovery/test_rebuild_deletions", "recovery/test_rebuild_refusals"),
        *("recovery/test_reconcile", "recovery/test_reconcile_deletions", "recovery/test_reconcile_rows"),
        *("recovery/test_reconcile_load", "recovery/test_upkeep"),
        *("retention/test_archive", "retention/test_purge_closed", "retention/test_retention"),
        "retention/test_retention_archive",
        *("versioning/test_check_outs", "versioning/test_history_filters", "versioning/test_resources"),
        *("versioning/test_rollback_many", "versioning/test_versions"),
    )
)


def choose_third() -> None:
    """Choose the third of a run, before it starts its processes."""
    os.environ.setdefault(VARIABLE, str(datetime.now(UTC).toordinal() % THIRDS))


def left_out(items: Iterable[pytest.Item], arguments: Iterable[str]) -> set[pytest.Item]:
    """Return the tests that a run leaves out, whose arguments are files, tests or folders."""
    if any(each.endswith(".py") or "::" in each for each in arguments):
        return set()
    third = int(os.environ[VARIABLE])
    files: dict[str, dict[str, list[pytest.Item]]] = {}
    for item in items:
        path, _, rest = item.nodeid.partition("::")
        files.setdefault(path, {}).setdefault(rest.partition("[")[0], []).append(item)
    short = sorted(path for path in SETTLED & files.keys() if len(files[path]) < THIRDS)
    found: set[pytest.Item] = set()
    for path, tests in files.items():
        for number, cases in enumerate(tests.values()):
            place = short.index(path) if path in short else number
            if path in SETTLED and place % THIRDS != third:
                found.update(cases)
            elif mark := cases[0].get_closest_marker("sampled"):
                found.update(between(cases, mark.args[0]))
    return found


def between(cases: list[pytest.Item], taken: int) -> Iterator[pytest.Item]:
    """Yield the cases between those that are taken, which are spread evenly from the first to the last."""
    last = len(cases) - 1
    kept = {round(number * last / max(1, taken - 1)) for number in range(taken)}
    return (case for number, case in enumerate(cases) if number not in kept)
