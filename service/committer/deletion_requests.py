"""Make the deletions that operators request in SQL: in order, by one host at a time per subscription."""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from gitstore.errors import GitStoreError
from service.audit import events
from service.audit.events import Subject
from service.committer.changes import Delete, Deleted, Purge
from service.committer.group_commit import GroupCommit, carry_out
from service.domain.actions import Action
from service.domain.audit_policy import Policy
from service.domain.callers import Member, Origin
from service.domain.errors import AnnalsError, Internal, NotDeleted, RequestInFlight, Unavailable
from service.domain.idempotency import Attempt, BodyDigests
from service.domain.ids import ResourceId, SubscriptionId, UserId
from service.domain.resource_kinds import Kind
from service.runtime.clock import Clock
from sql.database import PLATFORM, Database, Transaction
from sql.errors import DatabaseUnavailable, WriteConflict
from sql.queries import audit_logs, audit_policies, deletion_requests, resources
from sql.queries.deletion_requests import RequestRow

log = structlog.get_logger(__name__)

FUNCTION = "cascade_delete_workspace"
METHOD = "SQL"
# Pause between two looks for requests, and after a failure of a store.
LOOK_SECONDS = 1.0
RETRY_SECONDS = 10.0

# Failures that can pass: the request waits for another try. Any other error is recorded as its outcome.
_PASSING = (Unavailable, RequestInFlight, DatabaseUnavailable, WriteConflict, GitStoreError)


class DeletionRequests:
    """Makes the requested deletions, in a thread of its own; the next round retries those that wait."""

    def __init__(
        self, database: Database, group: GroupCommit, *, clock: Clock, restorable_for: timedelta
    ) -> None:
        self._database = database
        self._group = group
        self._clock = clock
        self._restorable_for = restorable_for
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deletion-requests", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current deletion."""
        self._stop.set()
        self._thread.join()

    def carry_out(self, subscription_id: SubscriptionId) -> bool:
        """Make the requested deletions of a subscription, the oldest first; False if a store failed.

        Does nothing while another host makes them. Each deletion takes a second connection.
        """
        while not self._stop.is_set():
            with self._database.transaction(subscription_id) as tx:
                if not deletion_requests.try_lock(tx, subscription_id):
                    return True
                request = deletion_requests.oldest(tx, subscription_id)
                if request is None:
                    return True
                if not self._carry_out(tx, subscription_id, request):
                    return False
        return True

    def _run(self) -> None:
        pause = LOOK_SECONDS
        while not self._stop.wait(pause):
            pause = LOOK_SECONDS if _succeeds(self._look) else RETRY_SECONDS

    def _look(self) -> bool:
        with self._database.transaction(PLATFORM) as tx:
            waiting = deletion_requests.subscriptions(tx)
        # A list, not a generator: a failure of one subscription must not skip the others.
        done = [_succeeds(partial(self.carry_out, SubscriptionId(each))) for each in waiting]
        return all(done)

    def _carry_out(self, tx: Transaction, subscription_id: SubscriptionId, request: RequestRow) -> bool:
        """Make a requested deletion and record its outcome; False if a store failed and the request waits."""
        author = _author(tx, subscription_id, request)
        try:
            done = self._delete(author, request)
        except _PASSING as error:
            log.warning(
                "a request for a deletion has to wait", request_id=str(request.request_id), error=repr(error)
            )
            return False
        except AnnalsError as error:
            self._refuse(tx, author, request, error)
        except Exception:
            log.exception("a request for a deletion failed", request_id=str(request.request_id))
            self._refuse(tx, author, request, Internal("The service failed; its log has the details."))
        else:
            deletion_requests.finish(
                tx,
                subscription_id,
                request.request_id,
                at=self._clock(),
                deletion_id=done.deletion.deletion_id,
            )
        return True

    def _refuse(self, tx: Transaction, author: Member, request: RequestRow, error: AnnalsError) -> None:
        """Record a refused deletion in its request and in the audit log."""
        at, problem = self._clock(), f"{error.code}: {error.detail}"
        row = resources.find(tx, author.subscription_id, Kind.WORKSPACE, request.workspace_id)
        subject = Subject(Kind.WORKSPACE, request.workspace_id, None) if row is None else Subject.of(row)
        event = events.refusal(
            author.origin,
            author,
            author.subscription_id,
            subject,
            Action.DELETE,
            at,
            status="failed",
            error=problem,
        )
        audit_logs.insert_rows(tx, [event])
        deletion_requests.finish(
            tx, author.subscription_id, request.request_id, at=at, problem=event.error_message
        )

    def _delete(self, author: Member, request: RequestRow) -> Deleted:
        """Delete a workspace, softly or for good; repeated attempts delete it once."""
        delete = Delete(
            author=author,
            once=_attempt(request, "delete"),
            kind=Kind.WORKSPACE,
            resource_id=ResourceId(request.workspace_id),
            reason=author.origin.reason,
            restorable_for=self._restorable_for,
        )
        if request.is_soft_delete:
            return carry_out(self._group, delete)
        purge = Purge(
            author=author,
            once=_attempt(request, "purge"),
            kind=Kind.WORKSPACE,
            resource_id=ResourceId(request.workspace_id),
            reason=author.origin.reason,
        )
        try:
            return carry_out(self._group, purge)
        except NotDeleted:
            carry_out(self._group, delete)
            return carry_out(self._group, purge)


def _succeeds(work: Callable[[], bool]) -> bool:
    try:
        return work()
    except DatabaseUnavailable as error:
        log.warning("requests for deletions have to wait", error=repr(error))
    except Exception:
        log.exception("requests for deletions could not be carried out")
    return False


def _author(tx: Transaction, subscription_id: SubscriptionId, request: RequestRow) -> Member:
    name = f"deletion-request-{request.request_id}"
    return Member(
        user_id=UserId(request.requested_by),
        username=request.username,
        subscription_id=subscription_id,
        origin=Origin(
            request_id=name,
            ip_address=None,
            user_agent=None,
            endpoint=FUNCTION,
            method=METHOD,
            reason=f"requested in SQL: {name}",
        ),
        policy=Policy.of(audit_policies.rules(tx, subscription_id)),
    )


def _attempt(request: RequestRow, what: str) -> Attempt:
    """The Idempotency-Key of a request's change: a change that was stored before a crash is not repeated."""
    return Attempt.of(
        caller=str(request.requested_by),
        method=METHOD,
        path=f"{FUNCTION}/{what}",
        key=str(request.request_id),
        body=BodyDigests(request.workspace_id.bytes),
    )
