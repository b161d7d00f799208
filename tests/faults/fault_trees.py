"""Trees that clients delete, restore and delete for good while a server is killed."""

from dataclasses import dataclass, field

from tests.faults.fault_calls import Json, Operation
from tests.faults.fault_journal import REFUSALS, Acknowledged, Hand, Own, content, path_of

FLOWS = 2
_TAKEN = {"jobs": 1, "workflows": FLOWS}
_DELETED = (409, "resource_deleted")


@dataclass(slots=True)
class Tree:
    """A job with workflows, and their state; `deletion` is the deletion of the job while it is deleted."""

    job: Json
    flows: list[Own] = field(default_factory=list)
    deletion: str | None = None
    is_gone: bool = False
    deletions: int = 0
    restores: int = 0


class Grove:
    """Trees that only one client changes, one after another, so that their due state is known exactly."""

    def __init__(self, hand: Hand, folder_id: str, *, may_purge: bool) -> None:
        self._hand = hand
        self._folder_id = folder_id
        self._may_purge = may_purge
        self.trees: list[Tree] = []

    def tend(self) -> None:
        """Take a step that the newest tree allows."""
        tree, chance = self.trees[-1] if self.trees else None, self._hand.draw.random()
        if tree is None or tree.is_gone:
            self._plant()
        elif tree.deletion is None:
            self._save(tree) if chance < 0.3 else self._delete(tree)
        elif self._may_purge and chance < 0.4:
            self._purge(tree)
        else:
            self._restore(tree, tree.deletion)

    def _plant(self) -> None:
        hand = self._hand
        name = hand.new_name("job")
        made = hand.call("create", "POST", "/jobs", {"name": name, "folder_id": self._folder_id})
        if not hand.is_due(made, 201):
            return
        hand.journal.told(Acknowledged(made, made.answer | {"version_number": 1}, None))
        tree = Tree(made.answer)
        for _ in range(FLOWS):
            definition = content(hand.draw)
            body = {"name": hand.new_name("flow"), "job_id": made.answer["resource_id"]}
            flow = hand.call("create", "POST", "/workflows", body | {"definition": definition})
            if not hand.is_due(flow, 201):
                return
            hand.journal.told(Acknowledged(flow, flow.answer | {"version_number": 1}, definition))
            tree.flows.append(Own(flow.answer, [definition]))
        self.trees.append(tree)
        self._save(tree)

    def _save(self, tree: Tree) -> None:
        hand, own = self._hand, self._hand.draw.choice(tree.flows)
        data, tag = content(hand.draw), hand.new_name("t")
        body = {"data": data, "tag": tag, "publish": True}
        saved = hand.call("save", "POST", f"{own.at}/versions", body)
        hand.grew(own, saved, data, tag, publish=True)

    def _delete(self, tree: Tree) -> None:
        hand = self._hand
        done = hand.call("delete", "DELETE", f"{path_of(tree.job)}?reason=autumn")
        if done.was_unknown and (done.status, done.answer.get("code")) == _DELETED:
            # One of this call's attempts deleted it, since no other client would.
            query = f"resource_id={tree.job['resource_id']}&restorable=true"
            [found] = hand.read(f"/deletions?{query}")["items"]
        elif hand.is_due(done, 200):
            found = done.answer
        else:
            return
        self._count(done, found["counts"])
        tree.deletion = found["deletion_id"]
        tree.deletions += 1

    def _restore(self, tree: Tree, deletion_id: str) -> None:
        done = self._hand.call("restore", "POST", f"/deletions/{deletion_id}/restore", {})
        if not self._hand.is_due(done, 200):
            return
        self._count(done, done.answer["restored"])
        if done.answer["blobs"] != {"compared": 1 + FLOWS, "equal": 1 + FLOWS}:
            self._hand.journal.is_wrong(f"other blobs were restored: {done.described()}: {done.answer}")
        tree.deletion = None
        tree.restores += 1

    def _purge(self, tree: Tree) -> None:
        done = self._hand.call("purge", "DELETE", f"{path_of(tree.job)}?permanent=true")
        if done.was_unknown and (done.status, done.answer.get("code")) == (404, "resource_not_found"):
            tree.is_gone = True
        elif self._hand.is_due(done, 200):
            self._count(done, done.answer["counts"])
            tree.is_gone = True

    def _count(self, done: Operation, counts: dict[str, int]) -> None:
        if {name: number for name, number in counts.items() if number} != _TAKEN:
            self._hand.journal.is_wrong(f"{_TAKEN} was due: {done.described()}: {counts}")


class Contest:
    """A tree that all clients write into, delete and restore: each may cause refusals of the others."""

    def __init__(self, hand: Hand, job_id: str, flow_ids: list[str]) -> None:
        self._hand = hand
        self._job_id = job_id
        self._flow_ids = flow_ids

    def enter(self) -> None:
        """Restore the tree if it is deleted; otherwise write into it or delete it."""
        hand = self._hand
        opened = hand.read(f"/deletions?resource_id={self._job_id}&restorable=true")["items"]
        if opened:
            path = f"/deletions/{opened[0]['deletion_id']}/restore"
            done = hand.call("restore", "POST", path, {})
            hand.is_due_or_refused(done, 200, {(409, "restore_conflict")})
        elif hand.draw.random() < 0.4:
            done = hand.call("contend", "DELETE", f"/jobs/{self._job_id}")
            hand.is_due_or_refused(done, 200, {_DELETED, (423, "checked_out")})
        else:
            self._write(f"/workflows/{hand.draw.choice(self._flow_ids)}")

    def _write(self, at: str) -> None:
        hand, refusals, end = self._hand, REFUSALS | {_DELETED}, "versions"
        if hand.draw.random() < 0.5:
            taken = hand.call("check-out", "POST", f"{at}/check-out", {})
            if not hand.is_due_or_refused(taken, 200, refusals):
                return
            end = "check-in"
        definition = content(hand.draw)
        name = "save" if end == "versions" else end
        done = hand.call(name, "POST", f"{at}/{end}", {"data": definition})
        if hand.is_due_or_refused(done, 201, refusals):
            hand.journal.told(Acknowledged(done, done.answer, definition))
