"""Record the calls of clients and their answers, and make the calls of each client."""

import json
import random
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tests.faults.fault_calls import Json, Operation, Wire

# Refusals that clients cause each other on shared resources: a check-out, or a check-out that has ended.
REFUSALS = {(423, "checked_out"), (409, "not_holder"), (409, "not_checked_out")}


@dataclass(slots=True)
class Acknowledged:
    """A version that was acknowledged to a client; `content` is its definition if the client knows it."""

    operation: Operation
    version: Json
    content: Json | None


@dataclass(slots=True)
class Own:
    """A workflow that only one client writes to, so that its due content is known exactly."""

    resource: Json
    contents: list[Json]
    tags: dict[int, str] = field(default_factory=dict)
    published: int | None = None
    held: bool = False

    @property
    def at(self) -> str:
        """The end of the workflow's path."""
        return path_of(self.resource)


class Journal:
    """The calls of a subscription's clients and their answers; safe to use from many threads."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.acknowledged: list[Acknowledged] = []
        self.wrong: list[str] = []
        self.done = 0
        self._lock = threading.Lock()

    def begun(self, operation: Operation) -> None:
        """Record a call that is about to be sent."""
        with self._lock:
            self.operations.append(operation)

    def told(self, acknowledged: Acknowledged) -> None:
        """Record an acknowledged version."""
        with self._lock:
            self.acknowledged.append(acknowledged)

    def is_wrong(self, what: str) -> None:
        """Record a violation."""
        with self._lock:
            self.wrong.append(what)

    def taken(self) -> tuple[list[Operation], list[Acknowledged]]:
        """Return the calls since the last time; the clients must be paused."""
        with self._lock:
            taken = self.operations, self.acknowledged
            self.done += len(self.operations)
            self.operations, self.acknowledged = [], []
            return taken


def path_of(resource: Json) -> str:
    """Return the end of a resource's path."""
    return f"/{resource['resource_type']}s/{resource['resource_id']}"


def content(draw: random.Random) -> Json:
    """Make a definition that no other version has."""
    filling = draw.randrange(20, 3000)
    return {"token": f"{draw.getrandbits(96):024x}", "nodes": [{"id": "a", "text": "x" * filling}]}


class Hand:
    """Makes the calls of one user, and records each call, and each answer that was not due."""

    def __init__(self, wire: Wire, base: str, journal: Journal, seed: str) -> None:
        self.wire = wire
        self.base = base
        self.journal = journal
        self.draw = random.Random(seed)
        self.seed = seed
        self._number = 0

    def call(self, name: str, method: str, path: str, body: Json | None = None) -> Operation:
        """Repeat a call until its outcome is definite."""
        return self.wire.call(name, method, self.base + path, body, seen=self.journal.begun)

    def read(self, path: str) -> Any:
        """Return the JSON of a GET, which has to succeed."""
        return json.loads(self.wire.read(self.base + path))

    def new_name(self, kind: str) -> str:
        """Make a name that nobody else uses."""
        self._number += 1
        return f"{kind}-{self.seed.replace(':', '-')}-{self._number}"

    def is_due(self, operation: Operation, status: int) -> bool:
        """Return True if the call has the due status; any other is recorded as a violation."""
        if operation.status != status:
            self.journal.is_wrong(f"{status} was due: {operation.described()}: {str(operation.answer)[:500]}")
        return operation.status == status

    def is_due_or_refused(
        self, operation: Operation, status: int, refusals: Collection[tuple[int, str]] = REFUSALS
    ) -> bool:
        """Return True if the call has the due status, and False if another client caused a refusal."""
        if (operation.status, operation.answer.get("code")) in refusals:
            return False
        return self.is_due(operation, status)

    def grew(self, own: Own, operation: Operation, definition: Json, tag: str | None, publish: bool) -> None:
        """Record a new version of the client's own workflow; it has to be the next one."""
        if not self.is_due(operation, 201):
            return
        self.journal.told(Acknowledged(operation, operation.answer, definition))
        own.contents.append(definition)
        self.numbered(own, operation, operation.answer)
        if tag is not None:
            own.tags[len(own.contents)] = tag
        if publish:
            own.published = len(own.contents)

    def numbered(self, own: Own, operation: Operation, version: Json) -> None:
        """Check the number of the version that was just recorded."""
        if version["version_number"] != len(own.contents):
            self.journal.is_wrong(
                f"version {len(own.contents)} was due, not {version['version_number']}: "
                f"{operation.described()}"
            )
