"""Take the same random steps in two processes of the service and in a model of it, and compare after each."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from math import ceil
from typing import Any, ClassVar, TypeVar, cast

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

from tests.machines.versioning_model import (
    Item,
    Json,
    Model,
    Plan,
    Refused,
    Resource,
    Text,
    User,
    Version,
    canonical,
)
from tests.support.api import OPERATOR_KEY
from tests.support.databases import Cluster
from tests.support.processes import PUBLIC_URL, Processes, serving

Step = TypeVar("Step", bound=Callable[..., None])
STEPS = int(os.environ.get("ANNALS_TEST_STEPS", "160"))
# Examples are long enough for histories in which tags, publications and rollbacks interact.
STEPS_OF_ONE = 80
# There are few resources, so that steps concern the same ones.
MAX_RESOURCES = 9
# Reading everything takes as long as some ten steps.
STEPS_BETWEEN_FULL_CHECKS = 50
# The clock is never moved to a time closer than this before an end, so that no lease ends by itself during an
# example.
MARGIN = timedelta(minutes=20)
NOWHERE = "00000000-0000-7000-8000-000000000000"

# There are few documents, and some are alike, so that content is repeated exactly or nearly.
DOCUMENTS: list[Json] = [
    *({"n": 1}, {"n": 2}, {"n": 1.0}, {"n": True}, {}, {"n": -3, "x": 0.5}, {"b": 1, "a": 2, "B": 3}),
    *({"steps": ["load", "extract"], "batch_size": 500}, {"steps": ["extract", "load"], "batch_size": 500}),
    {"deep": {"list": [[], {}, [None, False, {"é": 'a "quoted" \\ line\n – 日本 🙂'}]]}, "empty": ""},
]
PARENTS = {
    "workspace": [("", "")],
    "folder": [("workspace", "workspace_id"), ("folder", "parent_folder_id")],
    "job": [("folder", "folder_id")],
    "jobpackage": [("folder", "folder_id")],
    "workflow": [("job", "job_id")],
    "connector": [("workspace", "workspace_id")],
}


@dataclass(frozen=True)
class Turn:
    """The user and the process of a step, its Idempotency-Key, and the choice of its If-Match."""

    by: str
    host: int
    key: Text
    based: str


@dataclass(frozen=True)
class Ref:
    """The form of a ref to a version, and the version's place counted from the newest."""

    how: str
    back: int


# An asterisk in quotes is an ordinary entity tag, which no commit has (RFC 9110, 13.1.1).
ANY, QUOTED = "*", '"*"'
BASES = ("", "", "", "", "", "current", "current", "current", "stale", "stale", ANY, QUOTED)
BASES_OF_ITEMS = ("", "", "", "", "", "current", "current", "current", "current", *BASES)
RARELY = ("published", "foreign", "nothing")
REFS = st.builds(
    Ref,
    how=st.sampled_from(("number", "text", "tag", "tag", "commit", "PREFIX", "current", "previous", *RARELY)),
    back=st.integers(0, 9),
)
DATA = st.one_of(st.sampled_from(DOCUMENTS), st.builds(lambda n: {"n": n}, st.integers(3, 9999)))
TAGS = st.sampled_from(["v1", "v2", "Release_3.0-rc"])
WORDS = st.sampled_from([None, "why", "because of this\n\nand that – é"])
# Two of the resources are chosen most often.
WHICH = st.sampled_from([0, 0, 0, 0, 1, 1, 1, *range(2, MAX_RESOURCES)])
WHOSE = st.sampled_from(["own", "own", "held", "held", "any"])
SOMETIMES = st.sampled_from([False, False, True])
MOSTLY = st.sampled_from([True, True, False])
TURNS = st.builds(
    Turn,
    by=st.sampled_from(["ana", "ben"]),
    host=st.integers(0, 1),
    key=st.sampled_from([None, None, None, "k1", "k2"]),
    based=st.sampled_from(BASES),
)
WITH_A_VERSION: dict[str, st.SearchStrategy[Any]] = {"tag": st.none() | TAGS, "publish": SOMETIMES}


def of_many(**arguments: st.SearchStrategy[Any]) -> Callable[[Step], Step]:
    """Make a rule in which a user makes a call."""
    # The cast is needed because `rule` is annotated as if the names in the dictionary were its options.
    made = cast("Any", rule)(turn=TURNS, **arguments)
    return cast("Callable[[Step], Step]", made)


def of_one(**arguments: st.SearchStrategy[Any]) -> Callable[[Step], Step]:
    """Make a rule in which a user calls one resource."""
    return of_many(which=WHICH, **arguments)


@dataclass(frozen=True)
class Call:
    """A request, and its due effect according to the model at the time of the call."""

    by: User
    method: str
    path: str
    body: bytes | None
    key: Text
    match: Text
    plan: Callable[[], Plan]


class VersioningMachine(RuleBasedStateMachine):
    """One subscription, two users, two processes."""

    processes: ClassVar[Processes]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = self.processes.clock
        self.clock.start()
        subscription_id = self.operator("/v1/subscriptions", {"name": "machine"})["subscription_id"]
        self.path = f"/v1/subscriptions/{subscription_id}"
        self.users: dict[str, User] = {}
        self.keys: dict[User, str] = {}
        self.make_user("ana", "admin")
        self.make_user("ben", "editor")
        self.model = Model(f"{PUBLIC_URL}/git/{subscription_id}.git")
        self.calls: list[Call] = []
        self.moments: list[tuple[str, int]] = []
        self.touched: list[Resource] = []
        self.heads: dict[str, list[str]] = {"main": [], "published": []}
        # Versions whose content was compared: it never changes, so once is enough.
        self.known: set[Version] = set()
        self.turns = 0
        self.reads = 0
        self.is_sound = False
        for kind in ("workspace", "folder", "job", "workflow", "workflow"):
            self.make(Turn("ana", 0, None, ""), kind, f"{kind} {len(self.model.resources)}", 0, 0, {"n": 1})
        self.repository = self.processes.repository(subscription_id)

    def operator(self, path: str, body: Json) -> Json:
        answer = self.processes.all[0].request("POST", path, OPERATOR_KEY, json.dumps(body).encode())
        assert answer.status == 201
        found: Json = answer.body
        return found

    def make_user(self, name: str, role: str) -> None:
        body = {"username": name, "email": f"{name}@example.org", "role": role}
        user_id = self.operator(f"{self.path}/users", body)["user_id"]
        made = self.operator(f"{self.path}/api-keys", {"user_id": user_id, "name": "laptop"})
        self.users[name] = User(name, user_id, role == "admin")
        self.keys[self.users[name]] = made["api_key"]

    # -- steps ----------------------------------------------------------------------------------------

    @of_one(reason=WORDS, hours=st.sampled_from([8, 1, 25]))
    def check_out(self, turn: Turn, which: int, reason: Text, hours: int) -> None:
        by, resource, match = self.target(turn, which)
        # Eight hours are the default.
        body = {"reason": reason} | ({} if hours == 8 else {"ttl_seconds": hours * 3600})
        plan = partial(self.model.check_out, by, resource, reason, timedelta(hours=hours), match)
        self.post(turn, f"{self.at(resource)}/check-out", body, match, plan)

    @of_one(whose=WHOSE, data=st.none() | DATA, comment=WORDS, **WITH_A_VERSION)
    def check_in(self, turn: Turn, which: int, whose: str, data: Json | None, **more: Any) -> None:
        if whose == "own" and not self.held():
            # Hypothesis turns off some rules for a whole example, so this rule must not depend on the rule of
            # check-outs.
            return self.check_out(turn, which, None, 8)
        by, resource, match = self.target(turn, which, whose)
        plan = partial(self.model.check_in, by, resource, data, match, **more)
        return self.post(turn, f"{self.at(resource)}/check-in", {"data": data, **more}, match, plan, by)

    @of_one(whose=WHOSE, force=SOMETIMES)
    def release(self, turn: Turn, which: int, whose: str, force: bool) -> None:
        if whose == "own" and not self.held():
            return self.check_out(turn, which, None, 8)
        by, resource, match = self.target(turn, which, whose)
        path = f"{self.at(resource)}/check-out{'?force=true' if force else ''}"
        plan = partial(self.model.release, by, resource, match, force=force)
        return self.perform(Call(by, "DELETE", path, None, None, match, plan), turn.host)

    @of_one(data=DATA, description=WORDS, **WITH_A_VERSION)
    def save(self, turn: Turn, which: int, data: Json, **more: Any) -> None:
        by, resource, match = self.target(turn, which)
        plan = partial(self.model.save, by, resource, data, match, **more)
        self.post(turn, f"{self.at(resource)}/versions", {"data": data, **more}, match, plan)

    @of_one(name=st.sampled_from([None, "one", "two"]), moves=MOSTLY, form=st.integers(0, 1), where=WHICH)
    def amend(self, turn: Turn, which: int, name: Text, moves: bool, form: int, where: int) -> None:
        by, resource, match = self.target(turn, which)
        body: Json = {} if name is None else {"name": name}
        parent_kind, field = PARENTS[resource.kind][form % len(PARENTS[resource.kind])]
        parent = self.of_kind(parent_kind, where) if moves and parent_kind else resource.parent
        if moves and parent is not None:
            body |= {field: parent.resource_id}
            if (resource.kind, field) == ("folder", "workspace_id"):
                body |= {"parent_folder_id": None}
        plan = partial(self.model.amend, by, resource, name or resource.name, parent, match)
        content = json.dumps(body).encode()
        self.perform(Call(by, "PATCH", self.at(resource), content, None, match, plan), turn.host)

    @of_one(ref=REFS, tag=st.none() | TAGS)
    def set_tag(self, turn: Turn, which: int, ref: Ref, tag: Text) -> None:
        by, resource, match = self.target(turn, which)
        to = str(self.name_version(resource, ref))
        method, body = ("DELETE", None) if tag is None else ("PUT", json.dumps({"tag": tag}).encode())
        plan = partial(self.model.set_tag, resource, to, tag, match)
        path = f"{self.at(resource)}/versions/{to}/tag"
        self.perform(Call(by, method, path, body, None, match, plan), turn.host)

    @of_one(ref=REFS, published=MOSTLY)
    def set_published(self, turn: Turn, which: int, ref: Ref, published: bool) -> None:
        _, resource, match = self.target(turn, which)
        to = str(self.name_version(resource, ref))
        path = f"{self.at(resource)}/versions/{to}/{'publish' if published else 'unpublish'}"
        plan = partial(self.model.set_published, resource, to, match, published=published)
        self.post(turn, path, None, match, plan)

    @of_one(ref=REFS, text=WORDS.filter(bool))
    def comment(self, turn: Turn, which: int, ref: Ref, text: str) -> None:
        by, resource, match = self.target(turn, which)
        to = str(self.name_version(resource, ref))
        plan = partial(self.model.comment_on, by, resource, to, text, match)
        self.post(turn, f"{self.at(resource)}/versions/{to}/comments", {"text": text}, match, plan)

    @of_one(ref=REFS, comment=WORDS, dry=SOMETIMES)
    def roll_back(self, turn: Turn, which: int, ref: Ref, comment: Text, dry: bool) -> None:
        by, resource, match = self.target(turn, which)
        to = self.name_version(resource, ref)
        plan = partial(self.model.roll_back, by, resource, to, comment, match, dry=dry)
        body = {"to": to, "comment": comment, "dry_run": dry}
        self.post(turn, f"{self.at(resource)}/rollback", body, match, plan)

    @of_one(
        back=st.integers(0, 30),
        how=st.sampled_from(["commit", "prefix", "commit", "moment", "moment", "published", "nowhere"]),
        below=st.sampled_from(["", "workspace", "folder"]),
        comment=WORDS,
        dry=SOMETIMES,
    )
    def roll_back_many(
        self, turn: Turn, which: int, back: int, how: str, below: str, comment: Text, dry: bool
    ) -> None:
        match, (to, place) = self.match_head(turn), self.point(how, back)
        root = self.of_kind(below, which) if below else None
        body = {"to": to, "comment": comment, "dry_run": dry}
        if root is not None:
            body[f"{root.kind}_id"] = root.resource_id
        by = self.users[turn.by]
        plan = partial(self.model.roll_back_many, by, root, place, comment, match, dry=dry)
        self.post(turn, f"{self.path}/rollback", body, match, plan)

    @of_many(
        items=st.lists(st.tuples(WHICH, DATA, st.sampled_from(BASES_OF_ITEMS)), min_size=1, max_size=4),
        missing=st.integers(0, 9).map(lambda n: n == 9),
        comment=WORDS,
    )
    def check_in_many(
        self, turn: Turn, items: list[tuple[int, Json, str]], missing: bool, comment: Text
    ) -> None:
        match = self.match_head(turn)
        chosen = {self.pick(which): (data, based) for which, data, based in items}
        wanted: list[Item] = [(r, data, self.match(r, based)) for r, (data, based) in chosen.items()]
        body = [
            {"resource_type": r.kind, "resource_id": r.resource_id, "data": data, "if_match": based}
            for r, data, based in wanted
            if r is not None
        ]
        if missing:
            body.append({"resource_type": "workflow", "resource_id": NOWHERE, "data": {}})
            wanted.append((None, {}, None))
        plan = partial(self.model.check_in_many, self.users[turn.by], wanted, comment, match)
        self.post(turn, f"{self.path}/check-ins", {"items": body, "comment": comment}, match, plan)

    @precondition(lambda self: len(self.model.resources) < MAX_RESOURCES)
    @of_one(
        kind=st.sampled_from(sorted(PARENTS)),
        name=st.sampled_from(["one", "two"]),
        form=st.integers(0, 1),
        data=DATA,
    )
    def create(self, turn: Turn, which: int, kind: str, name: str, form: int, data: Json) -> None:
        self.make(turn, kind, name, form, which, data)

    @precondition(lambda self: bool(self.model.ends()))
    @rule(which=WHICH)
    def let_time_pass(self, which: int) -> None:
        """Move the clock past the end of a lease, or of a result that is kept for retries."""
        ends = sorted(self.model.ends())
        then = ends[which % len(ends)]
        for end in ends:
            if then < end < then + MARGIN:
                then = end
        self.clock.advance(then - self.clock() + timedelta(seconds=1))
        self.model.sent = self.clock()
        self.touched = self.model.resources

    @precondition(lambda self: bool(self.calls))
    @rule(back=st.integers(0, 9), host=st.integers(0, 1), same=MOSTLY)
    def retry(self, back: int, host: int, same: bool) -> None:
        call = self.calls[-1 - back % len(self.calls)]
        # The same JSON with another blank counts as the same body, and {} beside no body as another one.
        self.perform(call if same else replace(call, body=call.body + b" " if call.body else b"{}"), host)

    # -- what a step is about -------------------------------------------------------------------------

    def pick(self, which: int) -> Resource:
        # Counting begins at the first workflow, and ends at the workspace and its folder.
        return self.model.resources[(3 + which) % len(self.model.resources)]

    def held(self) -> list[tuple[User, Resource]]:
        """Return the check-outs, each as its holder and its resource."""
        return [(lease.by, r) for r in self.model.resources if (lease := self.model.lease(r)) is not None]

    def of_kind(self, kind: str, which: int) -> Resource:
        found = [resource for resource in self.model.resources if resource.kind == kind]
        return found[which % len(found)]

    def target(self, turn: Turn, which: int, whose: str = "any") -> tuple[User, Resource, Text]:
        """Choose a caller (a holder or any user), a resource, and the commit for If-Match."""
        by, resource, held = self.users[turn.by], self.pick(which), self.held()
        if whose != "any" and held:
            holder, resource = held[which % len(held)]
            by = holder if whose == "own" else by
        return by, resource, self.match(resource, turn.based)

    def match(self, resource: Resource, based: str) -> Text:
        # A client may easily send the head of main instead of the resource's own commit.
        stale = next(c for c in [*reversed(self.model.commits), ""] if c != resource.current.commit)
        return {"current": resource.current.commit, "stale": stale}.get(based, based) or None

    def match_head(self, turn: Turn) -> Text:
        [*_, before, head] = self.model.commits
        return {"current": head, "stale": before}.get(turn.based, turn.based) or None

    def name_version(self, resource: Resource, ref: Ref) -> str | int:
        nothing: tuple[str | int, ...] = ("no-such-tag", "0" * 7, 0, -1, len(resource.versions) + 1)
        versions, back = resource.versions, ref.back
        version = versions[-1 - back % len(versions)]
        tags = [v.tag for v in versions if v.tag is not None]
        match ref.how:
            case "text":
                return str(version.number)
            case "tag" if tags:
                return tags[back % len(tags)]
            case "commit":
                return version.commit
            case "PREFIX":
                return version.commit[: 7 + back].upper()
            case "foreign":
                return self.model.commits[-1 - back % len(self.model.commits)]
            case "current" | "previous" | "published":
                return ref.how
            case "nothing":
                return nothing[back % len(nothing)]
            case _:
                return version.number

    def point(self, how: str, back: int) -> tuple[str, int | None]:
        """Return the name of a point of the history, and the number of commits of `main` at that point."""
        place = len(self.model.commits) - back % len(self.model.commits)
        commit = self.model.commits[place - 1]
        match how:
            case "commit":
                return commit, place
            case "prefix":
                return commit[:8], place
            case "moment":
                return self.moments[-1 - back % len(self.moments)]
            case "published" if self.heads["published"]:
                return self.heads["published"][-1], None
            case _:
                return "0" * 12, None

    def at(self, resource: Resource) -> str:
        return f"{self.path}/{resource.kind}s/{resource.resource_id}"

    def make(self, turn: Turn, kind: str, name: str, form: int, which: int, data: Json) -> None:
        parent_kind, field = PARENTS[kind][form % len(PARENTS[kind])]
        parent = self.of_kind(parent_kind, which) if parent_kind else None
        body: Json = {"name": name, "definition": data}
        if parent is not None:
            place = {"workspace_id": parent.line()[-1].resource_id} if kind == "folder" else {}
            body |= place | {field: parent.resource_id}
        plan = partial(self.model.create, self.users[turn.by], kind, name, parent, data)
        self.post(turn, f"{self.path}/{kind}s", body, None, plan)

    def learn_id(self, resource: Resource) -> None:
        """Read the id of a resource's current version, which its answer lacks and the next step may need."""
        current = resource.current
        if not current.version_id:
            version = self.read(f"{self.at(resource)}/versions/{current.number}")
            current.version_id = version["version_id"]

    # -- making it ------------------------------------------------------------------------------------

    def post(
        self,
        turn: Turn,
        path: str,
        body: Json | None,
        match: Text,
        plan: Callable[[], Plan],
        by: User | None = None,
    ) -> None:
        content = None if body is None else json.dumps(body).encode()
        caller = by or self.users[turn.by]
        self.perform(Call(caller, "POST", path, content, turn.key, match, plan), turn.host)

    def perform(self, call: Call, host: int) -> None:
        """Run a step in model and service."""
        self.is_sound = False
        model, identity = self.model, (call.by, call.path, call.key, call.body)
        model.sent = self.clock()
        try:
            expected: Plan | Refused = model.recall(*identity) or call.plan()
        except Refused as refusal:
            expected = refusal
        based = call.match if call.match in (None, ANY, QUOTED) else f'"{call.match}"'
        given = {"Idempotency-Key": call.key, "If-Match": based}
        if call.method == "PATCH":
            given["Content-Type"] = "application/merge-patch+json"
        headers = {name: value for name, value in given.items() if value is not None}
        process = self.processes.all[host]
        answer = process.request(call.method, call.path, self.keys[call.by], call.body, headers)
        model.received = self.clock()
        self.touched = []
        if isinstance(expected, Refused):
            assert answer.status == expected.status, (expected, answer)
            assert answer.body["code"] == expected.code, answer
            assert expected.facts.items() <= answer.body.items(), answer
        else:
            assert answer.status == expected.status, (expected.status, answer)
            body = expected.apply(answer.body)
            assert canonical(ordered(answer.body)) == canonical(ordered(body))
            assert answer.etag == etag_of(body)
            model.keep(*identity, answer.status, answer.body)
            self.touched = list(expected.touched)
            for resource in self.touched:
                self.learn_id(resource)
        if call.key is not None:
            self.calls.append(call)

    # -- agreeing -------------------------------------------------------------------------------------

    @invariant()
    def agree(self) -> None:
        """Compare git, the touched resources and one other part of the API; every few steps, everything."""
        self.check_git()
        if (self.turns + 1) % STEPS_BETWEEN_FULL_CHECKS == 0:
            self.check_everything()
        else:
            for resource in self.touched:
                self.check_resource(resource)
            self.check_besides(self.turns // 4)
            for resource, version in self.model.discussed:
                self.check_comments(resource, version)
        self.model.discussed.clear()
        self.moments.append((self.clock().isoformat(), len(self.model.commits)))
        self.turns += 1
        type(self).steps += self.turns > 1
        self.is_sound = True

    def teardown(self) -> None:
        try:
            # After a failure nothing more is compared, since its consequences would hide it.
            if self.is_sound:
                self.check_everything()
                self.check_past()
        finally:
            self.repository.close()

    def read(self, path: str, by: User | None = None) -> Any:
        """Return the answer of a process to a user; processes and users take turns."""
        self.reads += 1
        reader = by or self.users[("ana", "ben")[self.reads // 2 % 2]]
        answer = self.processes.all[self.reads % 2].request("GET", path, self.keys[reader])
        assert answer.status == 200, answer
        return answer.body

    def check_besides(self, which: int) -> None:
        """Compare a part that the step does not concern: the check-outs, or a resource."""
        besides = self.model.resources[which % len(self.model.resources)]
        match self.turns % 4:
            case 0:
                self.check_state(besides)
            case 2:
                self.check_versions(besides)
            case _:
                self.check_check_outs(self.users[("ana", "ben")[which % 2]])

    def check_everything(self) -> None:
        for resource in self.model.resources:
            self.check_resource(resource)
        for kind in PARENTS:
            expected = [self.model.resource(r) for r in reversed(self.model.resources) if r.kind == kind]
            for summary in expected:
                del summary["definition"]
            assert canonical(self.read(f"{self.path}/{kind}s")["items"]) == canonical(expected)
        for user in self.users.values():
            self.check_check_outs(user)

    def check_resource(self, resource: Resource) -> None:
        self.check_state(resource)
        self.check_versions(resource)
        current, snapshot = resource.current, resource.snapshot(resource.current)
        if current not in self.known:
            whole = self.model.version(resource, current)
            whole |= {"snapshot": snapshot, "data": snapshot["definition"]}
            assert canonical(self.read(f"{self.at(resource)}/versions/current")) == canonical(whole)
            self.known.add(current)

    def check_state(self, resource: Resource) -> None:
        assert canonical(self.read(self.at(resource))) == canonical(self.model.resource(resource))

    def check_versions(self, resource: Resource) -> None:
        history = self.read(f"{self.at(resource)}/versions?limit=200")["items"]
        versions = [self.model.version(resource, version) for version in reversed(resource.versions)]
        assert canonical(history) == canonical(versions)

    def check_check_outs(self, by: User) -> None:
        assert canonical(self.read(f"{self.path}/check-outs", by)) == canonical(self.model.check_outs(by))

    def check_comments(self, resource: Resource, version: Version) -> None:
        items = self.read(f"{self.at(resource)}/versions/{version.number}/comments")["items"]
        for item, comment in zip(items, reversed(version.comments), strict=True):
            comment.at = comment.at or item["commented_at"]
            expected = self.model.comment(version, comment) | {"comment_id": item["comment_id"]}
            assert canonical(item) == canonical(expected)

    def check_past(self) -> None:
        """Compare both branches as a whole, and the file and the comments of each version."""
        for branch, heads in self.heads.items():
            assert [str(commit.id) for commit in self.repository.line(branch, None)] == heads
        for resource in self.model.resources:
            for version in resource.versions:
                assert self.repository.files(version.commit)[resource.path] == resource.blob(version)
                if version.comments:
                    self.check_comments(resource, version)

    def check_git(self) -> None:
        """Compare branches and tags: their commits, and every byte of their files."""
        resources = self.model.resources
        self.check_branch("main", len(self.model.commits), {r.path: r.blob(r.current) for r in resources})
        assert self.heads["main"] == self.model.commits
        published = {r.path: r.blob(r.published) for r in resources if r.published is not None}
        self.check_branch("published", self.model.publications, published)
        tagged = {
            f"tags/{r.kind}s/{r.resource_id}/{v.tag}": v.commit
            for r in resources
            for v in r.versions
            if v.tag is not None
        }
        branches = {f"heads/{name}" for name, heads in self.heads.items() if heads}
        assert self.repository.refs() == {f"refs/{name}" for name in branches | tagged.keys()}
        for name, commit in tagged.items():
            assert self.repository.tagged(f"refs/{name}") == (name.removeprefix("tags/"), commit)

    def check_branch(self, name: str, commits: int, files: dict[str, bytes]) -> None:
        heads = self.heads[name]
        heads += [str(commit.id) for commit in self.repository.line(name, heads[-1] if heads else None)]
        assert len(heads) == commits
        if heads:
            assert self.repository.files(heads[-1]) == files


def ordered(body: Json | None) -> Json | None:
    """Return a body with the resources of a rollback of many sorted, since the API promises no order."""
    if body is None or "skipped" not in body:
        return body
    lists = {
        name: sorted(body[name], key=lambda each: each["resource_id"]) for name in ("versions", "skipped")
    }
    return body | lists


def etag_of(body: Json | None) -> Text:
    """Return the ETag that is due with a body: the commit in it."""
    shown = (body or {}).get("check_out", body or {})
    commit = shown.get("commit", shown.get("git_commit_hash"))
    return None if commit is None else f'"{commit}"'


@pytest.fixture(scope="module")
def processes(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Run two processes on one database and one folder of repositories."""
    with serving(cluster, tmp_path_factory.mktemp("processes"), 2) as found:
        yield found


@pytest.mark.long
def test_two_processes_and_the_model_agree_after_every_step(processes: Processes) -> None:
    VersioningMachine.processes, VersioningMachine.steps = processes, 0
    run_state_machine_as_test(
        VersioningMachine,
        settings=settings(
            max_examples=ceil(STEPS / STEPS_OF_ONE),
            stateful_step_count=min(STEPS, STEPS_OF_ONE),
            deadline=None,
            backend="hypothesis-urandom",
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # A run whose examples end early would test little.
    assert VersioningMachine.steps >= 0.9 * STEPS
