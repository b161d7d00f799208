"""Create, move, delete, restore and let time pass in the service and a model; compare after each step."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from math import ceil
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.machines.deletion_agreement import Agreement
from tests.machines.deletion_model import Apply, Model
from tests.machines.deletion_records import Record, Resolve, Resource
from tests.machines.versioning_model import Refused, Text, User
from tests.support.api import Caller, Json, Server, Tenant, refused
from tests.support.reconciled import told, verify

STEPS = int(os.environ.get("ANNALS_TEST_STEPS", "100"))
STEPS_OF_ONE = 50
# There are few resources, so that their names and parents conflict.
MAX_RESOURCES = 16
# Reading everything by HTTP takes as long as some six steps.
STEPS_BETWEEN_FULL_CHECKS = 8
# The clock is never moved to a time closer than this before an end.
MARGIN = timedelta(minutes=20)
NAMES = st.sampled_from(["one", "two"])
PARENTS: dict[str, dict[str, str]] = {
    "workspace": {},
    "folder": {"folder": "parent_folder_id", "workspace": "workspace_id"},
    "job": {"folder": "folder_id"},
    "jobpackage": {"folder": "folder_id"},
    "workflow": {"job": "job_id"},
    "connector": {"workspace": "workspace_id"},
}
WHICH = st.integers(0, 2 * MAX_RESOURCES)
WHOSE = st.sampled_from(["ana", "ana", "ben"])
RARELY = st.integers(0, 9).map(lambda n: n == 9)
SOMETIMES = st.sampled_from([False, False, True])
MOSTLY = st.sampled_from([True, True, True, False])
FORM = st.integers(0, 1)
ASKS = st.sampled_from(["nothing", "first", "only"])
DATA = st.builds(lambda n: {"n": n}, st.integers(1, 4))


@dataclass(frozen=True)
class Call:
    """A request of a user, and its due effect according to the model."""

    by: str
    method: str
    path: str
    plan: Callable[[], Apply]
    body: Json | None = None
    query: dict[str, Any] | None = None


class DeletionMachine(RuleBasedStateMachine):
    """One subscription, an admin and an editor, and a clock that is moved by weeks."""

    server: ClassVar[Server]
    steps: ClassVar[int] = 0
    restored: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.moves = ExitStack()
        self.tenant = Tenant(self.server, "machine")
        self.callers: dict[str, Caller] = {"ana": self.tenant.ana, "ben": self.tenant.ben}
        self.users = {name: User(name, c.user_id, name == "ana") for name, c in self.callers.items()}
        self.model = Model({kind: list(parents) for kind, parents in PARENTS.items()})
        self.turns = 0
        self.is_sound = False
        for kind, form in (
            ("workspace", 0),
            ("workspace", 0),
            ("folder", 1),
            ("folder", 0),
            *(("job", 1), ("workflow", 0), ("jobpackage", 1), ("connector", 0)),
        ):
            self.create("ana", kind, f"{kind} {len(self.model.resources)}", form, 0, {"n": 1})
        self.agreement = Agreement(self.tenant, self.model)

    # -- steps ----------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.present) < MAX_RESOURCES)
    @rule(
        by=WHOSE,
        kind=st.sampled_from(sorted(PARENTS)),
        name=NAMES,
        form=FORM,
        which=WHICH,
        data=DATA,
    )
    def create(self, by: str, kind: str, name: str, form: int, which: int, data: Json) -> None:
        parent = self.parent(kind, form, which)
        if parent is None and PARENTS[kind]:
            return
        body = {"name": name, "definition": data} | self.naming(kind, parent)
        if kind == "folder" and parent is not None:
            body["workspace_id"] = parent.line()[-1].resource_id
        user = self.users[by]
        path = f"{self.tenant.path}/{kind}s"
        self.perform(Call(by, "POST", path, partial(self.model.create, user, kind, name, parent, data), body))

    @rule(by=WHOSE, which=WHICH, name=st.none() | NAMES, moves=MOSTLY, form=FORM, where=WHICH)
    def amend(self, by: str, which: int, name: Text, moves: bool, form: int, where: int) -> None:
        resource, user = self.pick(which), self.users[by]
        parent = self.parent(resource.kind, form, where) if moves else None
        body = self.naming(resource.kind, parent) | ({} if name is None else {"name": name})
        if "workspace_id" in body and resource.kind == "folder":
            body["parent_folder_id"] = None
        wanted = name or resource.name
        self.call(by, "PATCH", resource, "", partial(self.model.amend, user, resource, wanted, parent), body)

    @rule(by=WHOSE, which=WHICH, data=DATA, tag=st.none() | st.sampled_from(["v1", "v2"]), publish=SOMETIMES)
    def save(self, by: str, which: int, data: Json, tag: Text, publish: bool) -> None:
        resource, user = self.pick(which), self.users[by]
        body = {"data": data, "tag": tag, "publish": publish}
        plan = partial(self.model.save, user, resource, data, tag, publish=publish)
        self.call(by, "POST", resource, "/versions", plan, body)

    @rule(by=WHOSE, which=WHICH, back=st.integers(0, 2), end=st.sampled_from(["publish", "unpublish", ""]))
    def publish_or_check_out(self, by: str, which: int, back: int, end: str) -> None:
        resource, user = self.pick(which), self.users[by]
        if not end:
            self.call(by, "POST", resource, "/check-out", partial(self.model.check_out, user, resource), {})
            return
        version = resource.versions[-1 - back % len(resource.versions)]
        plan = partial(self.model.set_published, resource, version, published=end == "publish")
        self.call(by, "POST", resource, f"/versions/{version.number}/{end}", plan)

    @rule(by=WHOSE, which=WHICH, reason=st.sampled_from([None, "over"]), force=SOMETIMES, anything=RARELY)
    def delete(self, by: str, which: int, reason: Text, force: bool, anything: bool = False) -> None:
        living = self.model.living
        resource = self.pick(which) if anything or not living else living[which % len(living)]
        user = self.users[by]
        query = {"force": force} | ({} if reason is None else {"reason": reason})
        plan = partial(self.model.delete, user, resource, reason, force=force)
        self.call(by, "DELETE", resource, "", plan, query=query)

    @rule(by=st.sampled_from(["ana"] * 5 + ["ben"]), which=WHICH, anything=RARELY)
    def purge(self, by: str, which: int, anything: bool) -> None:
        # After the deletion of a workspace for good, few resources are left for further steps.
        deleted = [e for e in self.model.present if not e.lives and (anything or e.kind != "workspace")]
        if not deleted and not anything:
            return self.delete(by, which, None, False)
        resource = self.pick(which) if anything else deleted[which % len(deleted)]
        plan = partial(self.model.purge, self.users[by], resource, None)
        return self.call(by, "DELETE", resource, "", plan, query={"permanent": True})

    @rule(by=WHOSE, which=WHICH, anything=RARELY, rename=st.none() | NAMES, keep=MOSTLY, asks=ASKS)
    def restore(
        self, by: str, which: int, anything: bool, rename: Text, keep: bool, asks: str, where: Any = None
    ) -> None:
        """Restore a deletion that can be restored now, or now and then any other."""
        at = self.server.clock()
        records = [
            each
            for each in self.model.records
            if anything or (each.can_be_restored(at) and (where is None or PARENTS[each.resource.kind]))
        ]
        if not records:
            return self.delete(by, which, None, False)
        record = records[-1 - which % len(records)]
        kind = record.resource.kind
        new_parent = None if where is None else self.parent(kind if PARENTS[kind] else "workflow", *where)
        resolve = Resolve(rename, new_parent, keep)
        foreseen = None if asks == "nothing" else self.restored_as(by, record, resolve, dry=True)
        if asks == "only":
            return None
        done = self.restored_as(by, record, resolve, dry=False)
        if foreseen is not None:
            # A dry run names the due outcome, or the conflicts.
            names = ("conflicts",) if "code" in done else ("restored", "missing", "kept", "conflicts")
            assert [foreseen.get(name) for name in names] == [done.get(name) for name in names]
        return None

    @rule(
        by=WHOSE,
        which=WHICH,
        anything=RARELY,
        rename=st.none() | NAMES,
        keep=MOSTLY,
        where=st.tuples(FORM, WHICH),
        asks=ASKS,
    )
    def restore_elsewhere(self, where: tuple[int, int], **how: Any) -> None:
        self.restore(**how, where=where)

    @precondition(lambda self: bool(self.model.ends()))
    @rule(which=WHICH, days=st.sampled_from([0, 1, 1, 3, 9]))
    def let_time_pass(self, which: int, days: int) -> None:
        """Move the clock by some days, or past the end of a lease or of the time for a restore."""
        now, ends = self.server.clock(), sorted(self.model.ends())
        then = now + timedelta(days=days) if days else ends[which % len(ends)]
        for end in ends:
            if then < end < then + MARGIN:
                then = end
        self.moves.enter_context(self.server.clock.moved(seconds=(then - now).total_seconds() + 1))

    # -- what a step is about -------------------------------------------------------------------------

    def pick(self, which: int) -> Resource:
        """Choose a resource, now and then one that was deleted for good."""
        gone = [each for each in self.model.resources if each.is_gone]
        found = self.model.present + gone[-1:]
        return found[which % len(found)]

    def parent(self, kind: str, form: int, which: int) -> Resource | None:
        """Choose a possible parent for a kind: it may be deleted, even for good."""
        kinds = list(PARENTS[kind])
        if not kinds:
            return None
        gone = [each for each in self.model.resources if each.is_gone][-1:]
        found = [e for e in self.model.present + gone if e.kind == kinds[form % len(kinds)]]
        return found[which % len(found)] if found else None

    def naming(self, kind: str, parent: Resource | None) -> Json:
        """Return the field that names a parent."""
        return {} if parent is None else {PARENTS[kind][parent.kind]: parent.resource_id}

    def restored_as(self, by: str, record: Record, resolve: Resolve, *, dry: bool) -> Json:
        path = f"{self.tenant.path}/deletions/{record.deletion_id}/restore"
        body = {"dry_run": dry, "resolve": resolve.body()}
        plan = partial(self.model.restore, self.users[by], record, resolve, dry=dry)
        done = self.perform(Call(by, "POST", path, plan, body))
        type(self).restored += not dry and "code" not in done
        return done

    # -- making it ------------------------------------------------------------------------------------

    def call(
        self,
        by: str,
        method: str,
        resource: Resource,
        end: str,
        plan: Callable[[], Apply],
        body: Json | None = None,
        query: dict[str, Any] | None = None,
    ) -> None:
        path = f"{self.tenant.path}/{resource.collection}/{resource.resource_id}{end}"
        self.perform(Call(by, method, path, plan, body, query))

    def perform(self, call: Call) -> Json:
        """Run a step in model and service; returns the answer."""
        self.is_sound = False
        self.model.at = self.server.clock()
        try:
            expected: Apply | Refused = call.plan()
        except Refused as refusal:
            expected = refusal
        caller = self.callers[call.by]
        response = caller.request(call.method, call.path, call.body, params=call.query)
        if isinstance(expected, Refused):
            answer = normal(refused(response, expected.status, expected.code))
            assert normal(expected.facts) == {name: answer.get(name) for name in expected.facts}
        else:
            assert response.is_success, (response.text, call)
            answer = normal(response.json())
            body = normal(expected(answer))
            assert {name: answer.get(name) for name in body} == body
        return answer

    # -- agreeing -------------------------------------------------------------------------------------

    @invariant()
    def agree(self) -> None:
        """Compare git after each step, and every few steps the rows and all answers of the API."""
        self.model.at = self.server.clock()
        self.agreement.check_git()
        if self.turns % STEPS_BETWEEN_FULL_CHECKS == 0:
            self.agreement.check_everything()
        self.turns += 1
        type(self).steps += self.turns > 1
        self.is_sound = True

    def teardown(self) -> None:
        try:
            # After a failure nothing more is compared, since its consequences would hide it.
            if self.is_sound:
                self.agreement.check_everything()
                assert told(verify(self.tenant)) == []
        finally:
            self.moves.close()
            self.agreement.close()


def normal(body: Json) -> Json:
    """Return a body with its lists sorted, since the API promises no order, and in the form of the model."""
    found = dict(body)
    for name in ("missing", "kept"):
        if name in found:
            found[name] = sorted(found[name], key=lambda each: each["deletion_id"])
    if found.get("check_outs"):
        found["check_outs"] = sorted(
            each if isinstance(each, str) else each["resource_id"] for each in found["check_outs"]
        )
    if found.get("conflicts"):
        conflicts = [
            each if isinstance(each, tuple) else (each["reason"], each["resource_id"], each["other_id"])
            for each in found["conflicts"]
        ]
        found["conflicts"] = sorted(conflicts, key=str)
    return found


@pytest.mark.long
def test_the_service_and_the_model_agree_after_every_step(lone_server: Server) -> None:
    DeletionMachine.server, DeletionMachine.steps, DeletionMachine.restored = lone_server, 0, 0
    run_state_machine_as_test(
        DeletionMachine,
        settings=settings(
            max_examples=ceil(STEPS / STEPS_OF_ONE),
            stateful_step_count=min(STEPS, STEPS_OF_ONE),
            deadline=None,
            backend="hypothesis-urandom",
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # A run whose examples end early, or that restores nothing, would test little; a short one may by chance.
    assert DeletionMachine.steps >= 0.9 * STEPS
    assert DeletionMachine.restored >= STEPS // 200
