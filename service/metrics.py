"""What Prometheus can ask for; with several workers, `/metrics` adds up what each of them counted."""

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.registry import REGISTRY

# Read by prometheus_client itself when it is imported: the supervisor sets it for its workers.
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

REQUESTS = Counter("annals_http_requests", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "annals_http_request_duration_seconds", "Time to the end of the answer", ["method", "route"]
)
BATCH_SIZE = Histogram(
    "annals_commit_batch_changes", "Changes written by one batch", buckets=(1, 2, 4, 8, 16, 32, 64)
)
SERVER_LOG_ROWS = Counter(
    "annals_server_log_rows",
    "Rows of the server log: stored, dropped for want of room, or refused",
    ["outcome"],
)
CLONES = Counter("annals_git_requests", "Clones and fetches served", ["action"])
UNRECORDED = Counter("annals_refusals_unrecorded", "Refusals that the audit log lacks")


def exposition() -> tuple[bytes, str]:
    """The figures in Prometheus' text format, and its media type."""
    registry = REGISTRY
    if os.environ.get(MULTIPROCESS_VARIABLE):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST
