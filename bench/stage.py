"""The parts that figures share: the folder, the database, the server, the filled subscriptions, the sizes."""

import random
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import completeness, reference, tenants
from bench.completeness import Completeness
from bench.figures import Traffic
from bench.load import Chain, Outcome
from bench.plain import Plain
from bench.service import Database, Service, annals, serving
from bench.tenants import Shape, Tenant

_TREE = Shape(folders=20, jobs=200, workflows=2_000, jobpackages=100, connectors=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The amounts of all data of a run."""

    pairs: int
    seconds: float
    warm_up_seconds: float
    resources: int = 10_000
    subscriptions: int = 20
    resources_each: int = 500
    small: int = 1_000
    large: int = 100_000
    bulk_calls: int = 12
    bulk_items: int = 500
    stored_edits: int = 16_000
    cloned_resources: int = 500
    cloned_versions: int = 10_000
    clones: int = 50
    tree: Shape = _TREE
    day: int = 1_000_000
    small_day: int = 100_000
    events: int = 200_000
    stream_bytes: int = 1_000_000_000
    executions: int = 400_000
    audit_events: int = 1_000_000


FULL = Sizes(pairs=5, seconds=8, warm_up_seconds=1)
# Sizes for development: a run shows that everything works and roughly each figure, no more.
QUICK = Sizes(
    pairs=1,
    seconds=3,
    warm_up_seconds=0.5,
    resources=2_000,
    resources_each=50,
    small=200,
    large=2_000,
    bulk_calls=4,
    stored_edits=1_000,
    cloned_resources=100,
    cloned_versions=1_000,
    clones=10,
    day=50_000,
    small_day=5_000,
    events=40_000,
    stream_bytes=50_000_000,
    executions=40_000,
    audit_events=20_000,
    tree=Shape(folders=5, jobs=20, workflows=200, jobpackages=10, connectors=5),
)
# Requests are made before the clock starts: this many times the number that the warm-up's rate predicts.
_RESERVE = 3
_FIRST_GUESS = 1_500
_RELEASERS = 8


class Stage:
    """The shared parts of a run; each is made at its first use, and all are removed at the end."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        sizes: Sizes,
        *,
        workers: int = 1,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self.database = database
        self.sizes = sizes
        self.say = say
        self.rng = random.Random(4)
        self.found = Completeness(wrong_history=[])
        self._workers = workers
        self._running: tuple[int, Service, ExitStack] | None = None
        self._tenants: dict[str, Tenant] = {}
        self._template: Path | None = None
        self._plain: Plain | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self._plain is not None:
            self._plain.close()
        self._stop()

    # -- the server -----------------------------------------------------------------------------------

    def service(self, workers: int | None = None) -> Service:
        """Return the running server; it is restarted for another number of API workers."""
        wanted = workers or self._workers
        if self._running is not None and self._running[0] != wanted:
            self._stop()
        if self._running is None:
            stack = ExitStack()
            running = stack.enter_context(serving(self.database, self.folder / "data", workers=wanted))
            self._running = (wanted, running, stack)
        return self._running[1]

    def _stop(self) -> None:
        if self._running is not None:
            self._running[2].close()
            self._running = None

    # -- what it holds --------------------------------------------------------------------------------

    def hot(self) -> Tenant:
        """Return a subscription that all users work in."""
        return self._tenant("hot", self.sizes.resources, seed=0)

    def spread(self) -> list[Tenant]:
        """Return many subscriptions of a smaller size."""
        return [
            self._tenant(
                f"spread {number}", self.sizes.resources_each, seed=200_000 + 1_000 * number, users=2
            )
            for number in range(self.sizes.subscriptions)
        ]

    def small(self) -> Tenant:
        """Return a subscription of few resources, to compare the large one with."""
        return self._tenant("small", self.sizes.small, seed=300_000)

    def large(self) -> Tenant:
        """Return a subscription of very many resources."""
        return self._tenant("large", self.sizes.large, seed=400_000)

    def cloned(self) -> Tenant:
        """Return a subscription with many versions, each a commit, after `annals git upkeep`."""
        is_new = "cloned" not in self._tenants
        tenant = self._tenant("cloned", self.sizes.cloned_resources, seed=600_000)
        if is_new:
            edits = self.sizes.cloned_versions - self.sizes.cloned_resources
            self.save([tenant], clients=64, amount=edits)
            self.upkeep(tenant, "--deep")
        return tenant

    def tree(self) -> Tenant:
        """Return a subscription with a large tree, with published and tagged workflows."""
        if "tree" not in self._tenants:
            self._tenants["tree"] = self._tree("tree")
        return self._tenants["tree"]

    def plain(self) -> Plain:
        """Return a second tree like it, made by the service and then changed by the reference only."""
        if self._plain is None:
            tenant = self._tree("plain")
            repository = self.folder / "reference" / f"{tenant.subscription_id}.git"
            reference.copy(self.service().repository(tenant.subscription_id), repository)
            self._plain = Plain(self.database, repository, tenant.subscription_id, tenant.workspace)
        return self._plain

    def _tree(self, name: str) -> Tenant:
        shape = self.sizes.tree
        self.say(f"filling the subscription {name!r} with a tree of {shape.resources:,} resources")
        tenant = tenants.fill_tree(self.service(), name, shape, seed=700_000)
        chains = list(tenants.releases(tenant, self.rng))
        outcome, _ = self.service().measured(chains, clients=_RELEASERS)
        self.note(chains, outcome)
        return tenant

    def _tenant(self, name: str, resources: int, *, seed: int, users: int = tenants.USERS) -> Tenant:
        if name not in self._tenants:
            self.say(f"filling the subscription {name!r} with {resources:,} workflows")
            self._tenants[name] = tenants.fill(self.service(), name, resources, seed=seed, users=users)
        return self._tenants[name]

    def template(self) -> Path:
        """Return the repository that references start from, as large as the hot subscription's."""
        if self._template is None:
            self.say(f"preparing the references' repository of {self.sizes.resources:,} documents")
            self._template = reference.prepare(self.folder / "reference", self.sizes.resources)
        return self._template

    # -- load -----------------------------------------------------------------------------------------

    def turn(
        self,
        make: Callable[[int], list[Chain]],
        label: str,
        *,
        clients: int,
        workers: int | None = None,
    ) -> Traffic:
        """Run one turn of load: warm up, make requests by `make`, measure, note acknowledged versions."""
        service = self.service(workers)
        warm = make(int(_FIRST_GUESS * self.sizes.warm_up_seconds))
        outcome, _ = service.measured(warm, clients=clients, seconds=self.sizes.warm_up_seconds)
        self.note(warm, outcome)
        rate = outcome.count(label) / outcome.seconds
        chains = make(int((rate * _RESERVE + 2 * clients) * self.sizes.seconds))
        outcome, cpu = service.measured(chains, clients=clients, seconds=self.sizes.seconds)
        self.note(chains, outcome)
        return Traffic.of(outcome, label, cpu)

    def save(self, among: list[Tenant], *, clients: int, amount: int) -> None:
        """Save a number of versions without measuring."""
        chains = list(tenants.saves(among, amount, self.rng))
        outcome, _ = self.service().measured(chains, clients=clients)
        self.note(chains, outcome)

    def reference_a(self) -> reference.Figures:
        """Run one turn of reference A."""
        size = self.sizes
        return reference.in_a_process(
            self.template(), "a", "--seconds", str(size.seconds), "--resources", str(size.resources)
        )

    def note(self, chains: list[Chain], outcome: Outcome) -> None:
        """Look for the rows of acknowledged versions, and forget the edits that were not sent."""
        tenants.forget_unsent(chains, outcome)
        found = completeness.examine(self.database, list(completeness.acknowledged(chains, outcome)))
        self.found.acknowledged += found.acknowledged
        self.found.without_version += found.without_version
        self.found.without_audit += found.without_audit
        self.found.without_change += found.without_change

    def compare_histories(self) -> None:
        """Count the commits of each repository, once at the end."""
        self.found.repositories = len(self._tenants)
        self.found.wrong_history = [
            wrong
            for tenant in self._tenants.values()
            if (wrong := completeness.wrong_history(self.service(), tenant.subscription_id)) is not None
        ]

    # -- upkeep ---------------------------------------------------------------------------------------

    def upkeep(self, tenant: Tenant, *options: str) -> None:
        """Run `annals git upkeep` on a subscription's repository, beside the server."""
        wanted = ("--subscription", tenant.subscription_id, *options)
        done = annals(self.database, self.service().data_dir, "git", "upkeep", *wanted)
        if done.returncode != 0:
            raise RuntimeError(f"annals git upkeep failed: {done.stderr}")

    def scratch(self, name: str) -> Path:
        """Make an empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder
