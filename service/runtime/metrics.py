"""Metrics for Prometheus; with several workers, `/metrics` adds up their counters."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
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
ADMISSION_HELD = Gauge(
    "annals_admission_held",
    "Places, or bytes of bodies, that requests have",
    ["place"],
    multiprocess_mode="livesum",
)
ADMISSION_WAITING = Gauge(
    "annals_admission_waiting",
    "Requests that wait for a place or for bytes",
    ["place"],
    multiprocess_mode="livesum",
)
CLONES = Counter("annals_git_requests", "Clones and fetches served", ["action"])
# The label `pid` comes from prometheus_client.
PROCESS_MEMORY = Gauge(
    "annals_process_resident_bytes", "Memory of a process", ["process"], multiprocess_mode="liveall"
)
PROCESS_CPU = Gauge(
    "annals_process_cpu_seconds",
    "Processor time that a process has taken",
    ["process"],
    multiprocess_mode="liveall",
)
PROCESS_FILES = Gauge(
    "annals_process_open_files", "Open descriptors of a process", ["process"], multiprocess_mode="liveall"
)
PROCESS_THREADS = Gauge(
    "annals_process_threads", "Threads of a process", ["process"], multiprocess_mode="liveall"
)
CONNECTIONS = Gauge(
    "annals_database_connections",
    "Connections of the pools of all processes",
    ["process", "pool", "state"],
    multiprocess_mode="livesum",
)
COMMIT_WAITING = Gauge(
    "annals_commit_waiting_changes", "Changes that wait for their batch", multiprocess_mode="livesum"
)
COMMIT_WAITING_BYTES = Gauge(
    "annals_commit_waiting_bytes", "Bytes of the changes that wait", multiprocess_mode="livesum"
)
COMMIT_REFUSALS = Counter("annals_commit_refusals", "Changes refused because too many waited")
SERVER_LOG_WAITING = Gauge(
    "annals_server_log_waiting_rows", "Rows of the server log that wait", multiprocess_mode="livesum"
)
SERVER_LOG_WAITING_BYTES = Gauge(
    "annals_server_log_waiting_bytes", "Bytes of the rows that wait", multiprocess_mode="livesum"
)
CONNECTIONS_ENDED = Counter(
    "annals_connections_ended",
    "Connections that Annals ended for their client's silence or number",
    ["reason"],
)
UNRECORDED = Counter("annals_refusals_unrecorded", "Refusals that the audit log lacks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Figure that is read when the metrics are made: a value for each set of labels of the same names."""

    name: str
    help: str
    samples: tuple[tuple[dict[str, str], float], ...]


class _Figures(Collector):
    def __init__(self, figures: Iterable[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        for figure in self._figures:
            labels = list(figure.samples[0][0]) if figure.samples else []
            family = GaugeMetricFamily(figure.name, figure.help, labels=labels)
            for by, value in figure.samples:
                family.add_metric(list(by.values()), value)
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


def forget(process: int, folder: Path) -> None:
    """Forget the gauges of a process that has ended; its counters stay."""
    multiprocess.mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]


def exposition(figures: Iterable[Figure]) -> bytes:
    """Metrics in Prometheus' text format: the counters and gauges of all processes, and further figures."""
    found = CollectorRegistry()
    found.register(_Figures(figures))
    counted = REGISTRY
    if os.environ.get(_FOLDER_VARIABLE):
        counted = CollectorRegistry()
        multiprocess.MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(found)
