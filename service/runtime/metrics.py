"""Metrics for Prometheus; with several workers, `/metrics` adds up their counters."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import REGISTRY, Collector

# prometheus_client reads the folder of its files from this environment variable.
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

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
ADMISSION_WAIT = Histogram(
    "annals_admission_wait_seconds",
    "Time that requests waited for their turn, of those that had to",
    ["place"],
)
CLONES = Counter("annals_git_requests", "Clones and fetches served", ["action"])
UNRECORDED = Counter("annals_refusals_unrecorded", "Refusals that the audit log lacks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """Figure that is read at each request of `/metrics`; `by_job` holds one for each scheduled job."""

    name: str
    help: str
    value: float | None = None
    by_job: tuple[tuple[str, float], ...] = ()


class _Figures(Collector):
    def __init__(self, read: Callable[[], Iterable[Gauge]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        for gauge in self._read():
            if gauge.value is not None:
                yield GaugeMetricFamily(gauge.name, gauge.help, value=gauge.value)
                continue
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=["job"])
            for job, value in gauge.by_job:
                family.add_metric([job], value)
            yield family


def count_in_files(folder: Path) -> None:
    """Count in files of a folder from now on; `/metrics` of any process with this folder adds them up.

    Each of several processes calls this before it counts anything.
    """
    os.environ[_FOLDER_VARIABLE] = str(folder)
    # At its import, before the variable was set, prometheus_client chose to count in memory.
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
    for metric in globals().values():
        # A metric with labels chooses later, when a combination of labels is first counted.
        if isinstance(metric, MetricWrapperBase) and metric._is_observable():  # type: ignore[no-untyped-call]
            metric._metric_init()  # type: ignore[no-untyped-call]


def exposition(read: Callable[[], Iterable[Gauge]]) -> tuple[bytes, str]:
    """Metrics in Prometheus' text format, and its media type.

    These are the counters of all workers, and the gauges that `read` finds in the database.
    """
    found = CollectorRegistry()
    found.register(_Figures(read))
    counted = REGISTRY
    if os.environ.get(_FOLDER_VARIABLE):
        counted = CollectorRegistry()
        multiprocess.MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(found), CONTENT_TYPE_LATEST
