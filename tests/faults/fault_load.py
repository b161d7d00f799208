"""Clients that write history concurrently, and know after each answer the state that is due."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.fault_calls import Json, Operation, Stuck, Wire, make, member
from tests.faults.fault_journal import REFUSALS, Acknowledged, Hand, Journal, Own, content, path_of
from tests.faults.fault_trees import Contest, Grove

PAUSE_SECONDS = 60


class Gate:
    """A gate that lets clients begin a step, or pauses them between two steps."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_open = False
        self._is_over = False
        self._under_way = 0

    @contextmanager
    def step(self) -> Iterator[bool]:
        """Wait until the gate is open; yields False after its end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_open or self._is_over)
            may = not self._is_over
            self._under_way += may
        try:
            yield may
        finally:
            with self._changed:
                self._under_way -= may
                self._changed.notify_all()

    def open(self) -> None:
        """Resume the clients."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Close the gate, and wait until each client has ended its step; False if one does not in time."""
        with self._changed:
            self._is_open = False
            return self._changed.wait_for(lambda: self._under_way == 0, seconds)

    def end(self) -> None:
        """End all clients: none begins another step."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


class Client(threading.Thread):
    """A client with the calls of one user: takes one step after another while the gate is open."""

    def __init__(
        self, hand: Hand, job_id: str, shared: list[Json], grove: Grove, contest: Contest, gate: Gate
    ) -> None:
        super().__init__(daemon=True, name=f"client {hand.seed}")
        self._wire, self._journal, self._draw = hand.wire, hand.journal, hand.draw
        self._call, self._new_name = hand.call, hand.new_name
        self._is, self._is_or_refused = hand.is_due, hand.is_due_or_refused
        self._grew, self._numbered = hand.grew, hand.numbered
        self._job_id = job_id
        self._shared = shared
        self._gate = gate
        self.grove = grove
        self.own: list[Own] = []
        self._steps: list[tuple[int, Callable[[], None]]] = [
            (22, self._save_own),
            (16, self._save_shared),
            (10, self._check_in_own),
            (12, self._check_in_shared),
            (10, self._tag),
            (4, self._untag),
            (6, self._publish),
            (2, self._unpublish),
            (7, self._bulk),
            (6, self._roll_back_own),
            (4, self._roll_back_shared),
            (6, self._create),
            (30, grove.tend),
            (12, contest.enter),
        ]

    def prepare(self) -> None:
        """Create the client's own workflows."""
        while len(self.own) < 2:
            self._create()

    def run(self) -> None:
        """Take steps until the gate ends."""
        while True:
            with self._gate.step() as may:
                if not may:
                    self._wire.close()
                    return
                try:
                    self._step()
                except Stuck as stuck:
                    self._journal.is_wrong(f"stuck: {stuck}")
                    return
                except Exception as error:  # noqa: BLE001 - whatever it is, the matrix has to say so
                    self._journal.is_wrong(f"the client failed: {error!r}")
                    return

    def _step(self) -> None:
        weights = [weight for weight, _ in self._steps]
        [(_, step)] = self._draw.choices(self._steps, weights)
        step()

    # -- steps ------------------------------------------------------------------------------------------

    def _create(self) -> None:
        definition = content(self._draw)
        name = self._new_name("flow")
        body = {"name": name, "job_id": self._job_id, "definition": definition}
        made = self._call("create", "POST", "/workflows", body)
        if not self._is(made, 201):
            return
        self._journal.told(
            Acknowledged(made, made.answer | {"version_number": 1, "resource_name": name}, definition)
        )
        own = Own(made.answer, [definition])
        if len(self.own) < 3:
            self.own.append(own)
        else:
            self.own[self._draw.randrange(3)] = own

    def _save_own(self) -> None:
        own = self._draw.choice(self.own)
        body, tag, publish = self._extended({"data": content(self._draw)})
        self._grew(own, self._call("save", "POST", f"{own.at}/versions", body), body["data"], tag, publish)

    def _check_in_own(self) -> None:
        own = self._draw.choice(self.own)
        if not own.held and not self._is(self._call("check-out", "POST", f"{own.at}/check-out", {}), 200):
            return
        own.held = True
        body, tag, publish = self._extended({"data": content(self._draw), "comment": "done"})
        checked_in = self._call("check-in", "POST", f"{own.at}/check-in", body)
        own.held = False
        self._grew(own, checked_in, body["data"], tag, publish)

    def _roll_back_own(self) -> None:
        own = self._draw.choice(self.own)
        to = self._draw.randrange(len(own.contents)) + 1
        done = self._call("rollback", "POST", f"{own.at}/rollback", {"to": to})
        if own.contents[to - 1] == own.contents[-1]:
            if self._is(done, 200) and not done.answer["unchanged"]:
                self._journal.is_wrong(f"not unchanged: {done.described()}")
            return
        self._grew(own, done, own.contents[to - 1], None, publish=False)

    def _tag(self) -> None:
        own = self._draw.choice(self.own)
        number, tag = self._draw.randrange(len(own.contents)) + 1, self._new_name("t")
        path = f"{own.at}/versions/{number}/tag"
        if self._is(self._call("tag", "PUT", path, {"tag": tag}), 200):
            own.tags[number] = tag

    def _untag(self) -> None:
        own = self._draw.choice(self.own)
        number = self._draw.choice(sorted(own.tags) or [1])
        if self._is(self._call("untag", "DELETE", f"{own.at}/versions/{number}/tag"), 200):
            own.tags.pop(number, None)

    def _publish(self) -> None:
        own = self._draw.choice(self.own)
        number = self._draw.randrange(len(own.contents)) + 1
        if self._is(self._call("publish", "POST", f"{own.at}/versions/{number}/publish", {}), 200):
            own.published = number

    def _unpublish(self) -> None:
        own = self._draw.choice(self.own)
        number = own.published or 1
        if self._is(self._call("unpublish", "POST", f"{own.at}/versions/{number}/unpublish", {}), 200):
            own.published = None

    def _bulk(self) -> None:
        mine = self._draw.sample(self.own, 2)
        shared = [self._draw.choice(self._shared)] if self._draw.random() < 0.5 else []
        targets = [own.resource for own in mine] + shared
        definitions = [content(self._draw) for _ in targets]
        items = [
            {
                "resource_type": target["resource_type"],
                "resource_id": target["resource_id"],
                "data": definition,
            }
            for target, definition in zip(targets, definitions, strict=True)
        ]
        done = self._call("bulk", "POST", "/check-ins", {"items": items, "comment": "together"})
        if shared and (done.status, done.answer.get("code")) in REFUSALS:
            return
        if not self._is(done, 201):
            return
        by_id = {version["resource_id"]: version for version in done.answer["versions"]}
        for target, definition in zip(targets, definitions, strict=True):
            self._journal.told(Acknowledged(done, by_id[target["resource_id"]], definition))
        for own, definition in zip(mine, definitions, strict=False):
            own.contents.append(definition)
            own.held = False
            self._numbered(own, done, by_id[own.resource["resource_id"]])

    def _save_shared(self) -> None:
        target = path_of(self._draw.choice(self._shared))
        definition = content(self._draw)
        saved = self._call("save", "POST", f"{target}/versions", {"data": definition})
        self._became(saved, definition)

    def _check_in_shared(self) -> None:
        target = path_of(self._draw.choice(self._shared))
        taken = self._call("check-out", "POST", f"{target}/check-out", {})
        if not self._is_or_refused(taken, 200):
            return
        definition = content(self._draw)
        self._became(self._call("check-in", "POST", f"{target}/check-in", {"data": definition}), definition)

    def _roll_back_shared(self) -> None:
        target = path_of(self._draw.choice(self._shared))
        done = self._call("rollback", "POST", f"{target}/rollback", {"to": 1})
        if done.status != 200:
            self._became(done, None)

    # -- answers ----------------------------------------------------------------------------------------

    def _extended(self, body: dict[str, Any]) -> tuple[dict[str, Any], str | None, bool]:
        tag = self._new_name("t") if self._draw.random() < 0.2 else None
        publish = self._draw.random() < 0.15
        return body | ({"tag": tag} if tag else {}) | ({"publish": True} if publish else {}), tag, publish

    def _became(self, operation: Operation, definition: Json | None) -> None:
        if self._is_or_refused(operation, 201):
            self._journal.told(Acknowledged(operation, operation.answer, definition))


class Load:
    """A subscription with working clients."""

    def __init__(self, port: int, operator_key: str, gate: Gate, *, clients: int, seed: str) -> None:
        operator = Wire(port, operator_key)
        self.created = operator.call("subscribe", "POST", "/v1/subscriptions", {"name": f"faults {seed}"})
        self.subscription_id: str = self.created.answer["subscription_id"]
        self.base = f"/v1/subscriptions/{self.subscription_id}"
        self.journal = Journal()
        # The first client is an admin, who may delete for good.
        roles = ["admin"] + ["editor"] * (clients - 1)
        self.keys: list[str] = [
            member(operator, self.base, f"user{number}", role)["api_key"] for number, role in enumerate(roles)
        ]
        operator.close()
        self.wire = Wire(port, self.keys[0])
        folder_id = self._made("folder", "f", workspace_id=self._made("workspace", "w"))
        job_id = self._made("job", "j", folder_id=folder_id)
        self.shared = [
            make(self.wire, "POST", f"{self.base}/workflows", {"job_id": job_id, "name": f"shared {n}"})
            for n in range(3)
        ]
        contested = self._made("job", "contested", folder_id=folder_id)
        flows = [self._made("workflow", f"contested {n}", job_id=contested) for n in range(2)]
        self.clients = []
        for number, key in enumerate(self.keys):
            hand = Hand(Wire(port, key), self.base, self.journal, f"{seed}:{number}")
            grove = Grove(hand, folder_id, may_purge=roles[number] == "admin")
            contest = Contest(hand, contested, flows)
            self.clients.append(Client(hand, job_id, self.shared, grove, contest, gate))
        for client in self.clients:
            client.prepare()
            client.start()

    def end(self) -> None:
        """Wait until the clients have ended, after the end of the gate."""
        deadline = time.monotonic() + PAUSE_SECONDS
        for client in self.clients:
            client.join(max(0.0, deadline - time.monotonic()))
        self.wire.close()

    def _made(self, kind: str, name: str, **place: str) -> str:
        made = make(self.wire, "POST", f"{self.base}/{kind}s", {"name": name, **place})
        return str(made["resource_id"])
