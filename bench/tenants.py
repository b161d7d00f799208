"""Subscriptions full of workflows, made through the API, and the requests of users who work in them."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import orjson

from bench import documents
from bench.load import Call, Chain, Outcome, http_request
from bench.service import Service

USERS = 8
WORKFLOWS_PER_JOB = 100
# The number of requests that are in memory while resources are made.
_PORTION = 5_000
_MAKERS = 32

_FOLDERS_DEEP = 3
# Every tenth workflow of a tree is published; every other published one has a tag.
_PUBLISHED_EACH = 10
_TAGGED_EACH = 20

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The number of resources of each kind in one workspace; its folders are three deep."""

    folders: int
    jobs: int
    workflows: int
    jobpackages: int
    connectors: int

    @property
    def counts(self) -> dict[str, int]:
        """The number of resources by collection, the workspace included, as the service counts deletions."""
        return {
            "workspaces": 1,
            "folders": self.folders,
            "jobs": self.jobs,
            "workflows": self.workflows,
            "jobpackages": self.jobpackages,
            "connectors": self.connectors,
        }

    @property
    def resources(self) -> int:
        """The number of all resources, the workspace included."""
        return sum(self.counts.values())


@dataclass
class Tenant:
    """A subscription: keys of its users, its workspace, its workflows, and the content that each has now."""

    subscription_id: str
    keys: list[str]
    host: str
    seed: int
    workspace: str = ""
    workflows: list[str] = field(default_factory=list)
    contents: dict[int, bytes] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path of the subscription in the API."""
        return f"/v1/subscriptions/{self.subscription_id}"

    def next_content(self, number: int, rng: random.Random) -> bytes:
        """Make the next small edit of a workflow."""
        before = self.contents.get(number) or documents.document(self.seed + number)
        after = self.contents[number] = documents.edited(before, rng)
        return after

    def call(
        self,
        label: str,
        path: str,
        body: bytes | None,
        expected: int,
        key: str | None = None,
        *,
        method: str = "POST",
    ) -> Call:
        """Make a request of one of the tenant's users; its rows will be found by its request id."""
        number = next(_numbers)
        key = key or self.keys[number % len(self.keys)]
        request_id = f"bench-{number}"
        request = http_request(
            method, self.path + path, host=self.host, key=key, request_id=request_id, body=body
        )
        return Call(label, request, expected, request_id)


@dataclass(frozen=True, slots=True)
class Edit(Call):
    """A call with the next content of a workflow; `before` is the content that its tenant had before."""

    contents: dict[int, bytes]
    number: int
    before: bytes | None

    def forget(self) -> None:
        """Undo a call that was never sent: the next edit starts from the content on the server."""
        if self.before is None:
            del self.contents[self.number]
        else:
            self.contents[self.number] = self.before


def fill(service: Service, name: str, resources: int, *, seed: int, users: int = USERS) -> Tenant:
    """Make a subscription with a number of workflows, each by its own POST, by concurrent clients."""
    tenant = _opened(service, name, seed, users)
    folder = _make(service, tenant, "folders", name="Bench", workspace_id=tenant.workspace)
    jobs = [
        _make(service, tenant, "jobs", name=f"job {at}", folder_id=folder)
        for at in range(0, resources, WORKFLOWS_PER_JOB)
    ]
    tenant.workflows = _make_many(
        service,
        tenant,
        "workflows",
        resources,
        lambda at: _workflow(tenant, at, jobs[at // WORKFLOWS_PER_JOB]),
    )
    return tenant


def fill_tree(service: Service, name: str, shape: Shape, *, seed: int) -> Tenant:
    """Make a subscription with one workspace of that shape, each resource by its own POST."""
    tenant = _opened(service, name, seed, USERS)
    folders: list[str] = []
    for at in range(shape.folders):
        outer = {"parent_folder_id": folders[-1]} if at % _FOLDERS_DEEP else {}
        place = {"workspace_id": tenant.workspace, **outer}
        folders.append(_make(service, tenant, "folders", name=f"folder {at}", **place))

    def in_folder(at: int) -> bytes:
        return orjson.dumps({"name": f"number {at}", "folder_id": folders[at % len(folders)]})

    def in_workspace(at: int) -> bytes:
        return orjson.dumps({"name": f"number {at}", "workspace_id": tenant.workspace})

    jobs = _make_many(service, tenant, "jobs", shape.jobs, in_folder)
    _make_many(service, tenant, "jobpackages", shape.jobpackages, in_folder)
    _make_many(service, tenant, "connectors", shape.connectors, in_workspace)
    tenant.workflows = _make_many(
        service, tenant, "workflows", shape.workflows, lambda at: _workflow(tenant, at, jobs[at % len(jobs)])
    )
    return tenant


def forget_unsent(chains: Sequence[Chain], outcome: Outcome) -> None:
    """Undo the edits of chains that no client began.

    Chains are begun in their order, and each is then finished.
    """
    begun = max((answer.chain for answer in outcome.answers), default=-1) + 1
    for chain in reversed(chains[begun:]):
        for call in chain:
            if isinstance(call, Edit):
                call.forget()


def saves(tenants: list[Tenant], amount: int, rng: random.Random) -> Iterator[Chain]:
    """Yield `POST R/versions` with small edits of workflows, the tenants in turn."""
    for at in range(amount):
        tenant = tenants[at % len(tenants)]
        number = rng.randrange(len(tenant.workflows))
        before = tenant.contents.get(number)
        body = b'{"data":%s}' % tenant.next_content(number, rng)
        path = f"/{documents.COLLECTION}/{tenant.workflows[number]}/versions"
        yield [_edit(tenant, tenant.call("save", path, body, 201), number, before)]


def check_ins(tenant: Tenant, amount: int, rng: random.Random) -> Iterator[Chain]:
    """Yield a check-out and a check-in of one workflow after the other, in an order without conflicts."""
    order = rng.sample(range(len(tenant.workflows)), len(tenant.workflows))
    for at in range(amount):
        number = order[at % len(order)]
        path = f"/{documents.COLLECTION}/{tenant.workflows[number]}"
        before = tenant.contents.get(number)
        body = b'{"data":%s,"comment":"a small edit"}' % tenant.next_content(number, rng)
        # The same user must make both calls.
        key = tenant.keys[at % len(tenant.keys)]
        yield [
            tenant.call("check-out", f"{path}/check-out", b"{}", 200, key),
            _edit(tenant, tenant.call("check-in", f"{path}/check-in", body, 201, key), number, before),
        ]


def bulks(tenant: Tenant, amount: int, size: int, rng: random.Random) -> Iterator[Chain]:
    """Yield `POST S/check-ins` of `size` workflows each; consecutive requests name different workflows."""
    order = rng.sample(range(len(tenant.workflows)), len(tenant.workflows))
    for at in range(amount):
        numbers = [order[(at * size + n) % len(order)] for n in range(size)]
        items = b",".join(
            b'{"resource_type":"workflow","resource_id":"%s","data":%s}'
            % (tenant.workflows[number].encode(), tenant.next_content(number, rng))
            for number in numbers
        )
        body = b'{"items":[%s],"comment":"many small edits"}' % items
        yield [tenant.call("bulk", "/check-ins", body, 201)]


def releases(tenant: Tenant, rng: random.Random) -> Iterator[Chain]:
    """Yield a second version of every tenth workflow, published; every other of these is also tagged."""
    for number in range(0, len(tenant.workflows), _PUBLISHED_EACH):
        tag = b',"tag":"release"' if number % _TAGGED_EACH == 0 else b""
        before = tenant.contents.get(number)
        body = b'{"data":%s,"publish":true%s}' % (tenant.next_content(number, rng), tag)
        path = f"/{documents.COLLECTION}/{tenant.workflows[number]}/versions"
        yield [_edit(tenant, tenant.call("save", path, body, 201), number, before)]


def deletion(tenant: Tenant) -> Chain:
    """Make the `DELETE` of the workspace, with all resources below it."""
    path = f"/workspaces/{tenant.workspace}?reason=benchmark"
    return [tenant.call("delete", path, None, 200, method="DELETE")]


def restoration(tenant: Tenant, deletion_id: str) -> Chain:
    """Make the `POST S/deletions/{deletion_id}/restore`."""
    return [tenant.call("restore", f"/deletions/{deletion_id}/restore", b"{}", 200)]


def _edit(tenant: Tenant, call: Call, number: int, before: bytes | None) -> Edit:
    return Edit(call.label, call.request, call.expected, call.request_id, tenant.contents, number, before)


def _opened(service: Service, name: str, seed: int, users: int) -> Tenant:
    """Make a subscription with a number of editors and a workspace."""
    made = service.call("POST", "/v1/subscriptions", {"name": name})
    tenant = Tenant(made["subscription_id"], [], service.host, seed)
    for number in range(users):
        user = {"username": f"user-{number}", "email": f"user-{number}@example.com"}
        user_id = service.call("POST", f"{tenant.path}/users", user | {"role": "editor"})["user_id"]
        key = service.call("POST", f"{tenant.path}/api-keys", {"user_id": user_id, "name": "bench"})
        tenant.keys.append(key["api_key"])
    tenant.workspace = _make(service, tenant, "workspaces", name="Bench")
    return tenant


def _make(service: Service, tenant: Tenant, collection: str, **fields: str) -> str:
    made = service.call("POST", f"{tenant.path}/{collection}", fields, tenant.keys[0])
    return str(made["resource_id"])


def _make_many(
    service: Service, tenant: Tenant, collection: str, amount: int, body: Callable[[int], bytes]
) -> list[str]:
    """Make resources, each by its own POST, by concurrent clients; returns their ids."""
    made = [""] * amount
    for begin in range(0, amount, _PORTION):
        numbers = range(begin, min(begin + _PORTION, amount))
        chains = [[tenant.call("create", f"/{collection}", body(number), 201)] for number in numbers]
        outcome, _ = service.measured(chains, clients=_MAKERS)
        for answer in outcome.answers:
            made[begin + answer.chain] = orjson.loads(answer.body)["resource_id"]
    return made


def _workflow(tenant: Tenant, number: int, job_id: str) -> bytes:
    definition = documents.document(tenant.seed + number)
    return b'{"job_id":"%s","name":"workflow %d","definition":%s}' % (job_id.encode(), number, definition)
