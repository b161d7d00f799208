"""Check one subscription, in an order in which no damage is reported twice."""

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from gitstore.errors import GitStoreError
from gitstore.read import inspection
from gitstore.read.branch_log import BranchCommit, read_branch
from gitstore.read.inspection import Objects
from gitstore.store import Store
from service.committer.refs import MAIN, PUBLISHED
from service.domain.ids import SubscriptionId
from service.recovery.checks import deletions, documents, files, mirrors, resources, tag_objects, unreadable
from service.recovery.checks.findings import Code, Damage, Finding, Recorder
from service.recovery.checks.main_branch import BranchCheck, Facts, MainCheck, VersionCorrection, check_main
from service.recovery.checks.published_branch import PublishedCheck, check_published
from service.recovery.checks.refs import RefsCheck
from service.recovery.row_repairs import RowRepairs
from sql.database import Database
from sql.queries import rebuild, reconcile
from sql.queries import resources as resource_rows
from sql.queries.reconcile import TagFact
from sql.queries.repositories import Tips

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The depth of the check of a subscription, and the callback for its progress."""

    history: bool
    objects: bool
    grace_seconds: float
    progress: Callable[[str], None]


class SubscriptionCheck:
    """Checks one subscription; `versions` is the number of versions that it compared."""

    def __init__(self, database: Database, store: Store, subscription_id: SubscriptionId, look: Look) -> None:
        self.versions = 0
        self._database = database
        self._store = store
        self._subscription_id = subscription_id
        self._path = store.path(str(subscription_id))
        self._look = look
        self._repairs = RowRepairs(database, store, subscription_id)
        # Versions already reported as differing from git.
        self._other_documents: set[UUID] = set()

    def damages(self, now: datetime) -> Iterator[Damage]:
        """Yield the damages; each may be repaired before the next is asked for.

        Raises GitStoreError if the repository can't be read, and the errors of `sql.errors`.
        """
        if not self._path.is_dir():
            yield from self._missing()
            return
        refs_check = RefsCheck(
            self._database, self._store, self._subscription_id, grace_seconds=self._look.grace_seconds
        )
        yield from files.of_repository(self._path, self._subscription_id, now)
        yield from refs_check.damages(now, ignored=self._tags_at_fault())
        if self._look.history:
            yield from self._history(refs_check, now)
        if self._look.objects:
            yield from self._objects()

    def _missing(self) -> Iterator[Damage]:
        facts = self._facts()
        if facts is None:
            return
        empty = facts.tips == Tips(None, None, 0) and not facts.versions
        finding = self._finding(
            Code.REPOSITORY_MISSING, self._path.name, found=f"{len(facts.versions)} versions"
        )
        yield Damage(finding, self._make_repository if empty else None)

    def _make_repository(self, record: Recorder) -> str:
        record(done := "an empty one was made, as nothing was in it")
        self._store.ensure(str(self._subscription_id))
        return done

    # -- history --------------------------------------------------------------------------------------

    def _facts(self) -> Facts | None:
        with self._database.transaction(self._subscription_id, snapshot=True) as tx:
            tips = reconcile.tips(tx, self._subscription_id)
            if tips is None:
                return None
            return Facts(
                tips,
                reconcile.versions(tx, self._subscription_id),
                reconcile.tags(tx, self._subscription_id),
                reconcile.publications(tx, self._subscription_id),
                rebuild.stored_deletions(tx, self._subscription_id),
                resource_rows.every(tx, self._subscription_id),
            )

    def _history(self, refs_check: RefsCheck, now: datetime) -> Iterator[Damage]:
        """Compare the history, once the refs are checked: a branch with a wrong row is read from its ref."""
        facts = self._facts()
        if facts is None:
            return
        self.versions = len(facts.versions)
        objects = Objects(self._path)
        with closing(objects):
            head, published = (
                refs_check.stand_ins.get(ref, tip)
                for ref, tip in ((MAIN, facts.tips.head), (PUBLISHED, facts.tips.published))
            )
            if head is not None and not objects.is_commit(head):
                # The check of refs reported the missing commit, but not the versions that were lost with it.
                if lost := unreadable.described(self._path, facts):
                    yield Damage(self._finding(Code.NOT_VERIFIED, "main", found=lost))
                return
            try:
                main = self._main(facts, head, objects)
            except GitStoreError as error:
                lost = unreadable.described(self._path, facts) or "every version's commit and blob are there"
                yield Damage(self._finding(Code.NOT_VERIFIED, "main", found=f"{lost}; {error}"))
                return
            # The row of a forked branch counts the commits of the other line.
            yield from self._branch(main, counted=MAIN not in refs_check.forked)
            branch = self._published(facts, main, published, objects)
            touched = main.touched
            if isinstance(branch, Finding):
                yield Damage(branch)
            else:
                yield from self._branch(branch)
                touched = main.touched | branch.touched
            yield from self._tag_objects(facts, main, objects)
            yield from self._mirrors(facts, touched)
            yield from self._content(facts, main, objects)
            if isinstance(branch, PublishedCheck):
                main.history.withdraw(branch.withdrawn)
            yield from self._deletions(facts, main, now, knows_published=not isinstance(branch, Finding))
            yield from self._resources(facts, main, objects, untold=touched | main.history.untold)

    def _commits(self, head: str | None) -> Iterator[BranchCommit]:
        return iter(()) if head is None else read_branch(self._path, head)

    def _main(self, facts: Facts, head: str | None, objects: Objects) -> MainCheck:
        self._look.progress(f"  reading {len(facts.versions)} versions")
        return _twice(
            lambda: check_main(
                self._subscription_id,
                facts,
                self._commits(head),
                exists=objects.exists,
                read_blob=objects.blob,
            )
        )

    def _published(
        self, facts: Facts, main: MainCheck, published: str | None, objects: Objects
    ) -> PublishedCheck | Finding:
        if published is not None and not objects.is_commit(published):
            # The check of refs reported the missing commit.
            return PublishedCheck(self._subscription_id)
        try:
            return _twice(
                lambda: check_published(self._subscription_id, facts, main, self._commits(published))
            )
        except GitStoreError as error:
            return self._finding(Code.NOT_VERIFIED, "published", found=str(error))

    def _branch(self, branch: BranchCheck, *, counted: bool = True) -> Iterator[Damage]:
        for finding, correction in branch.differences:
            if finding.code is not Code.COMMIT_COUNT_DIFFERS:
                yield self._correctable(finding, correction)
            elif counted:
                yield Damage(finding, partial(self._repairs.correct_commits, finding))

    def _correctable(self, finding: Finding, correction: VersionCorrection | None) -> Damage:
        return Damage(
            finding, None if correction is None else partial(self._repairs.correct_version, correction)
        )

    # -- rows that repeat the history -----------------------------------------------------------------

    def _tags_at_fault(self) -> set[str]:
        """Find the refs of tags whose row names a wrong object: the row is reported, not the ref."""
        with self._database.transaction(self._subscription_id) as tx:
            tags = reconcile.tags(tx, self._subscription_id)
        with closing(Objects(self._path)) as objects:
            return {
                each.finding.subject
                for each in tag_objects.differences(
                    self._subscription_id, tags, lambda tag: tag.git_commit_hash, objects, {}
                )
            }

    def _tag_objects(self, facts: Facts, main: MainCheck, objects: Objects) -> Iterator[Damage]:
        def commit_of(tag: TagFact) -> str:
            named = main.history.named.get(tag.version_id)
            return tag.git_commit_hash if named is None else named.commit_id

        present = inspection.read_refs(self._path).named if facts.tags else {}
        found = tag_objects.differences(self._subscription_id, facts.tags, commit_of, objects, present)
        for finding, correction in found:
            yield Damage(
                finding, None if correction is None else partial(self._repairs.correct_tag, correction)
            )

    def _mirrors(self, facts: Facts, touched: Collection[UUID]) -> Iterator[Damage]:
        for finding, mirror in mirrors.differences(self._subscription_id, facts, untold=touched):
            yield Damage(finding, None if mirror is None else partial(self._repairs.correct_mirror, mirror))

    def _content(self, facts: Facts, main: MainCheck, objects: Objects) -> Iterator[Damage]:
        for finding, correction in documents.differences(
            self._database, self._subscription_id, facts, main, objects, self._look.progress
        ):
            if correction is not None and finding.code is Code.DATA_DIFFERS:
                self._other_documents.add(correction.version_id)
            yield self._correctable(finding, correction)

    def _deletions(
        self, facts: Facts, main: MainCheck, now: datetime, *, knows_published: bool
    ) -> Iterator[Damage]:
        with self._database.transaction(self._subscription_id) as tx:
            other_data = reconcile.deletions_of_other_data(
                tx, self._subscription_id, without=self._other_documents
            )
        found = deletions.differences(
            self._subscription_id,
            facts,
            main,
            knows_published=knows_published,
            untold=main.touched | main.history.untold,
            other_data=other_data,
            now=now,
        )
        for finding, repair in found:
            put = self._repairs.repair_deletion
            yield Damage(finding, None if repair is None else partial(put, main.newest, repair))

    def _resources(
        self, facts: Facts, main: MainCheck, objects: Objects, *, untold: Collection[UUID]
    ) -> Iterator[Damage]:
        for finding, correction in resources.differences(
            self._subscription_id, facts, main.history, objects.blob, untold=untold
        ):
            put = self._repairs.correct_resource
            yield Damage(finding, None if correction is None else partial(put, main.newest, correction))

    def _objects(self) -> Iterator[Damage]:
        self._look.progress("  reading every object")
        said = inspection.fsck(self._path)
        if said:
            # A pack may appear or disappear while git reads: only lines that git prints twice are true.
            again = set(inspection.fsck(self._path))
            said = [line for line in said if line in again]
        for line in said:
            yield Damage(self._finding(Code.OBJECT_CORRUPT, self._path.name, found=line))

    def _finding(self, code: Code, about: str, *, found: str) -> Finding:
        return Finding.of(code, self._subscription_id, about, found=found)


def _twice(read: Callable[[], T]) -> T:
    """Read again if git fails: upkeep may have removed a pack that git was about to read."""
    try:
        return read()
    except GitStoreError:
        return read()
