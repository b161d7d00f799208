"""All that is looked at of one subscription, in an order in which nothing is told twice."""

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from gitstore.errors import GitStoreError
from gitstore.read import inspection
from gitstore.read.branch_log import walk
from gitstore.read.inspection import Objects
from gitstore.store import Store, snapshot_path
from service.committer.refs import MAIN, PUBLISHED
from service.domain.ids import SubscriptionId
from service.recovery import ref_repairs
from service.recovery.checks import (
    check_out_mirrors,
    deletions,
    documents,
    files,
    resources,
    tag_objects,
    unreadable,
)
from service.recovery.checks.deletions import Past, read_past
from service.recovery.checks.findings import Code, Damage, Finding, Recorder
from service.recovery.checks.main_branch import Correction, Facts, Main, read_main
from service.recovery.checks.published_branch import read_published
from service.recovery.checks.refs import RefsCheck
from service.recovery.checks.trailers import Author, told_by
from sql.database import OWNER_ROLE, Database, Transaction
from sql.errors import SchemaError
from sql.queries import rebuild, reconcile, repositories
from sql.queries import resources as resource_rows
from sql.queries.reconcile import Mirror, TagFact
from sql.queries.repositories import Tips


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How closely to look at a subscription, and whom to tell how far that is."""

    history: bool
    objects: bool
    grace_seconds: float
    progress: Callable[[str], None]


class SubscriptionCheck:
    """Looks at one subscription; `versions` is how many it compared."""

    def __init__(self, database: Database, store: Store, subscription_id: SubscriptionId, look: Look) -> None:
        self.versions = 0
        self._database = database
        self._store = store
        self._subscription_id = subscription_id
        self._path = store.path(str(subscription_id))
        self._look = look
        # Versions of whose document was told that it differs.
        self._other_documents: set[UUID] = set()

    def damages(self, now: datetime) -> Iterator[Damage]:
        """What is wrong; what was yielded may be mended before the next is asked for.

        Raises GitStoreError where the repository can't be read, and the errors of `sql.errors`.
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
        """Compare the history, after the refs: where a branch's row can't be trusted, its ref is read."""
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
                # Told of its ref; the versions that went with it are not.
                if lost := unreadable.described(self._path, facts):
                    yield Damage(self._finding(Code.NOT_VERIFIED, "main", found=lost))
                return
            try:
                main = self._main(facts, head, objects)
            except GitStoreError as error:
                lost = unreadable.described(self._path, facts) or "every version's commit and blob are there"
                yield Damage(self._finding(Code.NOT_VERIFIED, "main", found=f"{lost}; {error}"))
                return
            # The row counts the other line.
            yield from self._told(main, counted=MAIN not in refs_check.forked)
            branch = self._published(facts, main, published, objects)
            if isinstance(branch, Finding):
                yield Damage(branch)
            else:
                yield from self._told(branch)
            yield from self._tag_objects(facts, main, objects)
            untold = main.touched if isinstance(branch, Finding) else main.touched | branch.touched
            yield from self._mirrors(facts, untold)
            yield from self._content(facts, main, objects)
            past = read_past(main, None if isinstance(branch, Finding) else branch, objects)
            yield from self._deletions(facts, main, past, now)
            yield from self._resources(facts, main, past, untold | past.untold, objects)

    def _main(self, facts: Facts, head: str | None, objects: Objects) -> Main:
        self._look.progress(f"  reading {len(facts.versions)} versions")

        def read() -> Main:
            commits = iter(()) if head is None else walk(self._path, head)
            return read_main(self._subscription_id, facts, commits, exists=objects.exists)

        return _twice(read)

    def _published(self, facts: Facts, main: Main, published: str | None, objects: Objects) -> Main | Finding:
        if published is not None and not objects.is_commit(published):
            # Told of its ref.
            return Main(self._subscription_id)

        def read() -> Main:
            return read_published(facts, main, iter(()) if published is None else walk(self._path, published))

        try:
            return _twice(read)
        except GitStoreError as error:
            return self._finding(Code.NOT_VERIFIED, "published", found=str(error))

    def _told(self, branch: Main, *, counted: bool = True) -> Iterator[Damage]:
        for finding, correction in branch.found:
            if correction is not None:
                yield self._correctable(finding, correction)
            elif finding.code is Code.COMMIT_COUNT_DIFFERS:
                if counted:
                    yield Damage(finding, partial(self._correct_commits, finding))
            else:
                yield Damage(finding)

    def _correctable(self, finding: Finding, correction: Correction | None) -> Damage:
        return Damage(finding, None if correction is None else partial(self._correct, correction))

    def _correct(self, correction: Correction, record: Recorder) -> str:
        self._check_owner()
        with self._database.transaction(self._subscription_id, role=OWNER_ROLE) as tx:
            if correction.author is not None:
                self._add_author(tx, correction.author)
            reconcile.correct(
                tx, self._subscription_id, correction.version_id, correction.column, correction.value
            )
            record.within(tx, done := f"{correction.column} was set to what git says")
        return done

    def _check_owner(self) -> None:
        with self._database.transaction(self._subscription_id) as tx:
            if not reconcile.may_correct(tx):
                raise SchemaError(
                    "this login may not change versions or deletions: run it as one that may be annals_owner"
                )

    def _add_author(self, tx: Transaction, author: Author) -> None:
        reconcile.add_actor(tx, self._subscription_id, author.user_id, author.username)

    def _correct_commits(self, finding: Finding, record: Recorder) -> str:
        expected, found = int(str(finding.expected)), int(str(finding.found))
        with self._database.transaction(self._subscription_id) as tx:
            if not reconcile.correct_commits(tx, self._subscription_id, since=found, by=expected - found):
                raise ref_repairs.Changed("commits were added meanwhile")
            record.within(tx, done := f"corrected by {expected - found}")
        return done

    # -- what repeats the history ---------------------------------------------------------------------

    def _tags_at_fault(self) -> set[str]:
        """Refs of tags whose row names an object that does not fit: the row is told of, not the ref."""
        with self._database.transaction(self._subscription_id) as tx:
            tags = reconcile.tags(tx, self._subscription_id)
        with closing(Objects(self._path)) as objects:
            return {
                each.finding.subject
                for each in tag_objects.differences(
                    self._subscription_id, tags, lambda tag: tag.git_commit_hash, objects, {}
                )
            }

    def _tag_objects(self, facts: Facts, main: Main, objects: Objects) -> Iterator[Damage]:
        def commit_of(tag: TagFact) -> str:
            named = main.named.get(tag.version_id)
            return tag.git_commit_hash if named is None else named.commit_id

        present = inspection.read_refs(self._path).named if facts.tags else {}
        found = tag_objects.differences(self._subscription_id, facts.tags, commit_of, objects, present)
        for finding, tag, right in found:
            yield Damage(finding, None if right is None else partial(self._correct_tag, tag, right))

    def _correct_tag(self, tag: TagFact, right: str, record: Recorder) -> str:
        with self._database.transaction(self._subscription_id) as tx:
            reconcile.correct_tag_object(tx, self._subscription_id, tag.tag_id, right)
            record.within(tx, done := f"the row names {right} again")
        return done

    def _mirrors(self, facts: Facts, untold: Collection[UUID]) -> Iterator[Damage]:
        for finding, version_id, column in check_out_mirrors.differences(
            self._subscription_id, facts, untold=untold
        ):
            yield Damage(finding, partial(self._mirror, version_id, column))

    def _mirror(self, version_id: UUID, column: Mirror, record: Recorder) -> str:
        with self._database.transaction(self._subscription_id) as tx:
            # No batch changes it meanwhile.
            repositories.lock(tx, self._subscription_id)
            if not reconcile.mirror(tx, self._subscription_id, version_id, column):
                return "it is right by now"
            record.within(tx, done := f"{column} was set to what the other rows say")
        return done

    def _content(self, facts: Facts, main: Main, objects: Objects) -> Iterator[Damage]:
        for finding, correction in documents.differences(
            self._database, self._subscription_id, facts, main, objects, self._look.progress
        ):
            if correction is not None and finding.code is Code.DATA_DIFFERS:
                self._other_documents.add(correction.version_id)
            yield self._correctable(finding, correction)

    def _deletions(self, facts: Facts, main: Main, past: Past, now: datetime) -> Iterator[Damage]:
        with self._database.transaction(self._subscription_id) as tx:
            other_data = reconcile.deletions_of_other_data(
                tx, self._subscription_id, without=self._other_documents
            )
        found = deletions.differences(
            self._subscription_id,
            facts,
            main,
            past,
            untold=main.touched | past.untold,
            other_data=other_data,
            now=now,
        )
        for finding, fix in found:
            yield Damage(finding, None if fix is None else partial(self._fix, main.newest, fix))

    def _fix(self, read_up_to: str | None, fix: deletions.Fix, record: Recorder) -> str:
        self._check_owner()
        with self._database.transaction(self._subscription_id, role=OWNER_ROLE) as tx:
            self._hold(tx, read_up_to, fix.path)
            for author in fix.authors:
                self._add_author(tx, author)
            record.within(tx, done := fix.put(tx, self._subscription_id))
        return done

    def _hold(self, tx: Transaction, read_up_to: str | None, path: str) -> None:
        """Let no batch run; raises Changed where one since that commit may have changed what is at a path."""
        head = repositories.lock(tx, self._subscription_id).head
        if head is None or head == read_up_to:
            return
        for commit in walk(self._path, head, without=read_up_to):
            deletion = told_by(commit.message).deletion
            # One for good is an empty commit.
            if path in commit.changes or (deletion is not None and deletion.until is None):
                raise ref_repairs.Changed(f"{path} was changed meanwhile")

    def _resources(
        self, facts: Facts, main: Main, past: Past, untold: Collection[UUID], objects: Objects
    ) -> Iterator[Damage]:
        for finding, correction in resources.differences(
            self._subscription_id, facts, main, past, objects, untold=untold
        ):
            mend = None if correction is None else partial(self._correct_resource, main.newest, correction)
            yield Damage(finding, mend)

    def _correct_resource(
        self, read_up_to: str | None, correction: resources.Correction, record: Recorder
    ) -> str:
        (kind, resource_id), values = correction.key, correction.values
        with self._database.transaction(self._subscription_id) as tx:
            # A batch since may have made what was wrong part of a snapshot.
            self._hold(tx, read_up_to, snapshot_path(kind.collection, str(resource_id)))
            self._add_author(tx, correction.author)
            if correction.is_new:
                rebuild.insert_resources(tx, self._subscription_id, kind, [values])
                done = "made again as git says"
            elif resource_rows.correct(tx, self._subscription_id, kind, resource_id, values):
                done = f"{', '.join(values)} set to what git says"
            else:
                return "it is right by now"
            record.within(tx, done)
        return done

    def _objects(self) -> Iterator[Damage]:
        self._look.progress("  reading every object")
        said = inspection.fsck(self._path)
        if said:
            # Beside writers a pack may come or go while git reads: what it says twice is true.
            again = set(inspection.fsck(self._path))
            said = [line for line in said if line in again]
        for line in said:
            yield Damage(self._finding(Code.OBJECT_CORRUPT, self._path.name, found=line))

    def _finding(self, code: Code, about: str, *, found: str) -> Finding:
        return Finding(code=code, subscription_id=self._subscription_id, subject=about, found=found)


def _twice(read: Callable[[], Main]) -> Main:
    """Read once more where git fails: upkeep may have removed a pack that it was about to read."""
    try:
        return read()
    except GitStoreError:
        return read()
