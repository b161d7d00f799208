"""Subscriptions full of workflows, made through the API, and the requests of users who work in them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import orjson

from bench import documents
from bench.load import Call, Chain, Outcome, http_request
from bench.service import Service

USERS = 8
WORKFLOWS_PER_JOB = 100
# So many requests are held in memory while resources are made.
_PORTION = 5_000
_MAKERS = 32

_numbers = count(1)


@dataclass
class Tenant:
    """A subscription: keys of its users, ids of its workflows, and the content that each has now."""

    subscription_id: str
    keys: list[str]
    host: str
    seed: int
    workflows: list[str] = field(default_factory=list)
    contents: dict[int, bytes] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Its address in the API."""
        return f"/v1/subscriptions/{self.subscription_id}"

    def next_content(self, number: int, rng: random.Random) -> bytes:
        """The next small edit of a workflow."""
        before = self.contents.get(number) or documents.document(self.seed + number)
        after = self.contents[number] = documents.edited(before, rng)
        return after

    def call(self, label: str, path: str, body: bytes, expected: int, key: str | None = None) -> Call:
        """A POST of one of its users, with a request id by which its rows will be found."""
        number = next(_numbers)
        key = key or self.keys[number % len(self.keys)]
        request_id = f"bench-{number}"
        request = http_request(
            "POST", self.path + path, host=self.host, key=key, request_id=request_id, body=body
        )
        return Call(label, request, expected, request_id)


@dataclass(frozen=True, slots=True)
class Edit(Call):
    """A call with the next content of a workflow, and how that stood before in its tenant's memory."""

    contents: dict[int, bytes]
    number: int
    before: bytes | None

    def forget(self) -> None:
        """It was never sent: the next edit starts from what the server has."""
        if self.before is None:
            del self.contents[self.number]
        else:
            self.contents[self.number] = self.before


def fill(service: Service, name: str, resources: int, *, seed: int, users: int = USERS) -> Tenant:
    """A new subscription with so many workflows, each made by a POST of its own by concurrent clients."""
    made = service.call("POST", "/v1/subscriptions", {"name": name})
    path = f"/v1/subscriptions/{made['subscription_id']}"
    tenant = Tenant(made["subscription_id"], [], service.host, seed)
    for number in range(users):
        user = {"username": f"user-{number}", "email": f"user-{number}@example.com"}
        user_id = service.call("POST", f"{path}/users", user | {"role": "editor"})["user_id"]
        key = service.call("POST", f"{path}/api-keys", {"user_id": user_id, "name": "bench"})
        tenant.keys.append(key["api_key"])
    key = tenant.keys[0]
    workspace = service.call("POST", f"{path}/workspaces", {"name": "Bench"}, key)["resource_id"]
    folder = {"name": "Bench", "workspace_id": workspace}
    folder_id = service.call("POST", f"{path}/folders", folder, key)["resource_id"]
    jobs = [
        service.call("POST", f"{path}/jobs", {"name": f"job {at}", "folder_id": folder_id}, key)[
            "resource_id"
        ]
        for at in range(0, resources, WORKFLOWS_PER_JOB)
    ]
    tenant.workflows = [""] * resources
    for begin in range(0, resources, _PORTION):
        numbers = range(begin, min(begin + _PORTION, resources))
        chains = [[_creation(tenant, jobs, number)] for number in numbers]
        outcome, _ = service.measured(chains, clients=_MAKERS)
        for answer in outcome.answers:
            tenant.workflows[begin + answer.chain] = orjson.loads(answer.body)["resource_id"]
    return tenant


def forget_unsent(chains: Sequence[Chain], outcome: Outcome) -> None:
    """Undo the edits in chains that no client came to; chains are begun in their order, and then finished."""
    begun = max((answer.chain for answer in outcome.answers), default=-1) + 1
    for chain in reversed(chains[begun:]):
        for call in chain:
            if isinstance(call, Edit):
                call.forget()


def saves(tenants: list[Tenant], amount: int, rng: random.Random) -> Iterator[Chain]:
    """`POST R/versions` with small edits of workflows, the tenants in turn."""
    for at in range(amount):
        tenant = tenants[at % len(tenants)]
        number = rng.randrange(len(tenant.workflows))
        before = tenant.contents.get(number)
        body = b'{"data":%s}' % tenant.next_content(number, rng)
        path = f"/{documents.COLLECTION}/{tenant.workflows[number]}/versions"
        yield [_edit(tenant, tenant.call("save", path, body, 201), number, before)]


def check_ins(tenant: Tenant, amount: int, rng: random.Random) -> Iterator[Chain]:
    """Check-out and check-in of one workflow after the other, in an order in which nobody meets anybody."""
    order = rng.sample(range(len(tenant.workflows)), len(tenant.workflows))
    for at in range(amount):
        number = order[at % len(order)]
        path = f"/{documents.COLLECTION}/{tenant.workflows[number]}"
        before = tenant.contents.get(number)
        body = b'{"data":%s,"comment":"a small edit"}' % tenant.next_content(number, rng)
        # Both calls must be the same user's.
        key = tenant.keys[at % len(tenant.keys)]
        yield [
            tenant.call("check-out", f"{path}/check-out", b"{}", 200, key),
            _edit(tenant, tenant.call("check-in", f"{path}/check-in", body, 201, key), number, before),
        ]


def bulks(tenant: Tenant, amount: int, size: int, rng: random.Random) -> Iterator[Chain]:
    """`POST S/check-ins` of so many workflows each, no two requests in a row about the same ones."""
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


def _edit(tenant: Tenant, call: Call, number: int, before: bytes | None) -> Edit:
    return Edit(call.label, call.request, call.expected, call.request_id, tenant.contents, number, before)


def _creation(tenant: Tenant, jobs: list[str], number: int) -> Call:
    definition = documents.document(tenant.seed + number)
    job_id = jobs[number // WORKFLOWS_PER_JOB].encode()
    body = b'{"job_id":"%s","name":"workflow %d","definition":%s}' % (job_id, number, definition)
    return tenant.call("create", f"/{documents.COLLECTION}", body, 201)
