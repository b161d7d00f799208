"""Secrets planted in every field that a client can fill are found in no log: neither stored nor printed."""

import io
import string
from collections.abc import Iterator
from urllib.parse import quote
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api import Caller, Json, Server, Tenant, ok
from tests.support.events import EXECUTION, LOGS
from tests.support.full_policies import fully_audited
from tests.support.printed_log import printed_log

WORD = string.ascii_letters + string.digits


def random_text(alphabet: str, size: int) -> st.SearchStrategy[str]:
    """Make a text that is found nowhere else: its end is new each time."""
    return st.text(alphabet, min_size=size - 8, max_size=size - 8).map(lambda s: s + uuid4().hex[:8].upper())


# Make a text with a secret in it; returns the text, and the part of it that nobody may find.
BY_SHAPE: dict[str, st.SearchStrategy[tuple[str, str]]] = {
    "a GitLab token": random_text(WORD, 20).map(lambda s: (f"glffct-{s}", s)),
    "a GitHub token": random_text(WORD, 36).map(lambda s: (f"ghp_{s}", s)),
    "a key of Annals": random_text(WORD, 43).map(lambda s: (f"annals_{'a1' * 16}_{s}", s)),
    "a JWT": random_text(WORD, 43).map(lambda s: (f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{s}", s)),
    "a URL's password": random_text(WORD, 20).map(lambda s: (f"postgres://ana:{s}@db.example/x", s)),
    "a bearer's token": random_text(WORD, 30).map(lambda s: (f"Authorization: Bearer {s}", s)),
    "an assignment": random_text(WORD, 20).map(lambda s: (f"host=db password={s} port=1", s)),
}
NAMES = st.sampled_from(
    ["password", "api_key", "clientSecret", "access-token", "PRIVATE_KEY", "Authorization"]
)


@st.composite
def by_name(draw: st.DrawFn) -> tuple[Json, str]:
    """Make a value under a secret name, anywhere in an object; returns the object, and the value."""
    secret = draw(random_text(WORD, 20))
    found: object = {draw(NAMES): draw(st.sampled_from([secret, [secret], {"deep": secret}]))}
    for _ in range(draw(st.integers(0, 4))):
        found = draw(st.sampled_from([{"settings": found}, [1, found], {"a": None, "b": found}]))
    return {"plain": found}, secret


@pytest.fixture(scope="module")
def planted(lone_server: Server) -> Iterator[Tenant]:
    """A subscription with the fullest policy; its logs are read whole: no other test fills them."""
    with fully_audited(lone_server, "planted") as tenant:
        yield tenant


@pytest.fixture(scope="module")
def printed() -> Iterator[io.StringIO]:
    """The process's own log, at its most detailed level."""
    with printed_log("debug") as text:
        yield text


def plant_everywhere(tenant: Tenant, text: str, value: Json, request_id: str) -> str:
    """Put a text and an object into every field that takes them; returns the version that has the object."""
    ana = Caller(tenant.server, tenant.ana.key, tenant.ana.user_id, "ana")
    headers = {"x-request-id": request_id, "user-agent": text, "referer": text, "x-change-reason": text}
    made = {
        "name": f"{text} {request_id}",
        "description": text,
        "definition": value,
        **tenant.parent("workflows"),
    }
    workflow = ok(ana.post(f"{tenant.path}/workflows", made, headers=headers), 201)
    at = tenant.at(workflow)
    ok(ana.post(f"{at}/check-out", {"reason": text}, headers=headers))
    version = ok(
        ana.post(f"{at}/check-in", {"data": {"x": value, "text": text}, "comment": text}, headers=headers),
        201,
    )
    ok(ana.post(f"{at}/versions/1/comments", {"text": text}, headers=headers), 201)
    event = {
        **dict.fromkeys(("resource_id", "resource_name", "error_message", "on_behalf_of"), text),
        "action": "EXECUTE",
        "resource_type": text,
        "old_values": {},
        "new_values": value,
        "changes": [{"op": "add", "path": "/a", "value": value, "said": text, "from": value}],
        "status": "failed",
    }
    ok(ana.post(f"{tenant.path}/audit-logs", event, headers=headers), 201)
    for kind in ("workflow", "node"):
        said = {
            **EXECUTION,
            "execution_type": kind,
            "node_id": text,
            "log_message": text,
            "error_code": text,
            "log_details": value,
            "error_details": value,
        }
        ok(ana.post(f"{tenant.path}/execution-logs", said, headers=headers), 201)
    ok(ana.get(f"{tenant.path}/workflows", params={"name": text}, headers=headers))
    # Refusals: of a resource with such a name, as a path, as an unknown field, and as a key.
    ana.post(f"{at}/versions", {"none": 1}, headers=headers)
    ana.delete(f"{tenant.path}/users/{quote(text, safe='')}", headers=headers)
    ana.post(f"{tenant.path}/jobs", {text: value}, headers=headers)
    return str(version["version_id"])


def sinks(server: Server, secret: str) -> list[str]:
    """Find the logs in which a secret is."""
    server.flush_log()
    found = []
    with server.database.connection() as connection:
        for log in LOGS:
            query = f"SELECT count(*) FROM {log} t WHERE strpos(to_jsonb(t)::text, %s) > 0"  # noqa: S608
            [count] = connection.execute(query.encode(), [secret]).fetchone() or [None]
            if count != 0:
                found.append(log)
    return found


def check(tenant: Tenant, printed: io.StringIO, text: str, value: Json, secret: str) -> None:
    request_id = str(uuid4())
    version_id = plant_everywhere(tenant, text, value, request_id)
    assert sinks(tenant.server, secret) == []
    assert request_id in printed.getvalue()
    assert secret not in printed.getvalue()
    printed.truncate(0)
    # The customer's own content is unchanged.
    query = "SELECT strpos(version_data::text, %s) > 0 FROM versions WHERE version_id = %s"
    assert tenant.server.database.value(query, secret, version_id)


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("shape", BY_SHAPE)
@given(data=st.data())
def test_a_secret_that_is_known_by_its_shape_is_in_no_log(
    planted: Tenant, printed: io.StringIO, shape: str, data: st.DataObject
) -> None:
    text, secret = data.draw(BY_SHAPE[shape])
    check(planted, printed, text, {"a": [text], "b": {"c": f"say {text}"}}, secret)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(named=by_name())
def test_a_secret_that_is_known_by_its_name_is_in_no_log(
    planted: Tenant, printed: io.StringIO, named: tuple[Json, str]
) -> None:
    value, secret = named
    check(planted, printed, "nothing secret", value, secret)


def test_a_field_that_is_too_large_is_cut_and_says_how_large_it_was(planted: Tenant) -> None:
    large = {"list": ["x" * 1000] * 200}
    event = {"action": "EXECUTE", "resource_type": "workflow", "resource_id": "large", "new_values": large}
    ok(planted.ana.post(f"{planted.path}/audit-logs", event | {"error_message": "y" * 9_999}), 201)
    said = {**EXECUTION, "log_details": large}
    ok(planted.ana.post(f"{planted.path}/execution-logs", said), 201)
    [stored] = planted.aud.pages(f"{planted.path}/audit-logs", resource_id="large")
    assert stored["new_values"]["truncated"] is True
    assert stored["new_values"]["bytes"] > 200_000
    assert len(str(stored)) < 200_000
    [stored] = planted.aud.pages(f"{planted.path}/execution-logs", execution_id=EXECUTION["execution_id"])[:1]
    assert stored["log_details"]["bytes"] > 200_000
