"""Charts of requests: how many were answered, refused and failed, and how long they took."""

from collections.abc import Sequence

from service.usecases.server_logs import ServerBucket
from service.web import charts, words
from service.web.charts import Chart, Series, TimeAxis


def outcomes(axis: TimeAxis, by_time: Sequence[ServerBucket]) -> Chart:
    """Draw the numbers of requests by their outcome."""
    refused = {each.time: each.client_errors for each in by_time}
    failed = {each.time: each.server_errors for each in by_time}
    others = {each.time: each.count - each.client_errors - each.server_errors for each in by_time}
    series = [
        Series(name=name, tone=tone, values=[values.get(begin, 0) for begin in axis.begins])
        for name, tone, values in (
            ("Answered", "info", others),
            ("Refused (4xx)", "warn", refused),
            ("Failed (5xx)", "bad", failed),
        )
    ]
    return charts.columns(axis, series, say=words.number)


def durations(axis: TimeAxis, by_time: Sequence[ServerBucket]) -> Chart:
    """Draw the 95th percentile and the median of the time to answer."""
    found = {each.time: each for each in by_time}
    rows = [found.get(begin) for begin in axis.begins]
    p95, median = ([None if row is None else getattr(row, name) for row in rows] for name in ("p95", "p50"))
    series = [
        Series(name="95th percentile", tone="warn", values=p95),
        Series(name="Median", tone="info", values=median),
    ]
    return charts.durations(axis, series, say=words.duration)
