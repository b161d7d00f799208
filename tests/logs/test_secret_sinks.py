"""A secret planted in each field, in each way, is in no sink: neither now nor after a later change."""

import io
import itertools
import string
from collections.abc import Iterator
from hashlib import sha256
from urllib.parse import quote
from uuid import uuid4

import pytest
from psycopg import sql

from tests.support.api import Caller, Json, Server, Tenant, ok
from tests.support.events import DATA_CHANGE, DELETION, EXECUTION, LOGS, REQUEST
from tests.support.full_policies import fully_audited
from tests.support.printed_log import printed_log

# Tables of content: what their owner wrote, as he wrote it.
CONTENT = frozenset(
    (
        *("workspaces", "folders", "jobs", "workflows", "jobpackages", "connectors"),
        *(
            "versions",
            "version_comments",
            "check_outs",
            "legal_holds",
            "subscriptions",
        ),
    )
)

# Texts with a secret, §.
TEXTS = {
    "GitLab feature flags": "glffct-§",
    "GitLab feed": "glft-§",
    "GitLab incoming mail": "glimt-§",
    "GitLab application": "gloas-§",
    "mysql": "mysql -u root -p§ shop",
    "sshpass": "sshpass -p § ssh h",
    "docker login": "docker login -u ana -p § r.example",
    "net user": "net user bob § /add",
    "registry": r"reg add HKLM\Winlogon /v DefaultPassword /d § /f",
    "Telegram": "https://api.telegram.org/bot123456789:AAE§/getMe",
    "URL": "https://bob:§@git.example/r",
    "Slack hook": "https://hooks.slack.com/services/T0AAAAAAA/B0AAAAAAA/§",
    "assignment": "host=db password=§ port=1",
    "bearer": "Authorization: Bearer §",
}
_PAIRS = (("name", "value"), ("key", "value"), ("Name", "Value"), ("header", "value"))
# Values with a secret, whose names stand beside or above it.
VALUES: dict[str, object] = {
    **{f"{name}/{value}": [{name: "X-API-KEY", value: "§"}] for name, value in _PAIRS},
    "environment": {"env": [{"name": "HOST", "value": "h"}, {"name": "DB_PASSWORD", "value": "§"}]},
    "option": {"args": ["serve", "--password", "§", "--port", "80"]},
    "command": ["sshpass", "-p", "§", "ssh", "h"],
    "glued command": ["mysql", "-uroot", "-p§", "shop"],
    "header pairs": {"headers": [["Authorization", "Bearer §"], ["Accept", "text/html"]]},
    "header pair": {"headers": [["X-Api-Key", "§"]]},
    "raw headers": {"rawHeaders": ["Host", "h", "Cookie", "session=§"]},
    "Kubernetes secret": {"kind": "Secret", "data": {"a": "§"}},
    "nested name": {"password": {"value": "§"}},
    "name": {"db": {"password": "§"}},
    "key": {"https://bob:§@git.example": 1},
    "JSON text": '{"env":[{"name":"DB_PASSWORD","value":"§"}]}',
}
POSTED = {"server-logs": REQUEST, "change-history": DATA_CHANGE, "deletions": DELETION}
# Their fields of text that are wide enough.
POSTED_TEXTS = {
    "server-logs": (
        *("request_id", "endpoint", "user_id", "user_agent", "referer", "error_message"),
        *("error_traceback", "source"),
    ),
    "change-history": (*("table_name", "record_id", "record_name", "changed_by", "change_reason", "source"),),
    "deletions": (
        *("resource_id", "resource_name", "deleted_by", "parent_resource_id", "deletion_reason", "source"),
    ),
}
_NUMBERS = itertools.count()
_SEED = uuid4().hex


def secret() -> str:
    """Make a secret that is found nowhere else."""
    digest = sha256(f"{_SEED}{next(_NUMBERS)}".encode()).digest()
    return "S7" + "".join((string.ascii_letters + string.digits)[byte % 62] for byte in digest)


class Plants:
    """The secrets that were planted, with the field and the way of each."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}

    def text(self, field: str, way: str) -> str:
        """Make a text with a new secret."""
        made = secret()
        self.planted[made] = f"{field}, {way}"
        return TEXTS[way].replace("§", made)

    def document(self, field: str) -> Json:
        """Make an object with a new secret in each way."""
        values = {way: self._filled(value, f"{field}, {way}") for way, value in VALUES.items()}
        return {"values": values, "texts": {way: self.text(field, way) for way in TEXTS}}

    def _filled(self, value: object, label: str) -> object:
        if isinstance(value, dict):
            return {self._filled(key, label): self._filled(each, label) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each, label) for each in value]
        if not isinstance(value, str) or "§" not in value:
            return value
        made = secret()
        self.planted[made] = label
        return value.replace("§", made)


@pytest.fixture(scope="module")
def printed() -> Iterator[io.StringIO]:
    with printed_log("debug") as text:
        yield text


@pytest.fixture(scope="module")
def tenant(lone_server: Server) -> Iterator[Tenant]:
    """A subscription with the fullest policy."""
    with fully_audited(lone_server, "sinks") as tenant:
        yield tenant


def plant_in_documents(tenant: Tenant, plants: Plants) -> None:
    """Save a document and change its secrets alone, in states, and in posted events."""
    workflow = tenant.workflow(definition=plants.document("definition"))
    tenant.save(workflow, plants.document("first version"))
    tenant.save(workflow, plants.document("changed version"))
    for way in TEXTS:
        tenant.amend(workflow, description=plants.text("changed description", way))
    tenant.save(workflow, {"all": "gone"})
    old, new = plants.document("old values"), plants.document("new values")
    paths = [
        {"op": "replace", "path": f"/a/{plants.text('path', way)}", "value": plants.text("value", way)}
        for way in TEXTS
    ]
    escaped = (plants.text("escaped path", way).replace("~", "~0").replace("/", "~1") for way in TEXTS)
    paths += [{"op": "remove", "path": f"/a/{path}"} for path in escaped]
    event = {
        "action": "EXECUTE",
        "resource_type": "w",
        "resource_id": "r",
        "old_values": old,
        "new_values": new,
    }
    made = secret()
    plants.planted[made] = "changes beside states"
    alone = [{"op": "replace", "path": "/env/0/value", "value": made}]
    named = {"env": [{"name": "DB_PASSWORD", "value": "old"}]}
    events = [
        event,
        event | {"changes": paths},
        event | {"old_values": named, "new_values": named, "changes": alone},
    ]
    ok(tenant.ana.post(f"{tenant.path}/audit-logs", events), 201)
    said = {**EXECUTION, "log_details": plants.document("details"), "error_details": plants.document("error")}
    ok(tenant.ana.post(f"{tenant.path}/execution-logs", [said, said | {"execution_type": "node"}]), 201)
    names = ("query_params", "request_body", "response_body")
    request = {**REQUEST, **{name: plants.document(name) for name in names}}
    ok(tenant.ana.post(f"{tenant.path}/server-logs", request), 201)
    states = {"old_data": plants.document("old data"), "new_data": plants.document("new data")}
    ok(tenant.ana.post(f"{tenant.path}/change-history", {**DATA_CHANGE, **states}), 201)
    gone = {**DELETION, "resource_data": plants.document("resource data")}
    ok(tenant.ana.post(f"{tenant.path}/deletions", gone), 201)


def plant_in_texts(tenant: Tenant, plants: Plants, way: str) -> None:
    """Put a text into each field of text that a request has."""
    ana = Caller(tenant.server, tenant.ana.key, tenant.ana.user_id, "ana")

    def headers() -> dict[str, str]:
        return {
            name: plants.text(name, way)
            for name in ("user-agent", "referer", "x-change-reason", "x-request-id")
        }

    made = {"name": plants.text("name", way), "description": plants.text("description", way)}
    workflow = ok(
        ana.post(f"{tenant.path}/workflows", made | tenant.parent("workflows"), headers=headers()), 201
    )
    at = tenant.at(workflow)
    ok(ana.post(f"{at}/check-out", {"reason": plants.text("check-out", way)}, headers=headers()))
    checked = {"data": {"x": 1}, "comment": plants.text("comment", way)}
    ok(ana.post(f"{at}/check-in", checked, headers=headers() | {"idempotency-key": str(uuid4())}), 201)
    event = {
        **{
            name: plants.text(name, way)
            for name in (
                *("resource_id", "resource_name", "error_message", "resource_type", "user_agent"),
                *("api_endpoint", "request_id", "source", "event_id"),
            )
        },
        "action": "EXECUTE",
        "status": "failed",
        "actor": {"id": plants.text("actor id", way), "name": plants.text("actor name", way)},
    }
    ok(ana.post(f"{tenant.path}/audit-logs", event), 201)
    behalf = {"action": "EXECUTE", "resource_type": "w", "on_behalf_of": plants.text("on behalf of", way)}
    ok(ana.post(f"{tenant.path}/audit-logs", behalf), 201)
    said = {name: plants.text(name, way) for name in ("node_id", "log_message", "error_code")}
    ok(ana.post(f"{tenant.path}/execution-logs", {**EXECUTION, **said}), 201)
    for path, names in POSTED_TEXTS.items():
        ok(
            ana.post(
                f"{tenant.path}/{path}",
                {**POSTED[path], **{name: plants.text(f"{path} {name}", way) for name in names}},
            ),
            201,
        )
    ok(ana.get(f"{tenant.path}/workflows", params={"name": plants.text("query", way)}))
    # Refusals: of an unknown path, parameter and field.
    ana.delete(f"{tenant.path}/users/{quote(plants.text('path', way), safe='')}")
    ana.get(f"{tenant.path}/workflows", params={plants.text("parameter", way): "1"})
    ana.post(f"{tenant.path}/jobs", {plants.text("field", way): plants.text("value", way)})
    ok(ana.delete(at, params={"reason": plants.text("deletion", way)}))


def tables(server: Server) -> list[str]:
    """List the tables that are no content."""
    query = (
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')"
    )
    return sorted({name for (name,) in server.database.rows(query)} - CONTENT)


def rows_of(server: Server, table: str) -> str:
    """Read all rows of a table as one text, without the copy of a deleted document, which is content.

    What a platform posts of a deleted object is none.
    """
    with server.database.connection() as connection:
        query = sql.SQL(
            "SELECT CASE WHEN row ->> 'origin' = 'posted' THEN row ELSE row - 'resource_data' END"
            " FROM {} t, to_jsonb(t) row"
        ).format(sql.Identifier(table))
        return str([row for (row,) in connection.execute(query)])


def test_a_secret_in_each_field_and_way_is_in_no_sink(tenant: Tenant, printed: io.StringIO) -> None:
    plants = Plants()
    plant_in_documents(tenant, plants)
    for way in TEXTS:
        plant_in_texts(tenant, plants, way)
    tenant.server.flush_log()
    sinks = {table: rows_of(tenant.server, table) for table in tables(tenant.server)}
    sinks["printed"] = printed.getvalue()
    sinks["metrics"] = tenant.server.http.get("/metrics").text
    for statistics in ("audit-logs/stats?group_by=action", "execution-logs/stats?group_by=status"):
        sinks[statistics] = tenant.aud.get(f"{tenant.path}/{statistics}").text
    found = [
        f"{label} in {sink}"
        for sink, text in sinks.items()
        for made, label in plants.planted.items()
        if made in text
    ]
    assert not found, "\n".join(found)
    assert len(plants.planted) > 600
    assert {*LOGS, "deletion_logs", "idempotency_keys"} <= set(sinks)
    # The customer's own content is as it was given.
    kept = rows_of(tenant.server, "versions")
    first = [made for made, label in plants.planted.items() if label.startswith("first version")]
    assert all(made in kept for made in first)
