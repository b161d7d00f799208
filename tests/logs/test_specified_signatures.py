"""Each parameter of each function of the specification's AuditService arrives, is stored, found and shown."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import sql

from tests.support.api import Json, Server, Tenant, ok
from tests.support.specified_calls import SIGNATURES, WRITES

PYTHON = {"str": str, "int": int, "float": float, "bool": bool, "Dict": dict}
PLACES = {function: call(0).places for function, call in WRITES.items()}
PARAMETERS = [
    (function, name) for function in WRITES for name in SIGNATURES[function] if name != "subscription_id"
]
# Stored and shown under other names, each tried in a test of its own.
COMPUTED = {("track_deletion", "restore_expiry_days")}
FILTERS = [(function, name) for function, name in PARAMETERS if PLACES[function][name].filter]
# The fields that `get_audit_logs` returns, in the specification.
RETURNED = {
    *("audit_id", "user_id", "username", "user_email", "action", "resource_type", "resource_id"),
    *("resource_name", "old_values", "new_values", "changes", "status", "error_message", "created_at"),
}


class Posted:
    """Two rows, each posted with all parameters of a function."""

    def __init__(self, server: Server, function: str) -> None:
        self.tenant = Tenant(server, function)
        self.calls = [WRITES[function](n) for n in (0, 1)]
        self.path = f"{self.tenant.path}/{self.calls[0].path}"
        self.ids = [
            each for call in self.calls for each in ok(self.tenant.ben.post(self.path, call.body), 201)["ids"]
        ]

    def found(self, **query: Any) -> list[Json]:
        """Return the rows of the two that an auditor finds, newest first."""
        id_name = self.calls[0].id_name
        return [row for row in self.tenant.aud.pages(self.path, **query) if row[id_name] in self.ids]

    def numbers(self, **query: Any) -> list[int]:
        """Return the numbers of the rows that an auditor finds, newest first."""
        return [self.ids.index(row[self.calls[0].id_name]) for row in self.found(**query)]

    def first(self) -> Json:
        """Return the first row, as it is shown alone where it can be."""
        call = self.calls[0]
        if call.path == "deletions":
            return ok(self.tenant.aud.get(f"{self.path}/{self.ids[0]}"))
        return self.found()[-1]

    def column(self, name: str) -> Any:
        """Return the value of a column of the first row, as JSON has it."""
        call = self.calls[0]
        query = sql.SQL("SELECT to_jsonb(r) -> {} FROM {} r WHERE {} = %s").format(
            sql.Literal(name), sql.Identifier(call.table), sql.Identifier(call.id_name)
        )
        with self.tenant.server.database.connection() as connection:
            [[value]] = connection.execute(query, [self.ids[0]]).fetchall()
        return value


@pytest.fixture(scope="module")
def posted(server: Server) -> dict[str, Posted]:
    return {function: Posted(server, function) for function in WRITES}


def at(document: Json, path: str) -> Any:
    """Return the value that a path of names leads to."""
    found: Any = document
    for step in path.split("/"):
        found = found[step]
    return found


@pytest.mark.parametrize("function", WRITES)
def test_the_call_has_all_parameters_of_the_function_and_no_other(function: str) -> None:
    # The subscription is in the path.
    assert {"subscription_id", *PLACES[function]} == set(SIGNATURES[function])


@pytest.mark.parametrize(("function", "parameter"), PARAMETERS)
def test_the_value_is_of_the_specified_type(function: str, parameter: str) -> None:
    written = SIGNATURES[function][parameter].removeprefix("Optional[").partition("[")[0].rstrip("]")
    assert isinstance(PLACES[function][parameter].value, PYTHON[written])


@pytest.mark.parametrize(("function", "parameter"), [each for each in PARAMETERS if each not in COMPUTED])
def test_the_parameter_is_stored_and_shown(posted: dict[str, Posted], function: str, parameter: str) -> None:
    place = posted[function].calls[0].places[parameter]
    row = posted[function].first()
    assert posted[function].column(place.column) == place.kept
    assert at(row, place.shown) == place.kept


def test_the_days_to_restore_become_an_end_though_annals_cannot_restore(posted: dict[str, Posted]) -> None:
    row = posted["track_deletion"].first()
    begin, end = (datetime.fromisoformat(row[name]) for name in ("deleted_at", "restore_expiry_at"))
    assert end - begin == timedelta(days=30)
    assert row["can_be_restored"] is False


@pytest.mark.parametrize(("function", "parameter"), FILTERS)
def test_the_parameter_is_a_filter(posted: dict[str, Posted], function: str, parameter: str) -> None:
    for number, call in enumerate(posted[function].calls):
        place = call.places[parameter]
        assert place.filter is not None
        assert posted[function].numbers(**{place.filter: place.value}) == [number]


@pytest.mark.parametrize("function", WRITES)
def test_the_row_is_of_the_subscription_of_the_path(
    posted: dict[str, Posted], stranger: Tenant, function: str
) -> None:
    assert posted[function].column("subscription_id") == posted[function].tenant.subscription_id
    assert not [
        row
        for row in stranger.aud.pages(f"{stranger.path}/{posted[function].calls[0].path}")
        if row[posted[function].calls[0].id_name] in posted[function].ids
    ]


@pytest.mark.parametrize("parameter", SIGNATURES["get_audit_logs"])
def test_get_audit_logs_takes_the_parameter(posted: dict[str, Posted], parameter: str) -> None:
    log = posted["log_action"]
    second, first = log.found()
    match parameter:
        case "subscription_id":
            assert log.numbers() == [1, 0]
        case "start_date":
            assert log.numbers(since=second["created_at"]) == [1]
        case "end_date":
            assert log.numbers(until=first["created_at"]) == [0]
        case "limit":
            path = f"{log.tenant.path}/audit-logs"
            page = ok(log.tenant.aud.get(path, params={"limit": 1, "origin": "posted"}))
            assert [row["audit_id"] for row in page["items"]] == [second["audit_id"]]
        case _:
            place = log.calls[0].places[parameter]
            assert log.numbers(**{str(place.filter): place.value}) == [0]


def test_get_audit_logs_returns_the_specified_fields(posted: dict[str, Posted]) -> None:
    log = posted["log_action"]
    for row in log.found():
        assert set(row) >= RETURNED
        assert (row["user_id"], row["username"]) == (log.tenant.ben.user_id, "ben")
        assert row["user_email"] == "ben@example.org"
