"""Times at the ends of the calendar are answered or refused, with any offset and width."""

import pytest

from tests.support.api import Tenant, pointers

EARLY = ("0001-01-01T00:00:00+14:00", "0001-01-08T00:00:01Z")
LATE = ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00")
LISTS = ("executions", "execution-logs", "audit-logs", "change-history", "server-logs", "deletions")
STATISTICS = ("execution-logs/stats", "audit-logs/stats", "server-logs/stats")
WIDTHS = ("all", "1m", "1d", "9w", "520w")


@pytest.fixture(scope="module")
def reader(shared: Tenant) -> Tenant:
    """A subscription with an execution."""
    event = {"execution_id": "e", "execution_type": "workflow", "log_level": "INFO", "log_message": "m"}
    shared.ana.post(f"{shared.path}/execution-logs", {**event, "status": "success"})
    return shared


def check(reader: Tenant, path: str, **query: str) -> None:
    """Check that a call is answered, or refused for its time or its buckets."""
    response = reader.aud.get(f"{reader.path}/{path}", params=query)
    assert response.status_code in (200, 422), (path, query, response.text)
    if response.status_code == 422:
        assert set(pointers(response.json())) <= {"since", "until", "bucket"}, (path, query, response.text)


@pytest.mark.parametrize("time", [*EARLY, *LATE])
def test_lists_and_health(reader: Tenant, time: str) -> None:
    health = f"workflows/{reader.workflow()['resource_id']}/health"
    for path in (*LISTS, health, "audit-logs/facets"):
        for query in ({"since": time}, {"until": time}, {"since": time, "until": time}):
            check(reader, path, **query)


@pytest.mark.parametrize("path", STATISTICS)
@pytest.mark.parametrize("width", WIDTHS)
def test_statistics(reader: Tenant, path: str, width: str) -> None:
    for time in ("created_at", "occurred_at"):
        for since in (None, *EARLY, *LATE):
            for until in (None, *EARLY, *LATE):
                given = {"since": since, "until": until}
                times = {name: value for name, value in given.items() if value is not None}
                check(reader, path, bucket=width, time=time, **times)
