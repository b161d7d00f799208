"""Rebuild a lost database from the repositories: each subscription in one transaction, or not at all."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Literal
from uuid import UUID

from gitstore.errors import GitStoreError, NotUnderstood
from gitstore.read.repository import RepositoryReader, Stray
from gitstore.store import Store
from service.audit import events
from service.audit.events import Subject
from service.committer.step import path_of
from service.domain.actions import Action
from service.domain.callers import Machine, Origin
from service.domain.ids import SubscriptionId, mint
from service.domain.resource_kinds import Kind
from service.recovery.history_to_rows import Recovered, recover
from service.runtime.clock import Clock
from service.runtime.settings import git_url
from sql.database import PLATFORM, Database, Transaction
from sql.errors import LimitExceeded, UnfitValue, UniqueConflict, WriteConflict
from sql.queries import rebuild as rows
from sql.queries import reconcile, resources, tenancy
from sql.queries.audit_logs import Values
from sql.queries.rebuild import PastVersion
from sql.queries.reconcile import VersionFact
from sql.queries.tenancy import SubscriptionRow

__all__ = ["LOST", "Outcome", "Progress", "rebuild"]

Progress = Callable[[str], None]
Result = Literal["rebuilt", "readable", "done_before", "kept", "refused"]

# Versions of one statement: with documents of 6.6 KB, about 7 MB.
CHUNK = 1000

LOST = (
    "settings of subscriptions (`PATCH S`): `name`, now the id; `require_if_match`, now off",
    "which origins may call (`cors_origins`), now none, and `clone_after_purge`: all who read may clone",
    "API keys: issue new ones (`POST S/api-keys`); the operator's is made by the next `annals serve`",
    "roles and e-mail addresses: everybody in the history is a viewer without an address (`PATCH S/users/…`)",
    "which users are service accounts: all are persons",
    "users who never wrote anything; and whether one who did was deleted since",
    "check-outs, and that a version was made by a check-in (`checked_in_at`)",
    "comments, though the first one of a version stays in its commit's message",
    "tags that were taken away: who did so, and when",
    "requests of `cascade_delete_workspace`: ask again for what was not deleted",
    "quotas, audit policies, retention policies, legal holds, and that a subscription was closed",
    "audit logs and all other logs, and results kept for Idempotency-Keys",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result for one subscription; `reason` says why it was refused, `counts` the rows of each table.

    `strays` are commits left out because no ref reaches them; `foreign` are refs that Annals did not make.
    """

    subscription_id: str
    result: Result
    reason: str | None = None
    head: str | None = None
    published: str | None = None
    commits: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    strays: Sequence[Stray] = ()
    foreign: Sequence[str] = ()


def rebuild(
    database: Database,
    store: Store,
    clock: Clock,
    *,
    public_url: str,
    only_missing: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> Iterator[Outcome]:
    """Add each subscription that has a repository here but no rows, and yield the result for each.

    Refuses all of them if the database has one that no rebuild made; with `only_missing`, keeps this one and
    adds the others. A dry run reads and checks everything, and writes nothing. Raises DatabaseUnavailable:
    finished subscriptions stay, and the next run continues after them.
    """
    ids = [SubscriptionId(UUID(each)) for each in store.subscription_ids()]
    with database.transaction(PLATFORM) as tx:
        present = rows.present(tx, ids)
        rebuilt = rows.recorded(tx, list(present), Action.REBUILD)
    in_use = present - rebuilt
    request_id = f"rebuild-{mint()}"
    for subscription_id in ids:
        shown = str(subscription_id)
        if subscription_id in rebuilt:
            yield Outcome(subscription_id=shown, result="done_before")
        elif subscription_id in in_use and only_missing:
            yield Outcome(subscription_id=shown, result="kept")
        elif subscription_id in in_use:
            yield Outcome(subscription_id=shown, result="refused", reason="the database has it already")
        elif in_use and not only_missing:
            reason = "the database has other subscriptions of these repositories, and is not a lost one"
            yield Outcome(subscription_id=shown, result="refused", reason=reason)
        else:
            work = _SubscriptionRebuild(
                database, store, clock, public_url, subscription_id, request_id, dry_run, progress
            )
            yield work.run()


@dataclass(frozen=True, slots=True)
class _SubscriptionRebuild:
    """The rebuild of one subscription."""

    database: Database
    store: Store
    clock: Clock
    public_url: str
    subscription_id: SubscriptionId
    request_id: str
    dry_run: bool
    progress: Progress

    def run(self) -> Outcome:
        """Rebuild the subscription; a repository that can't be understood is refused."""
        try:
            repository = RepositoryReader(self.store.path(str(self.subscription_id)))
        except GitStoreError as error:
            return self._refused(error)
        try:
            return self._run(repository)
        finally:
            repository.close()

    def _run(self, repository: RepositoryReader) -> Outcome:
        strays: Sequence[Stray] = ()
        try:
            strays = repository.strays()
            self.progress(f"{self.subscription_id}: reading the history …")
            at = self.clock()
            url = git_url(self.public_url, self.subscription_id)
            recovered = recover(repository, self.subscription_id, git_url=url, at=at)
            if not self.dry_run:
                self._write(repository, recovered, at, len(strays))
        except GitStoreError as error:
            return self._refused(error, strays)
        except UniqueConflict as error:
            if error.constraint == "pk_subscriptions":
                return self._refused("another rebuild has just written it", strays)
            return self._refused(f"the database refused a row: {error}", strays)
        except (LimitExceeded, UnfitValue, WriteConflict) as error:
            return self._refused(f"the database refused a row: {error}", strays)
        return Outcome(
            subscription_id=str(self.subscription_id),
            result="readable" if self.dry_run else "rebuilt",
            head=recovered.tips.head,
            published=recovered.tips.published,
            commits=recovered.tips.commits,
            counts=recovered.counts(),
            strays=strays,
            foreign=repository.tips.foreign,
        )

    def _refused(self, why: object, strays: Sequence[Stray] = ()) -> Outcome:
        return Outcome(
            subscription_id=str(self.subscription_id), result="refused", reason=str(why), strays=strays
        )

    def _write(self, repository: RepositoryReader, recovered: Recovered, at: datetime, strays: int) -> None:
        subscription_id, since = self.subscription_id, recovered.created_at
        with self.database.transaction(subscription_id) as tx:
            # Inserted first: of two rebuilds at the same time, one waits here and is then refused.
            tenancy.insert_subscription(
                tx, SubscriptionRow(subscription_id, str(subscription_id), since, False)
            )
            rows.insert_actors(tx, subscription_id, recovered.actors)
            rows.insert_users(tx, subscription_id, recovered.users)
            for kind in Kind:
                rows.insert_resources(tx, subscription_id, kind, recovered.resources[kind])
            self._write_versions(tx, repository, recovered.versions)
            rows.insert_publications(tx, subscription_id, recovered.publications)
            rows.insert_tags(tx, subscription_id, recovered.tags)
            rows.insert_deletions(tx, subscription_id, recovered.deletions)
            rows.insert_repository(tx, subscription_id, recovered.tips, since)
            _verify(tx, repository, recovered)
            self._record(tx, recovered, at, strays)

    def _write_versions(
        self, tx: Transaction, repository: RepositoryReader, versions: Sequence[PastVersion]
    ) -> None:
        rest = iter(versions)
        written = 0
        while chunk := list(islice(rest, CHUNK)):
            rows.insert_versions(
                tx,
                self.subscription_id,
                [(row, repository.read_blob(row.git_blob_id).decode()) for row in chunk],
            )
            written += len(chunk)
            self.progress(f"{self.subscription_id}: {written} of {len(versions)} versions …")

    def _record(self, tx: Transaction, recovered: Recovered, at: datetime, strays: int) -> None:
        origin = Origin(
            request_id=self.request_id,
            ip_address=None,
            user_agent=None,
            endpoint="annals rebuild --from-git",
            method="COMMAND",
        )
        tips = recovered.tips
        made: Values = {
            "head_commit": tips.head,
            "published_commit": tips.published,
            "commits": tips.commits,
            "rows": recovered.counts(),
            "commits_left_out": strays,
        }
        events.record(
            tx,
            Machine(username="operator", origin=origin),
            self.subscription_id,
            Subject("subscription", self.subscription_id, str(self.subscription_id)),
            Action.REBUILD,
            at,
            new=made,
        )


def _verify(tx: Transaction, repository: RepositoryReader, recovered: Recovered) -> None:
    """Read the rows back; raises NotUnderstood if they differ from the history or the trees."""
    subscription_id = recovered.subscription_id
    found = rows.counts(tx, subscription_id)
    if found != recovered.counts():
        raise NotUnderstood(f"{found} rows were written instead of {recovered.counts()}")
    if {row.deletion_id: row for row in rows.stored_deletions(tx, subscription_id)} != {
        row.deletion_id: row for row in recovered.deletions
    }:
        raise NotUnderstood("deletions were written otherwise than git has them")
    living = {
        (row.resource_type, row.resource_id)
        for row in resources.every(tx, subscription_id)
        if row.deleted_at is None
    }
    meant = {version.version_id: version for version in recovered.versions}
    current: dict[str, str] = {}
    published: dict[str, str] = {}
    for row in reconcile.versions(tx, subscription_id):
        version = meant[row.version_id]
        if row != VersionFact(*(getattr(version, name) for name in VersionFact._fields)):
            raise NotUnderstood(f"version {row.version_id} was written otherwise than git has it")
        path = path_of(row)
        if row.is_current and (row.resource_type, row.resource_id) in living:
            current[path] = row.git_blob_id
        if row.is_published:
            published[path] = row.git_blob_id
    if current != repository.files(repository.tips.main):
        raise NotUnderstood("the current versions of what lives are not what the tree of main holds")
    if published != repository.files(repository.tips.published):
        raise NotUnderstood("the published versions are not what the tree of published holds")
