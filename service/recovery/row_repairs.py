"""Set rows of a subscription to what git or other rows say; each repair is recorded."""

from pathlib import Path

from gitstore.read.branch_log import read_branch
from gitstore.store import Store, snapshot_path
from service.domain.ids import SubscriptionId
from service.recovery.checks.deletions import DeletionRepair
from service.recovery.checks.findings import Finding, Recorder
from service.recovery.checks.main_branch import VersionCorrection
from service.recovery.checks.mirrors import MirrorColumn
from service.recovery.checks.resources import ResourceCorrection
from service.recovery.checks.tag_objects import TagCorrection
from service.recovery.ref_repairs import Outdated
from service.recovery.trailers import CommitAuthor, read_trailers
from sql.database import OWNER_ROLE, Database, Transaction
from sql.errors import SchemaError
from sql.queries import rebuild, reconcile, repositories
from sql.queries import resources as resource_rows


class RowRepairs:
    """The repairs of one subscription; each returns a description of the repair.

    Raises SchemaError if the login may not become the owner of the tables, Outdated if the damage is no
    longer as it was found, and the errors of `sql.errors`.
    """

    def __init__(self, database: Database, store: Store, subscription_id: SubscriptionId) -> None:
        self._database = database
        self._subscription_id = subscription_id
        self._path: Path = store.path(str(subscription_id))

    def correct_version(self, correction: VersionCorrection, record: Recorder) -> str:
        """Set a column of a version to git's value."""
        self._check_owner()
        with self._database.transaction(self._subscription_id, role=OWNER_ROLE) as tx:
            if correction.author is not None:
                self._add_author(tx, correction.author)
            reconcile.correct(
                tx, self._subscription_id, correction.version_id, correction.column, correction.value
            )
            record.within(tx, done := f"{correction.column} was set to what git says")
        return done

    def correct_commits(self, finding: Finding, record: Recorder) -> str:
        """Correct the number of commits in the repository's row, unless the row changed since."""
        expected, found = int(str(finding.expected)), int(str(finding.found))
        with self._database.transaction(self._subscription_id) as tx:
            if not reconcile.correct_commits(tx, self._subscription_id, since=found, by=expected - found):
                raise Outdated("commits were added meanwhile")
            record.within(tx, done := f"corrected by {expected - found}")
        return done

    def correct_tag(self, correction: TagCorrection, record: Recorder) -> str:
        """Set the object in the row of a tag to the right one."""
        with self._database.transaction(self._subscription_id) as tx:
            reconcile.correct_tag_object(tx, self._subscription_id, correction.tag.tag_id, correction.right)
            record.within(tx, done := f"the row names {correction.right} again")
        return done

    def correct_mirror(self, mirror: MirrorColumn, record: Recorder) -> str:
        """Set a column of a version to the value of the rows that it repeats."""
        with self._database.transaction(self._subscription_id) as tx:
            # Under this lock, no batch changes the column meanwhile.
            repositories.lock(tx, self._subscription_id)
            if not reconcile.mirror(tx, self._subscription_id, mirror.version_id, mirror.column):
                return "it is right by now"
            record.within(tx, done := f"{mirror.column} was set to what the other rows say")
        return done

    def repair_deletion(self, read_up_to: str | None, repair: DeletionRepair, record: Recorder) -> str:
        """Repair rows of a deletion, unless its resource was changed after the commit `read_up_to`."""
        self._check_owner()
        with self._database.transaction(self._subscription_id, role=OWNER_ROLE) as tx:
            self._lock_unchanged(tx, read_up_to, repair.path)
            for author in repair.authors:
                self._add_author(tx, author)
            done = repair.put(tx, self._subscription_id)
            repositories.forget_live(tx, self._subscription_id)
            record.within(tx, done)
        return done

    def correct_resource(
        self, read_up_to: str | None, correction: ResourceCorrection, record: Recorder
    ) -> str:
        """Correct or insert the row of a resource, unless it was changed after the commit `read_up_to`."""
        (kind, resource_id), values = correction.key, correction.values
        with self._database.transaction(self._subscription_id) as tx:
            # A batch may have committed the wrong value since the history was read: then it is the right one.
            self._lock_unchanged(tx, read_up_to, snapshot_path(kind.collection, str(resource_id)))
            self._add_author(tx, correction.author)
            if correction.is_new:
                rebuild.insert_resources(tx, self._subscription_id, kind, [values])
                done = "made again as git says"
            elif resource_rows.correct(tx, self._subscription_id, kind, resource_id, values):
                done = f"{', '.join(values)} set to what git says"
            else:
                return "it is right by now"
            repositories.forget_live(tx, self._subscription_id)
            record.within(tx, done)
        return done

    def _check_owner(self) -> None:
        with self._database.transaction(self._subscription_id) as tx:
            if not reconcile.may_correct(tx):
                raise SchemaError(
                    "this login may not change versions or deletions: run it as one that may be annals_owner"
                )

    def _add_author(self, tx: Transaction, author: CommitAuthor) -> None:
        reconcile.add_actor(tx, self._subscription_id, author.user_id, author.username)

    def _lock_unchanged(self, tx: Transaction, read_up_to: str | None, path: str) -> None:
        """Lock out batches; raises Outdated if a commit after `read_up_to` may have changed the resource."""
        head = repositories.lock(tx, self._subscription_id).head
        if head is None or head == read_up_to:
            return
        for commit in read_branch(self._path, head, without=read_up_to):
            deletion = read_trailers(commit.message).deletion
            # A deletion for good is an empty commit, so it may be of any resource.
            if path in commit.changes or (deletion is not None and deletion.until is None):
                raise Outdated(f"{path} was changed meanwhile")
