"""Annals as its clients see it: a real server, callers with keys, and a subscription to work in."""

import itertools
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import httpx
import uvicorn
from fastapi import FastAPI
from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from psycopg import sql

from service.http.connections.guard import Guard
from service.http.connections.limits import limits_of_this_process
from service.http.connections.protocols import protocol_class
from service.usecases.context import Context
from tests.support import described_answers
from tests.support.databases import Database
from tests.support.doors import TICK_SECONDS, Watch

Json = dict[str, Any]
OPERATOR_KEY = "the-operators-key-of-these-tests-0123456789"
# An id that no resource has.
UNKNOWN = "019a0000-0000-7000-8000-000000000000"
# The events of the audit log that are successful changes.
CHANGES: LiteralString = "status = 'success' AND action NOT IN ('LOGIN', 'READ')"
COLLECTIONS = ("workspaces", "folders", "jobs", "workflows", "jobpackages", "connectors")
_TOLD_TO_GIT = re.compile(r"(?P<detail>.+)\n\((?P<code>\w+), request (?P<request_id>\S+)\)\n")
_RESOURCE = re.compile(rf"/v1/subscriptions/[^/]+/({'|'.join(COLLECTIONS)})/[^/]+")
TENANT_TABLES = (
    *COLLECTIONS,
    *("versions", "version_comments", "check_outs", "publications", "tags", "deletion_logs"),
    *("audit_logs", "users", "actors", "api_keys", "idempotency_keys"),
)


class Clock:
    """A clock that a test can move."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._offset

    @contextmanager
    def moved(self, **by: float) -> Iterator[None]:
        """Move the clock ahead by so many seconds, hours or days, until the block ends."""
        self._offset += timedelta(**by)
        try:
            yield
        finally:
            self._offset -= timedelta(**by)


@dataclass
class Server:
    """The application under uvicorn, in a thread; `watch` is the time of its connections."""

    url: str
    app: FastAPI
    database: Database
    clock: Clock
    http: httpx.Client
    watch: Watch

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def context(self) -> Context:
        found = self.app.state.context
        assert isinstance(found, Context)
        return found

    @property
    def operator(self) -> "Caller":
        return Caller(self, OPERATOR_KEY)

    @property
    def nobody(self) -> "Caller":
        return Caller(self, None)

    @staticmethod
    def another_address() -> dict[str, str]:
        """Return a header that gives an unknown caller an address of its own, so that it repeats nobody."""
        return {"x-forwarded-for": str(IPv4Address(uuid4().int % 2**24 + 10 * 2**24))}

    def flush_log(self) -> None:
        """Wait until the server log has every answered request; its rows are written in their order."""
        mark = f"mark-{uuid4()}"
        self.http.get("/version", headers={"x-request-id": mark})
        deadline = time.monotonic() + 30
        while not self.database.rows("SELECT 1 FROM server_logs WHERE request_id = %s", mark):
            assert time.monotonic() < deadline, "the server log is not written"
            time.sleep(0.05)


@contextmanager
def served(
    app: FastAPI, database: Database, clock: Clock, protocol: type[Guard] | None = None
) -> Iterator[Server]:
    """Run an application until the block ends; `protocol` may have other times than the product's."""
    watch = Watch()
    usual = replace(limits_of_this_process(), tick_seconds=TICK_SECONDS)
    config = uvicorn.Config(
        app,
        http=protocol or protocol_class(usual, watch),
        ws="none",
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, name="server")
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    transport = httpx.HTTPTransport(limits=httpx.Limits(max_connections=None, max_keepalive_connections=64))
    try:
        with httpx.Client(
            base_url=url,
            timeout=60,
            transport=transport,
            trust_env=False,
            event_hooks={"response": [described_answers.check]},
        ) as http:
            yield Server(url, app, database, clock, http, watch)
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Caller:
    """A user or operator who calls with a key, or a caller without one."""

    server: Server
    key: str | None
    user_id: str = ""
    username: str = ""

    @property
    def key_id(self) -> UUID:
        """Id of the caller's key, which is the middle part of its text."""
        assert self.key is not None
        return UUID(self.key.split("_")[1])

    def request(
        self,
        method: str,
        path: str,
        json: object = None,
        *,
        headers: dict[str, str] | None = None,
        **how: Any,
    ) -> httpx.Response:
        """Call with the caller's key; `headers` may replace it."""
        given = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        if method == "PATCH" and _RESOURCE.fullmatch(path):
            given["content-type"] = "application/merge-patch+json"
        return self.server.http.request(method, path, json=json, headers=given | (headers or {}), **how)

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.request("GET", path, **how)

    def post(self, path: str, json: object = None, **how: Any) -> httpx.Response:
        return self.request("POST", path, json, **how)

    def put(self, path: str, json: object = None, **how: Any) -> httpx.Response:
        return self.request("PUT", path, json, **how)

    def patch(self, path: str, json: object = None, **how: Any) -> httpx.Response:
        return self.request("PATCH", path, json, **how)

    def delete(self, path: str, **how: Any) -> httpx.Response:
        return self.request("DELETE", path, **how)

    def send(self, path: str, content: bytes, **headers: str) -> httpx.Response:
        """Post bytes unchanged, as JSON unless the headers name another type."""
        return self.post(path, content=content, headers={"content-type": "application/json"} | headers)

    def pages(self, path: str, **query: Any) -> list[Json]:
        """Return every item of a list, read page by page."""
        found: list[Json] = []
        while True:
            page = ok(self.get(path, params=query))
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]


def ok(response: httpx.Response, status: int = 200) -> Json:
    """Return the JSON of an answer, after checking its status."""
    assert response.status_code == status, (response.request.method, str(response.url), response.text)
    found: Json = response.json() if response.content else {}
    return found


def refused(response: httpx.Response, status: int, code: str) -> Json:
    """Return the problem of an answer, after checking that it refuses with that status and code.

    Of an answer to git, which is a text for people, the problem has its code, detail and request id; so has
    one to an exporter of logs, which is a google.rpc.Status in the format of the request.
    """
    is_of_logs = response.request.url.path.endswith("/otlp/v1/logs")
    if is_of_logs and "problem" not in response.headers["content-type"]:
        return _refused_logs(response, status, code)
    is_of_git = response.request.url.path.startswith("/git/")
    media_type = "text/plain; charset=utf-8" if is_of_git else "application/problem+json"
    assert (response.status_code, response.headers["content-type"]) == (status, media_type), response.text
    problem: Json
    if is_of_git:
        told = _TOLD_TO_GIT.fullmatch(response.text)
        assert told, response.text
        problem = {**told.groupdict(), "type": f"/docs/problems/{told['code']}", "status": status}
    else:
        problem = response.json()
    assert problem["code"] == code, problem
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


def _refused_logs(response: httpx.Response, status: int, code: str) -> Json:
    media_type = response.headers["content-type"]
    assert (response.status_code, media_type) == (status, response.request.headers["content-type"])
    message = (
        json_format.Parse(response.text, Status())
        if media_type == "application/json"
        else Status.FromString(response.content)
    )
    about = ErrorInfo()
    assert message.details[0].Unpack(about)
    assert about.reason == code.upper(), message
    assert about.metadata["request_id"] == response.headers["x-request-id"]
    found = BadRequest()
    for details in message.details:
        details.Unpack(found)
    faults = [{"pointer": each.field, "detail": each.description} for each in found.field_violations]
    return {
        "type": about.metadata["type"],
        "code": code,
        "detail": message.message,
        "status": status,
        "rpc_code": message.code,
        "errors": faults,
    }


def without_quotas(subscription: Json) -> Json:
    """Return a subscription as a list shows it."""
    return {name: value for name, value in subscription.items() if name != "quotas"}


def pointers(problem: Json) -> list[str]:
    """Return the pointers or parameters of the faults in a problem."""
    return [fault.get("pointer", fault.get("parameter")) for fault in problem.get("errors", [])]


class Tenant:
    """A subscription with users of every role, who are made when first used."""

    def __init__(self, server: Server, name: str = "acme") -> None:
        self.server = server
        self.subscription = ok(server.operator.post("/v1/subscriptions", {"name": name}), 201)
        self.subscription_id: str = self.subscription["subscription_id"]
        self.path = f"/v1/subscriptions/{self.subscription_id}"
        self._numbers = itertools.count(1)

    def user(self, username: str, role: str) -> Caller:
        """Create a user, and a key for it."""
        operator = self.server.operator
        body = {"username": username, "email": f"{username}@example.org", "role": role}
        user = ok(operator.post(f"{self.path}/users", body), 201)
        key = ok(operator.post(f"{self.path}/api-keys", {"user_id": user["user_id"], "name": "laptop"}), 201)
        return Caller(self.server, key["api_key"], user["user_id"], username)

    @cached_property
    def ana(self) -> Caller:
        return self.user("ana", "admin")

    @cached_property
    def ben(self) -> Caller:
        return self.user("ben", "editor")

    @cached_property
    def vera(self) -> Caller:
        return self.user("vera", "viewer")

    @cached_property
    def aud(self) -> Caller:
        return self.user("aud", "auditor")

    def caller(self, name: str) -> Caller:
        """Return a user by its name, or the operator."""
        found = self.server.operator if name == "operator" else getattr(self, name)
        assert isinstance(found, Caller)
        return found

    # -- resources ------------------------------------------------------------------------------------

    @cached_property
    def workspace_id(self) -> str:
        return str(self.make("workspaces")["resource_id"])

    @cached_property
    def folder_id(self) -> str:
        return str(self.make("folders")["resource_id"])

    @cached_property
    def job_id(self) -> str:
        return str(self.make("jobs")["resource_id"])

    def begin_another_tree(self) -> None:
        """Make all later resources in another workspace, folder and job."""
        for name in ("workspace_id", "folder_id", "job_id"):
            self.__dict__.pop(name, None)

    def parent(self, collection: str) -> Json:
        """Return the field that names a parent for a resource of that kind."""
        match collection:
            case "workspaces":
                return {}
            case "folders" | "connectors":
                return {"workspace_id": self.workspace_id}
            case "workflows":
                return {"job_id": self.job_id}
            case _:
                return {"folder_id": self.folder_id}

    def make(self, collection: str, by: Caller | None = None, **fields: Any) -> Json:
        """Create a resource below this tenant's parent for its kind, unless the fields name another."""
        body = {"name": f"{collection} {next(self._numbers)}", **self.parent(collection), **fields}
        return ok((by or self.ana).post(f"{self.path}/{collection}", body), 201)

    def workflow(self, **fields: Any) -> Json:
        """Create a workflow."""
        return self.make("workflows", **fields)

    def at(self, resource: Json) -> str:
        """Return the path of a resource."""
        return f"{self.path}/{resource['resource_type']}s/{resource['resource_id']}"

    def amend(self, resource: Json, by: Caller | None = None, **fields: Any) -> Json:
        """Change name, description or parent of a resource."""
        return ok((by or self.ana).patch(self.at(resource), fields))

    def remove(self, resource: Json, by: Caller | None = None, **query: Any) -> Json:
        """Delete a resource; returns the deletion."""
        return ok((by or self.ana).delete(self.at(resource), params=query))

    def restore(self, deletion: Json, by: Caller | None = None, **fields: Any) -> Json:
        """Restore a deletion; returns the restored resources."""
        path = f"{self.path}/deletions/{deletion['deletion_id']}/restore"
        return ok((by or self.ben).post(path, fields))

    def save(self, resource: Json, data: Json, by: Caller | None = None, **fields: Any) -> Json:
        """Save a version."""
        path = f"{self.at(resource)}/versions"
        return ok((by or self.ana).post(path, {"data": data, **fields}), 201)

    def check_out(self, resource: Json, by: Caller | None = None, **fields: Any) -> Json:
        """Check a resource out."""
        return ok((by or self.ana).post(f"{self.at(resource)}/check-out", fields))

    def check_in(self, resource: Json, by: Caller | None = None, **fields: Any) -> Json:
        """Check a resource in, with a new version."""
        return ok((by or self.ana).post(f"{self.at(resource)}/check-in", fields), 201)

    # -- what is stored -------------------------------------------------------------------------------

    @property
    def repository(self) -> Path:
        return self.server.context.store.path(self.subscription_id)

    def git(self, *arguments: str) -> str:
        """Return the output of git in the bare repository on the server."""
        return git(self.repository, *arguments)

    def main(self) -> str:
        """Return the commit that `main` names, or an empty text before the first commit."""
        return self.git("for-each-ref", "--format=%(objectname)", "refs/heads/main").strip()

    def clone_url(self, caller: Caller) -> str:
        """Return the address that a caller clones from; it holds the caller's key."""
        return f"{self.server.url}/git/{self.subscription_id}.git".replace("//", f"//git:{caller.key}@")

    def clone(self, folder: Path, by: Caller | None = None, *options: str) -> Path:
        """Clone into a folder."""
        run_git(folder.parent, "clone", "-q", *options, self.clone_url(by or self.ana), str(folder))
        return folder

    def footprint(self) -> Json:
        """Return a measure of the stored data: the number of rows of each table, and the refs.

        Records of refusals, logins and the reading of logs are not counted.
        """
        counts = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}, count(*) FROM {} WHERE subscription_id = {} AND {}").format(
                sql.Literal(table),
                sql.Identifier(table),
                sql.Literal(self.subscription_id),
                sql.SQL(CHANGES if table == "audit_logs" else "true"),
            )
            for table in TENANT_TABLES
        )
        with self.server.database.connection() as connection:
            return dict(connection.execute(counts).fetchall()) | {"refs": self.git("for-each-ref")}


def snapshot_path(resource: Json) -> str:
    """Return the path of a resource's snapshot in the tree, as API.md describes it."""
    resource_id = resource["resource_id"]
    digest = sha256(resource_id.encode()).hexdigest()
    return f"{resource['resource_type']}s/{digest[:2]}/{resource_id}.json"


def run_git(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run git without the machine's configuration; raises CalledProcessError if git fails."""
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    defaults = {"check": True, "capture_output": True, "env": environment}
    return subprocess.run(["git", "-C", str(folder), *arguments], **{**defaults, **options})


def git(folder: Path, *arguments: str) -> str:
    """Return the output of git."""
    return bytes(run_git(folder, *arguments).stdout).decode()
