"""Calls to a server that may be killed at any time, repeated with the same key to a definite outcome."""

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

Json = dict[str, Any]

# Shorter than a real client's pause, but long enough for a restarting server to make progress.
PAUSE_SECONDS = 0.1
NOT_REACHED_PAUSE_SECONDS = 0.3
# An answer may take as long as the committer searches for the outcome of a COMMIT without an answer.
TIMEOUT_SECONDS = 75
# A killed server is back within seconds, and no server may answer for ever that it doesn't know the outcome.
DEFINITE_SECONDS = 120

NOT_REACHED = "not reached"
LOST = "lost"


class Stuck(Exception):
    """There was no definite answer for so long that none is expected."""


@dataclass(slots=True)
class Attempt:
    """One sending of a call: its request id, and its outcome, which is a status, `lost` or `not reached`."""

    request_id: str
    outcome: int | str
    code: str = ""

    @property
    def is_definite(self) -> bool:
        """True if the answer tells the outcome of the change, for a retry with the same key."""
        return (
            isinstance(self.outcome, int)
            and self.outcome < 500
            and (self.outcome, self.code) != (409, "request_in_flight")
        )

    @property
    def is_unknown(self) -> bool:
        """True if the change may have been stored, as far as the caller knows."""
        return not self.is_definite and self.outcome != NOT_REACHED


@dataclass(slots=True)
class Operation:
    """A call of a client, and its final outcome."""

    name: str
    method: str
    path: str
    body: Json | None
    attempts: list[Attempt] = field(default_factory=list)
    status: int = 0
    answer: Json = field(default_factory=dict)

    @property
    def is_keyed(self) -> bool:
        """True if an Idempotency-Key makes the call happen once."""
        return self.method == "POST"

    @property
    def succeeded(self) -> bool:
        """True if the call was acknowledged."""
        return 200 <= self.status < 300

    @property
    def was_unknown(self) -> bool:
        """True if one of the attempts had no definite outcome."""
        return any(attempt.is_unknown for attempt in self.attempts)

    def described(self) -> str:
        """Describe the call in one line by which it can be found."""
        tries = ", ".join(f"{a.request_id} → {a.outcome} {a.code}".strip() for a in self.attempts)
        return f"{self.name} {self.method} {self.path}: {tries}"


class Wire:
    """The connection of one user, opened again when it is lost."""

    def __init__(self, port: int, api_key: str) -> None:
        self.port = port
        self._api_key = api_key
        self._connection: http.client.HTTPConnection | None = None

    def call(
        self,
        name: str,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        seen: Callable[[Operation], None] = lambda _: None,
    ) -> Operation:
        """Send until the outcome is definite; `seen` gets the operation before that. Raises Stuck."""
        operation = Operation(name, method, path, body)
        seen(operation)
        key = uuid4().hex
        deadline = time.monotonic() + DEFINITE_SECONDS
        while True:
            request_id = f"{key}.{len(operation.attempts)}"
            headers = {"X-Request-Id": request_id}
            if operation.is_keyed:
                headers["Idempotency-Key"] = key
            attempt, answer = self.send(method, path, body, headers)
            operation.attempts.append(attempt)
            if attempt.is_definite:
                operation.status, operation.answer = int(attempt.outcome), answer
                return operation
            if time.monotonic() > deadline:
                raise Stuck(operation.described())
            time.sleep(NOT_REACHED_PAUSE_SECONDS if attempt.outcome == NOT_REACHED else PAUSE_SECONDS)

    def send(
        self, method: str, path: str, body: Json | None = None, headers: dict[str, str] | None = None
    ) -> tuple[Attempt, Json]:
        """Send once."""
        given = {"Authorization": f"Bearer {self._api_key}", **(headers or {})}
        sent = None if body is None else json.dumps(body)
        if sent is not None:
            given["Content-Type"] = "application/json"
        request_id = given.get("X-Request-Id", "")
        try:
            connection = self._connected()
        except OSError:
            self.close()
            return Attempt(request_id, NOT_REACHED), {}
        try:
            connection.request(method, path, sent, given)
            response = connection.getresponse()
            content = response.read()
            answer: Json = json.loads(content) if content else {}
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return Attempt(request_id, LOST), {}
        return Attempt(request_id, response.status, str(answer.get("code", ""))), answer

    def read(self, path: str) -> bytes:
        """Return the body of a GET that has to succeed, repeated while the server restarts. Raises Stuck."""
        deadline = time.monotonic() + DEFINITE_SECONDS
        while time.monotonic() < deadline:
            try:
                connection = self._connected()
                connection.request("GET", path, headers={"Authorization": f"Bearer {self._api_key}"})
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException):
                self.close()
            else:
                if response.status == 200:
                    return content
                if response.status not in (500, 503):
                    raise Stuck(f"GET {path}: {response.status} {content[:300]!r}")
            time.sleep(PAUSE_SECONDS)
        raise Stuck(f"GET {path}: no answer")

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        if self._connection.sock is None:
            self._connection.connect()
        return self._connection


def make(wire: Wire, method: str, path: str, body: Json, status: int = 201) -> Json:
    """Make a call that prepares the test and has to succeed; returns its answer."""
    operation = wire.call("prepare", method, path, body)
    if operation.status != status:
        raise Stuck(f"{operation.described()}: {operation.answer}")
    return operation.answer


def member(operator: Wire, base: str, username: str, role: str = "editor") -> Json:
    """Create a user of a subscription, with a key; returns the key."""
    user = {"username": username, "email": f"{username}@example.org", "role": role}
    user_id = make(operator, "POST", f"{base}/users", user)["user_id"]
    return make(operator, "POST", f"{base}/api-keys", {"user_id": user_id, "name": "faults"})
