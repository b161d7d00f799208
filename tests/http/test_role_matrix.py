"""The table of roles in `docs/guide/roles.md` is what the server answers to a valid request of each call.

To write it anew: `ANNALS_TEST_WRITE_ROLES=1 .venv/bin/pytest tests/http/test_role_matrix.py`.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.http.auth import headers
from service.usecases.maintenance import scheduled_jobs
from tests.support.api import Caller, Server, Tenant, ok
from tests.support.audited_calls import short
from tests.support.role_calls import GIT, OPERATIONS, VARIANTS, RoleCall

PAGE = Path(__file__).parents[2] / "docs/guide/roles.md"
BEGIN, END = "<!-- The table begins here; a test writes it. -->\n", "<!-- The table ends here. -->\n"
MEMBERS = ("viewer", "editor", "auditor", "admin")
STRANGERS = {"no key": 401, "expired key": 401, "revoked key": 401, "another tenant's admin": 404}
COLUMNS = (*STRANGERS, *MEMBERS, "operator")
# The answers that tell of rights; a valid request has no other but success.
REFUSALS = (401, 403, 404)
PUBLIC = {"/livez", "/readyz", "/version", "/metrics"}

Row = dict[str, int]


def described(server: Server) -> dict[str, list[tuple[str, str]]]:
    """Operations of the description by their tag, in its order."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, methods in server.app.openapi()["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append((method.upper(), short(path)))
    return found


def calls(server: Server) -> Iterator[tuple[str, str, str, RoleCall]]:
    """Yield the tag, the method, the label and the request of each row of the table."""
    for tag, operations in described(server).items():
        for operation in operations:
            if operation not in GIT:
                yield tag, *operation, OPERATIONS[operation]
                for label, call in VARIANTS.get(operation, {}).items():
                    yield tag, operation[0], label, call
    for operation, call in GIT.items():
        yield "git", *operation, call


def callers_of(server: Server, tenant: Tenant) -> dict[str, Caller]:
    """Callers by column, in an order in which those who are always refused come first."""
    path, operator = f"{tenant.path}/api-keys", server.operator
    body = {"user_id": tenant.ana.user_id, "name": "k", "expires_in_days": 1}
    expired, revoked = (ok(operator.post(path, body), 201) for _ in range(2))
    with server.database.connection() as connection:
        connection.execute(
            "UPDATE api_keys SET expires_at = now() - interval '1 day' WHERE key_id = %s", [expired["key_id"]]
        )
    ok(operator.delete(f"{path}/{revoked['key_id']}"), 204)
    return {
        "no key": server.nobody,
        "expired key": Caller(server, expired["api_key"]),
        "revoked key": Caller(server, revoked["api_key"]),
        "another tenant's admin": Tenant(server, "another").ana,
        "viewer": tenant.vera,
        "auditor": tenant.aud,
        "editor": tenant.ben,
        "admin": tenant.ana,
        "operator": operator,
    }


@pytest.fixture(scope="module")
def matrix(lone_server: Server) -> dict[tuple[str, str, str], Row]:
    """The status of each answer, by tag, method and label of the request, and by column."""
    tenant = Tenant(lone_server, "matrix")
    callers = callers_of(lone_server, tenant)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headers, "FAILED_LOGIN_SECONDS", 0)
        # No scheduler is there to run a job, for whose end the caller would wait.
        patch.setattr(scheduled_jobs, "WAIT_SECONDS", 0)
        return {
            (tag, method, label): answers(tenant, callers, method, call)
            for tag, method, label, call in calls(lone_server)
        }


def answers(tenant: Tenant, callers: dict[str, Caller], method: str, call: RoleCall) -> Row:
    """Statuses by column. What a successful request used up is prepared again for the next caller."""
    found: Row = {}
    prepared = None
    for column, caller in callers.items():
        if prepared is None or call.own:
            prepared = call.prepare(tenant, caller)
        response = call.send(caller, method, prepared)
        assert response.is_success or response.status_code in REFUSALS, (method, prepared, response.text)
        found[column] = response.status_code
        if response.is_success and method != "GET":
            prepared = None
    return found


def table(matrix: dict[tuple[str, str, str], Row]) -> str:
    """The table, a section a tag."""
    lines: list[str] = []
    section = None
    for (tag, method, label), row in matrix.items():
        if tag != section:
            section = tag
            lines += ["", f"### {tag.capitalize()}", "", f"| call | {' | '.join((*MEMBERS, 'operator'))} |"]
            lines.append("|---" * (len(MEMBERS) + 2) + "|")
        cells = ["yes" if row[name] < 400 else str(row[name]) for name in (*MEMBERS, "operator")]
        lines.append(f"| `{method} {label}` | {' | '.join(cells)} |")
    return "\n".join([*lines, ""]) + "\n"


def test_every_operation_has_a_valid_request(lone_server: Server) -> None:
    operations = {each for found in described(lone_server).values() for each in found}
    assert operations - set(GIT) == set(OPERATIONS)
    assert set(VARIANTS) <= operations


def test_every_operation_is_somebodys(matrix: dict[tuple[str, str, str], Row]) -> None:
    assert [name for name, row in matrix.items() if all(status >= 400 for status in row.values())] == []


@pytest.mark.parametrize("column", STRANGERS)
def test_strangers_find_nothing(matrix: dict[tuple[str, str, str], Row], column: str) -> None:
    of_a_tenant = re.compile(r"[SR](\W|$)|/git/")
    for (_, _, label), row in matrix.items():
        if label in PUBLIC:
            assert row[column] < 400
        elif of_a_tenant.match(label):
            assert row[column] == STRANGERS[column], label
        else:
            # Outside of subscriptions a stranger with a key is an admin as any other.
            assert row[column] == (row["admin"] if column.startswith("another") else 401), label


def test_the_page_has_the_table_of_the_server(matrix: dict[tuple[str, str, str], Row]) -> None:
    head, _, rest = PAGE.read_text().partition(BEGIN)
    shown, _, tail = rest.partition(END)
    made = table(matrix)
    if os.environ.get("ANNALS_TEST_WRITE_ROLES"):
        PAGE.write_text(f"{head}{BEGIN}{made}{END}{tail}")
    else:
        assert shown == made, "see the head of this test for how to write the table anew"
