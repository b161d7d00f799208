"""Events of the audit log and of executions, as tests send and read them."""

from typing import Any

import psycopg

from tests.support.api import UNKNOWN, Json, Tenant

LOGS = ("audit_logs", "execution_logs", "node_execution_logs", "server_logs", "data_change_history")


def events(tenant: Tenant, **query: Any) -> list[Json]:
    """Return the events that an auditor finds; logins and reads of logs only on request."""
    found = tenant.aud.pages(f"{tenant.path}/audit-logs", **query)
    return [event for event in found if "action" in query or event["action"] not in ("LOGIN", "READ")]


REQUEST: Json = {"request_id": "r-1", "http_method": "GET", "endpoint": "/orders/7"}
DATA_CHANGE: Json = {"table_name": "orders", "record_id": "7", "new_data": {"n": 1}}
DELETION: Json = {"resource_type": "dashboard", "resource_id": "d-7"}
EXECUTION: Json = {
    "execution_id": UNKNOWN,
    "execution_type": "job",
    "log_level": "INFO",
    "log_message": "begins",
}


class audit_refused:  # noqa: N801 - reads as a statement
    """Make the database refuse the audit rows of one subscription."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._name = f"test_refusal_{tenant.subscription_id[-12:]}"

    def __enter__(self) -> None:
        with self._tenant.server.database.connection() as connection:
            connection.execute(
                psycopg.sql.SQL(
                    "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                    " RAISE EXCEPTION 'no audit'; END $$;"
                    " CREATE TRIGGER {name} BEFORE INSERT ON audit_logs FOR EACH ROW"
                    " WHEN (NEW.subscription_id = {id}) EXECUTE FUNCTION {name}()"
                ).format(
                    name=psycopg.sql.Identifier(self._name),
                    id=psycopg.sql.Literal(self._tenant.subscription_id),
                )
            )

    def __exit__(self, *_: object) -> None:
        with self._tenant.server.database.connection() as connection:
            name = psycopg.sql.Identifier(self._name)
            connection.execute(psycopg.sql.SQL("DROP TRIGGER {} ON audit_logs").format(name))
            connection.execute(psycopg.sql.SQL("DROP FUNCTION {}").format(name))


def audited(tenant: Tenant, action: str) -> int:
    """Count the successful events of an action in the tenant's audit log."""
    query = (
        "SELECT count(*) FROM audit_logs WHERE subscription_id = %s AND action = %s AND status = 'success'"
    )
    return int(tenant.server.database.value(query, tenant.subscription_id, action))
