"""The jobs by name: what each does, and when it runs unless an operator says otherwise."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class JobKind:
    """A job; `cron` has five fields, or six with seconds first, in UTC. One with a plan can be tried dry."""

    name: str
    summary: str
    cron: str
    has_plan: bool = False
    # Which of its counts, together, are the rows that it was about.
    rows: tuple[str, ...] = ("rows",)


RETENTION: Final = "retention"
EXPIRE_DELETIONS: Final = "expire-deletions"
RELEASE_CHECK_OUTS: Final = "release-check-outs"
CLEAN_UP: Final = "clean-up"
PURGE_CLOSED: Final = "purge-closed"
UPKEEP: Final = "upkeep"
DEEP_UPKEEP: Final = "deep-upkeep"
RECONCILE: Final = "reconcile"

# What `clean-up` counts.
CLEANED: Final = ("idempotency_keys", "api_keys", "job_runs", "job_plans")

JOBS: Final = {
    kind.name: kind
    for kind in (
        JobKind(RETENTION, "Drops logs past their term, archived first where that is on", "15 2 * * *", True),
        JobKind(
            EXPIRE_DELETIONS,
            "Deletes for good what can no longer be restored",
            "*/5 * * * *",
            True,
            ("resources",),
        ),
        JobKind(
            RELEASE_CHECK_OUTS, "Ends check-outs whose lease is over", "* * * * *", True, ("check_outs",)
        ),
        JobKind(
            CLEAN_UP,
            "Removes idempotency keys, API keys and job records past use",
            "40 * * * *",
            True,
            CLEANED,
        ),
        JobKind(
            PURGE_CLOSED, "Exports, then purges subscriptions closed for long enough", "30 3 * * *", True
        ),
        JobKind(
            UPKEEP,
            "Merges packs of the repositories that need it most",
            "*/10 * * * *",
            rows=("repositories",),
        ),
        JobKind(
            DEEP_UPKEEP, "Finds deltas and prunes what nothing reaches", "0 4 * * *", rows=("repositories",)
        ),
        JobKind(
            RECONCILE,
            "Compares rows with repositories and repairs what is known",
            "5,35 * * * *",
            rows=("subscriptions",),
        ),
    )
}
