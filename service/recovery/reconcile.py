"""Compare the rows with the repositories, and repair damage whose truth is known.

The rows are right about refs, and git is right about the content of versions. A run is safe while any number
of hosts write: rows are read as of one instant, their objects are in git before the rows are committed, and
refs are read under the lock under which they move.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

import structlog

from gitstore.errors import GitStoreError
from gitstore.store import Store
from gitstore.upkeep import leftovers
from service.domain.callers import Origin
from service.domain.ids import SubscriptionId, mint
from service.recovery.checks import files
from service.recovery.checks.findings import Code, Damage, Finding, Recorder, failed, repaired
from service.recovery.checks.subscription import Look, SubscriptionCheck
from service.runtime.clock import Clock
from sql.database import PLATFORM, Database
from sql.errors import DatabaseError, DatabaseUnavailable
from sql.queries import reconcile as queries

log = structlog.get_logger(__name__)

# A committer moves a ref within milliseconds of its COMMIT; a ref behind its row for so long is damage.
GRACE_SECONDS = 5.0
# Limit for one subscription in one run; the next run finds more.
MAX_FINDINGS = 1_000


class VerifyDepth(StrEnum):
    """The depth of a check: refs and files; also the whole history and its documents; also every object."""

    REFS = "refs"
    HISTORY = "history"
    OBJECTS = "objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits of one run: a number of subscriptions, a time, and the subscription to begin after."""

    subscriptions: int | None = None
    seconds: float | None = None
    after: SubscriptionId | None = None


UNBOUNDED = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """The result of a run; the next run begins after `resume_after`, None if this run reached the end."""

    subscriptions: int
    versions: int
    findings: tuple[Finding, ...]
    resume_after: SubscriptionId | None

    @property
    def left(self) -> tuple[Finding, ...]:
        """The findings that were not repaired."""
        return tuple(finding for finding in self.findings if finding.repaired is None)


def reconcile(
    database: Database,
    store: Store,
    clock: Clock,
    *,
    repair: bool,
    depth: VerifyDepth = VerifyDepth.HISTORY,
    only: SubscriptionId | None = None,
    bounds: Bounds = UNBOUNDED,
    grace_seconds: float = GRACE_SECONDS,
    endpoint: str = "reconcile",
    progress: Callable[[str], None] = lambda _: None,
) -> VerifyReport:
    """Look for every kind of damage that `Code` names; with `repair`, make and record each possible repair.

    `only` checks one subscription, and no files outside of subscriptions. A repair takes a second connection.
    A broken repository is a finding, and does not end the run. Raises DatabaseUnavailable if the database
    does not answer.
    """
    look = Look(
        history=depth is not VerifyDepth.REFS,
        objects=depth is VerifyDepth.OBJECTS,
        grace_seconds=grace_seconds,
        progress=progress,
    )
    run = _Run(database, store, clock, look, repair=repair, endpoint=endpoint)
    if only is not None:
        run.subscription(only)
        return run.report(None)
    return run.report(run.everything(bounds))


class _Run:
    def __init__(
        self,
        database: Database,
        store: Store,
        clock: Clock,
        look: Look,
        *,
        repair: bool,
        endpoint: str,
    ) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._look = look
        self._repair = repair
        self._origin = Origin(
            request_id=f"reconcile-{mint()}",
            ip_address=None,
            user_agent=None,
            endpoint=endpoint,
            method="RUN",
        )
        self._findings: list[Finding] = []
        self._subscriptions = 0
        self._versions = 0

    def report(self, resume_after: SubscriptionId | None) -> VerifyReport:
        """Report the findings so far."""
        return VerifyReport(
            subscriptions=self._subscriptions,
            versions=self._versions,
            findings=tuple(self._findings),
            resume_after=resume_after,
        )

    def everything(self, bounds: Bounds) -> SubscriptionId | None:
        """Check subscriptions, then other files; returns the last subscription if the bounds end the run."""
        deadline = None if bounds.seconds is None else time.monotonic() + bounds.seconds
        # Listed before the subscriptions are read: a folder is created before its rows.
        folders = leftovers.repositories(self._store.root)
        with self._database.transaction(PLATFORM) as tx:
            known = queries.subscriptions(tx)
            purging = queries.purging(tx)
        waiting = [each for each in known if bounds.after is None or each > bounds.after]
        for count, subscription_id in enumerate(waiting, 1):
            self.subscription(SubscriptionId(subscription_id))
            late = deadline is not None and time.monotonic() > deadline
            if count < len(waiting) and (late or count == bounds.subscriptions):
                return SubscriptionId(subscription_id)
        now = self._clock()
        strays = chain(
            files.strangers(self._store, folders, {*known, *purging}, now), files.of_store(self._store, now)
        )
        self._guarded(None, self._store.root.name, strays)
        return None

    def subscription(self, subscription_id: SubscriptionId) -> None:
        """Check one subscription."""
        self._look.progress(f"subscription {subscription_id}")
        self._subscriptions += 1
        check = SubscriptionCheck(self._database, self._store, subscription_id, self._look)
        self._guarded(subscription_id, str(subscription_id), check.damages(self._clock()))
        self._versions += check.versions

    def _guarded(self, subscription_id: SubscriptionId | None, about: str, damages: Iterable[Damage]) -> None:
        """Collect, and if asked repair, damages up to a limit; an error of a check becomes a finding."""
        before = len(self._findings)
        try:
            for damage in damages:
                if len(self._findings) - before >= MAX_FINDINGS:
                    raise GitStoreError(f"more than {MAX_FINDINGS} findings: mend these, then verify again")  # noqa: TRY301
                self._findings.append(self._repaired(damage))
        except Exception as error:
            if isinstance(error, DatabaseUnavailable):
                # A lock that was not released concerns this subscription; a lost server ends the run here.
                self._ping()
            elif not isinstance(error, GitStoreError):
                log.exception("a repository could not be verified", subscription_id=about)
            finding = Finding(
                code=Code.NOT_VERIFIED, subscription_id=subscription_id, subject=about, found=_said(error)
            )
            self._findings.append(finding)

    def _repaired(self, damage: Damage) -> Finding:
        finding = damage.finding
        self._look.progress(f"  {finding.code}: {finding.subject}")
        if not self._repair or damage.repair is None:
            return finding
        try:
            return repaired(
                finding, damage.repair(Recorder(self._database, self._clock, finding, self._origin))
            )
        except (GitStoreError, DatabaseError) as error:
            return failed(finding, _said(error))

    def _ping(self) -> None:
        with self._database.transaction(PLATFORM):
            pass


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
