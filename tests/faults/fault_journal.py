"""The calls of clients and their answers, and the way in which each client calls."""

import json
import random
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tests.faults.fault_calls import Json, Operation, Wire

# Refusals that clients cause each other on what they share: a check-out, or a resource changed meanwhile.
REFUSALS = {(423, "checked_out"), (409, "not_holder"), (409, "not_checked_out")}


@dataclass(slots=True)
class Acknowledged:
    """A version that a client was told of; `content` is its definition where the client knows it."""

    operation: Operation
    version: Json
    content: Json | None


@dataclass(slots=True)
class Own:
    """A workflow that one client alone writes to: what it has to hold is known exactly."""

    resource: Json
    contents: list[Json]
    tags: dict[int, str] = field(default_factory=dict)
    published: int | None = None
    held: bool = False

    @property
    def at(self) -> str:
        """The end of its path."""
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
        """A call goes out."""
        with self._lock:
            self.operations.append(operation)

    def told(self, acknowledged: Acknowledged) -> None:
        """A version was acknowledged."""
        with self._lock:
            self.acknowledged.append(acknowledged)

    def is_wrong(self, what: str) -> None:
        """An answer that must not have been."""
        with self._lock:
            self.wrong.append(what)

    def taken(self) -> tuple[list[Operation], list[Acknowledged]]:
        """The calls since the last time; the clients are paused."""
        with self._lock:
            taken = self.operations, self.acknowledged
            self.done += len(self.operations)
            self.operations, self.acknowledged = [], []
            return taken


def path_of(resource: Json) -> str:
    """The end of a resource's path."""
    return f"/{resource['resource_type']}s/{resource['resource_id']}"


def content(draw: random.Random) -> Json:
    """A definition that no other version has."""
    filling = draw.randrange(20, 3000)
    return {"token": f"{draw.getrandbits(96):024x}", "nodes": [{"id": "a", "text": "x" * filling}]}


class Hand:
    """The calls of one user: notes each operation, and each answer that was not due."""

    def __init__(self, wire: Wire, base: str, journal: Journal, seed: str) -> None:
        self.wire = wire
        self.base = base
        self.journal = journal
        self.draw = random.Random(seed)
        self.seed = seed
        self._number = 0

    def call(self, name: str, method: str, path: str, body: Json | None = None) -> Operation:
        """Do it until the outcome is definite."""
        return self.wire.call(name, method, self.base + path, body, seen=self.journal.begun)

    def read(self, path: str) -> Any:
        """The JSON of a GET, which has to succeed."""
        return json.loads(self.wire.read(self.base + path))

    def new_name(self, kind: str) -> str:
        """One that nobody else has."""
        self._number += 1
        return f"{kind}-{self.seed.replace(':', '-')}-{self._number}"

    def is_due(self, operation: Operation, status: int) -> bool:
        """True if the outcome is the due one; any other is noted as wrong."""
        if operation.status != status:
            self.journal.is_wrong(f"{status} was due: {operation.described()}: {str(operation.answer)[:500]}")
        return operation.status == status

    def is_due_or_refused(
        self, operation: Operation, status: int, refusals: Collection[tuple[int, str]] = REFUSALS
    ) -> bool:
        """True if the outcome is this one, where another client may have been in the way."""
        if (operation.status, operation.answer.get("code")) in refusals:
            return False
        return self.is_due(operation, status)

    def grew(self, own: Own, operation: Operation, definition: Json, tag: str | None, publish: bool) -> None:
        """Note that a workflow of one's own has a version more, which has to be the next one."""
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
        """Look at the number of the version that was just noted."""
        if version["version_number"] != len(own.contents):
            self.journal.is_wrong(
                f"version {len(own.contents)} was due, not {version['version_number']}: "
                f"{operation.described()}"
            )
