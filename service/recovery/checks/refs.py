"""Check that every ref is where its row says, and find other refs and stale locks."""

import time
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from gitstore.errors import GitStoreError
from gitstore.read import branch_log, inspection
from gitstore.read.inspection import Objects, Refs
from gitstore.store import Store
from service.committer.refs import MAIN, PUBLISHED, settle
from service.domain.ids import SubscriptionId
from service.recovery import ref_repairs
from service.recovery.checks.findings import Code, Damage, Finding, Recorder, Repair
from service.recovery.ref_repairs import TAGS, full_name
from service.recovery.trailers import read_trailers
from sql.database import Database
from sql.queries import reconcile, repositories

_KEPT = "refs/annals/"
_LOOKS = 10


@dataclass(frozen=True, slots=True)
class _Suspect:
    code: Code
    ref: str
    expected: str | None
    found: str | None
    # True for a tag whose row says that its ref still has to be written or removed.
    owed: bool = False

    @property
    def passes(self) -> bool:
        """True if a running committer would repair this by itself within a moment."""
        return (
            self.code is Code.REF_BEHIND
            or self.owed
            or (self.code is Code.REF_MISSING and not self.ref.startswith(TAGS))
        )


class RefsCheck:
    """Checks the refs of one subscription under the lock on refs.

    A suspect that a batch may be about to repair counts only if its ref stays the same for `grace_seconds`.
    """

    def __init__(
        self, database: Database, store: Store, subscription_id: SubscriptionId, *, grace_seconds: float
    ) -> None:
        self._database = database
        self._store = store
        self._subscription_id = subscription_id
        self._path = store.path(str(subscription_id))
        self._grace_seconds = grace_seconds
        # By branch with a wrong row: the commit from which to read the branch instead.
        self.stand_ins: dict[str, str] = {}
        # Branches that forked into two lines, both with rows: a person has to decide which line counts.
        self.forked: set[str] = set()

    # Rows are committed before their refs move, and refs move only under the lock that `_look` takes. So
    # batches may meanwhile leave a ref behind its row, but nothing else that looks like damage.
    def damages(self, now: datetime, *, ignored: Collection[str]) -> Iterator[Damage]:
        """Yield the damages; `ignored` are refs whose rows are known to be wrong."""
        suspects, locks = self._look()
        passing = {(each.ref, each.found) for each in suspects if each.passes}
        deadline = time.monotonic() + self._grace_seconds
        while passing and time.monotonic() < deadline:
            time.sleep(self._grace_seconds / _LOOKS)
            suspects, locks = self._look()
            passing &= {(each.ref, each.found) for each in suspects if each.passes}
        for lock, made in sorted(locks.items()):
            if now.timestamp() - made >= self._grace_seconds:
                yield self._lock(lock)
        for suspect in suspects:
            if suspect.ref in ignored or (suspect.passes and (suspect.ref, suspect.found) not in passing):
                continue
            yield self._damage(suspect)

    def _look(self) -> tuple[list[_Suspect], dict[Path, float]]:
        with self._database.transaction(self._subscription_id) as tx:
            repositories.lock_refs(tx, self._subscription_id)
            wanted = ref_repairs.wanted(tx, self._subscription_id)
            owed = {
                full_name(tag) for tag in reconcile.tags(tx, self._subscription_id) if not tag.ref_is_settled
            }
            refs = inspection.read_refs(self._path)
        return list(self._suspects(refs, wanted, owed)), refs.locks

    def _suspects(self, refs: Refs, wanted: dict[str, str], owed: set[str]) -> Iterator[_Suspect]:
        if refs.head != inspection.HEAD:
            yield _Suspect(Code.HEAD_DIFFERS, "HEAD", inspection.HEAD, refs.head)
        for ref, content in refs.broken.items():
            yield _Suspect(Code.REF_BROKEN, ref, wanted.get(ref), content)
        for ref in sorted({*wanted, *refs.named} - set(refs.broken)):
            expected, found = wanted.get(ref), refs.named.get(ref)
            if ref in (MAIN, PUBLISHED):
                yield from self._branch(ref, expected, found)
            elif expected == found or ref.startswith(_KEPT):
                continue
            elif expected is None:
                yield _Suspect(Code.REF_UNEXPECTED, ref, expected, found, ref in owed)
            elif found is None:
                yield _Suspect(Code.REF_MISSING, ref, expected, found, ref in owed)
            else:
                yield _Suspect(Code.REF_DIFFERS, ref, expected, found, ref in owed)

    def _branch(self, ref: str, expected: str | None, found: str | None) -> Iterator[_Suspect]:
        with closing(Objects(self._path)) as objects:
            code = _branch_code(objects, expected, found)
        if code is not None:
            yield _Suspect(code, ref, expected, found)

    # -- repairs --------------------------------------------------------------------------------------

    def _damage(self, suspect: _Suspect) -> Damage:
        code, repair = suspect.code, self._repair(suspect)
        if code is Code.TIP_MISSING and suspect.found is not None:
            self.stand_ins[suspect.ref] = suspect.found
        if code in (Code.REF_AHEAD, Code.REF_DIVERGED) and self._is_known(suspect):
            # The row is wrong: rows of versions and publications say that the ref is right.
            is_ahead, code = code is Code.REF_AHEAD, Code.TIP_BEHIND
            self.stand_ins[suspect.ref] = str(suspect.found)
            repair = partial(self._advance_row, suspect) if is_ahead else None
            if not is_ahead:
                self.forked.add(suspect.ref)
            finding = self._finding(code, suspect.ref, suspect.found, suspect.expected)
            return Damage(finding, repair)
        if suspect.owed:
            code = Code.REF_BEHIND
        return Damage(self._finding(code, suspect.ref, suspect.expected, suspect.found), repair)

    def _repair(self, suspect: _Suspect) -> Repair | None:
        if suspect.code is Code.TIP_MISSING:
            return None
        if suspect.code is Code.HEAD_DIFFERS:
            return lambda record: ref_repairs.reset_head(
                self._database, self._store, self._subscription_id, record
            )
        if suspect.passes:
            return partial(self._settle, suspect)
        return partial(self._put_back, suspect)

    def _settle(self, suspect: _Suspect, record: Recorder) -> str:
        record(done := "moved to what its row says")
        settle(self._database, self._store, self._subscription_id)
        return done

    def _put_back(self, suspect: _Suspect, record: Recorder) -> str:
        return ref_repairs.put_back(
            self._database, self._store, self._subscription_id, suspect.ref, suspect.found, record
        )

    def _advance_row(self, suspect: _Suspect, record: Recorder) -> str:
        return ref_repairs.advance_row(
            self._database, self._store, self._subscription_id, suspect.ref, str(suspect.found), record
        )

    def _lock(self, lock: Path) -> Damage:
        finding = self._finding(Code.STALE_LOCK, str(lock.relative_to(self._path)), None, "a lock")
        return Damage(
            finding,
            lambda record: ref_repairs.remove_lock(
                self._database, self._store, self._subscription_id, lock, record
            ),
        )

    def _is_known(self, suspect: _Suspect) -> bool:
        """Check whether rows name commits that are on the ref, but not in the history of the branch's row."""
        try:
            commits = list(branch_log.read_branch(self._path, str(suspect.found), without=suspect.expected))
        except GitStoreError:
            return False
        read = [read_trailers(commit.message) for commit in commits]
        with self._database.transaction(self._subscription_id) as tx:
            if suspect.ref == MAIN:
                ids = {line.version_id for each in read for line in each.versions}
                return bool(
                    reconcile.named_versions(tx, self._subscription_id, ids)
                ) or reconcile.has_deletions(tx, self._subscription_id, [each.commit_id for each in commits])
            rows = reconcile.publications(tx, self._subscription_id)
        events = {(row.version_id, at) for row in rows for at in (row.published_at, row.unpublished_at)}
        return any(
            (line.version_id, each.time) in events
            for each in read
            for line in each.published + each.unpublished
        )

    def _finding(self, code: Code, ref: str, expected: str | None, found: str | None) -> Finding:
        return Finding.of(code, self._subscription_id, ref, expected=expected, found=found)


def _branch_code(objects: Objects, expected: str | None, found: str | None) -> Code | None:
    if expected is not None and not objects.is_commit(expected):
        return Code.TIP_MISSING
    if expected == found:
        return None
    if found is None:
        return Code.REF_MISSING
    if not objects.is_commit(found):
        return Code.REF_DIVERGED
    if expected is None or objects.descends(found, expected):
        return Code.REF_AHEAD
    return Code.REF_BEHIND if objects.descends(expected, found) else Code.REF_DIVERGED
