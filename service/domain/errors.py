"""Errors of the domain, in families; `service/http/problems.py` alone knows which status each family has.

AnnalsError
├── Unauthenticated
├── Forbidden           CloneClosed, QuotaExceeded
├── NotFound            SubscriptionNotFound, UserNotFound, KeyNotFound, ResourceNotFound, ParentNotFound,
│                       VersionNotFound, CommitNotFound, DeletionNotFound, HoldNotFound, JobNotFound,
│                       RunNotFound, PlanNotFound, PathNotFound
├── MethodNotAllowed
├── Malformed           MalformedJson, MalformedGitRequest, MalformedOtlp, MalformedRequest
├── RequestLineTooLong
├── HeadTooLarge
├── TooSlow
├── Invalid
├── KeyReused
├── TooLarge            BodyTooLarge, DocumentTooLarge
├── UnsupportedMedia
├── Conflict            NameTaken, UsernameTaken, LastAdmin, OwnKey, TagTaken, FolderCycle, AmbiguousRef,
│                       ResourceDeleted, NotDeleted, StillRestorable, Held, HoldReleased,
│                       RestoreConflict, NotCheckedOut, NotHolder, RequestInFlight, NoPlan, PlanOutdated,
│                       SubscriptionClosed, SubscriptionOpen
├── Gone                NotRestorable
├── Locked              CheckedOut
├── PreconditionFailed  StaleVersion
├── PreconditionMissing IfMatchRequired
├── TooManyRequests     TooManyFailedLogins, KeyRateExceeded, SubscriptionRateExceeded
├── TooManyTails
├── Unavailable         DatabaseNotReachable, QueryTooLong, RoleMissing, Busy, OutcomeUnknown,
│                       StoreNotWritable, RefNotMoved
└── Internal

Each leaf has a stable `code`. The first line of its docstring is its title, the rest its meaning and the
caller's next step; both are the page at /docs/problems/{code}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class Fault:
    """Fault of the input, with a JSON pointer into the body, or into a line of it, or a parameter's name."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    line: int | None = None

    def shown(self) -> dict[str, str | int]:
        """Make the fault for an answer, without what it does not have."""
        place = {"line": self.line, "pointer": self.pointer, "parameter": self.parameter}
        return {name: value for name, value in place.items() if value is not None} | {"detail": self.detail}


class AnnalsError(Exception):
    """Refusal or failure that is reported to the caller."""

    code: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)
        self.facts = dict(facts or {})


class Unauthenticated(AnnalsError):
    """No valid credentials

    The request has no key, or one that is unknown, expired or deleted. Send `Authorization: Bearer <key>`;
    for git, give the key as the password.
    """

    code = "unauthenticated"
    # The Caller of an expired key; None for an unknown key.
    whose: Any = None
    # The GuessedKey of a wrong secret for a known key id; only the audit log tells it.
    guessed: Any = None


class Forbidden(AnnalsError):
    """The role does not permit this

    The key is valid and belongs to the subscription, but its user's role does not permit this call. An admin
    of the subscription can change the role. The operator's key creates subscriptions, users and keys, and
    reads none of their content.
    """

    code = "forbidden"


class OriginNotAllowed(Forbidden):
    """Pages of this origin may not call

    A browser asked if a page of another origin may call this address. Neither the subscription in the address
    nor the installation allows the origin; a subscription that does not exist allows none. `PATCH S` with
    `cors_origins` (admin, operator) or `ANNALS_CORS_ORIGINS` (operator) add it, written exactly as the
    browser sends it: scheme, host and port. Forms are taken from the pages of Annals alone.
    """

    code = "origin_not_allowed"


class CloneClosed(Forbidden):
    """Only admins may clone this subscription

    Something was deleted for good in the subscription, and its git history still has it. By the setting
    `clone_after_purge` only admins may clone or fetch from then on. Read through the API, or ask an admin.
    """

    code = "clone_closed"


class QuotaExceeded(Forbidden):
    """A quota of the subscription is used up

    The operator has set a quota for the subscription, and the call would go past it: `quota` names it,
    `limit` is its size, and `used` is what counts against it now. Nothing was stored. Quotas of a day begin
    anew at midnight UTC. `GET /v1/subscriptions/{subscription_id}` shows all of them.
    """

    code = "quota_exceeded"


class NotFound(AnnalsError):
    """The object does not exist, or not for this caller."""


class SubscriptionNotFound(NotFound):
    """No such subscription

    There is no subscription of that id, or the key belongs to another subscription: the answer is the same.
    """

    code = "subscription_not_found"


class UserNotFound(NotFound):
    """No such user

    The subscription has no user of that id. Deleted users are not listed, though history still names them.
    """

    code = "user_not_found"


class KeyNotFound(NotFound):
    """No such API key

    The subscription has no key of that id. A deleted key is removed at once.
    """

    code = "key_not_found"


class ResourceNotFound(NotFound):
    """No such resource

    The subscription has no resource of that kind and id. Collections are workspaces, folders, jobs,
    workflows, jobpackages and connectors.
    """

    code = "resource_not_found"


class ParentNotFound(NotFound):
    """No such parent

    The body names a parent that the subscription does not have; the pointer names the field.
    """

    code = "parent_not_found"


class VersionNotFound(NotFound):
    """No such version

    The resource has no version with that number, tag or commit, no published version, or no previous version.
    A commit is found only where it made a version of this very resource. `GET .../versions` lists the
    versions.
    """

    code = "version_not_found"


class CommitNotFound(NotFound):
    """No such commit

    The branch `main` of the subscription has no such commit. `git log main` in a clone lists them; each
    version, deletion and restore names its own.
    """

    code = "commit_not_found"


class JobNotFound(NotFound):
    """No such job

    There is no scheduled job of that name. `GET /v1/maintenance/jobs` lists them.
    """

    code = "job_not_found"


class ExecutionNotFound(NotFound):
    """No such execution

    The subscription has no event of a workflow, job or job package with that `execution_id`, or no longer:
    logs are kept for a time. Nodes alone make no execution. `GET .../executions` lists executions.
    """

    code = "execution_not_found"


class RunNotFound(NotFound):
    """No such run

    There is no job run of that id, or its record was deleted: records are kept for 90 days. `GET
    /v1/maintenance/runs` lists them.
    """

    code = "run_not_found"


class PlanNotFound(NotFound):
    """No such plan

    The scheduled job has no plan of that id. A run with `dry_run` makes one.
    """

    code = "plan_not_found"


class DeletionNotFound(NotFound):
    """No such deletion

    The subscription has no deletion of that id. `GET .../deletions` lists them.
    """

    code = "deletion_not_found"


class HoldNotFound(NotFound):
    """No such legal hold

    The subscription has no legal hold of that id. Released holds are still listed.
    """

    code = "hold_not_found"


class PathNotFound(NotFound):
    """No such path

    Nothing is served at this address. `/openapi.json` lists every path.
    """

    code = "path_not_found"


class MethodNotAllowed(AnnalsError):
    """The method does not apply to this path

    The address exists for other methods: see the `Allow` header and `/openapi.json`.
    """

    code = "method_not_allowed"


class Malformed(AnnalsError):
    """The request can't be read."""


class MalformedJson(Malformed):
    """The body is not JSON

    The body is not well-formed JSON in UTF-8; the detail names the line and column where reading stopped.
    """

    code = "malformed_json"


class MalformedGitRequest(Malformed):
    """The git request can't be read

    A git client sends pkt-lines to fetch, uncompressed or compressed by gzip; the body is something else.
    """

    code = "malformed_git_request"


class MalformedEncoding(Malformed):
    """The body can't be decompressed

    It is not in the encoding that `Content-Encoding` names, it ends too early, or it has more than 10,000
    members or frames of less than 512 bytes each, on average. Nothing was stored.
    """

    code = "malformed_encoding"


class MalformedOtlp(Malformed):
    """The OTLP request can't be decoded

    The body is no `ExportLogsServiceRequest` in the format that its `Content-Type` says, or no whole gzip
    stream. Nothing of it was stored. Sending it again does not help: look at the exporter's settings.
    """

    code = "malformed_otlp"


class MalformedRequest(Malformed):
    """The request can't be read as HTTP

    Its head or the frame of its body breaks a rule of HTTP/1.1: for example, it names no Host or two, or its
    Content-Length is no number. The connection is closed.
    """

    code = "malformed_request"


class RequestLineTooLong(AnnalsError):
    """The request line is too long

    The head of a request, and so its first line with the path and the query, has at most 64 KiB. Ask for less
    at once. The connection is closed.
    """

    code = "request_line_too_long"


class HeadTooLarge(AnnalsError):
    """The head of the request is too large

    A request has at most 256 headers. Together, and with its first line, they have at most 64 KiB, and so
    have the trailers of a body. Nothing that Annals reads is longer: look for cookies or tokens that were not
    meant for it. The connection is closed.
    """

    code = "head_too_large"


class TooSlow(AnnalsError):
    """The request came too slowly

    A head has to be complete after 10 seconds. A body may pause for 30 seconds, and else comes at 4 KiB a
    second or faster. Nothing was changed: send the request again. The connection is closed.
    """

    code = "too_slow"


class Invalid(AnnalsError):
    """The input does not hold what it must

    The request can be read but breaks a rule; `errors` lists each fault with a JSON pointer into the body,
    or the name of a query parameter. A body is at most 64 levels deep and holds at most 100,000 values,
    integers fit 64 bits, doubles are finite, strings are valid Unicode without NUL, and the keys of an object
    are unique.
    """

    code = "invalid"

    @classmethod
    def of(cls, parameter: str, detail: str) -> Self:
        """Make the refusal of one parameter or header."""
        return cls(f"{parameter}: {detail}.", faults=[Fault(detail, parameter=parameter)])

    @classmethod
    def in_body(cls, field: str, detail: str) -> Self:
        """Make the refusal of one field of a body or a form."""
        return cls(f"/{field}: {detail}.", faults=[Fault(detail, pointer=f"/{field}")])


class KeyReused(AnnalsError):
    """The Idempotency-Key was used for something else

    A key stands for one call: the same caller, method, path and body. Send a retry with the body of the first
    try, byte for byte, and a new call with a new key.
    """

    code = "idempotency_key_reused"


class TooLarge(AnnalsError):
    """The input is larger than Annals takes."""


class BodyTooLarge(TooLarge):
    """The body is too large

    A JSON body is at most 8 MiB. Split the document, or keep large data elsewhere and refer to it. Many
    events are sent as lines, `application/x-ndjson`: each of at most 1 MiB, and all of them as large as the
    operator permits. The limits are those of the decompressed body.
    """

    code = "body_too_large"


class DocumentTooLarge(TooLarge):
    """The document is larger than can be stored

    The body is within its limit, but the document is more than a JSONB value of the database may hold. Split
    the document.
    """

    code = "document_too_large"


class UnsupportedMedia(AnnalsError):
    """The body's media type is not supported

    Send JSON with `Content-Type: application/json`, uncompressed; update a resource by `PATCH` with
    `Content-Type: application/merge-patch+json`. Events may also be lines, `application/x-ndjson`, and
    compressed by gzip or zstd, as `Content-Encoding` says.
    """

    code = "unsupported_media_type"


class Conflict(AnnalsError):
    """The call does not fit the present state."""


class NameTaken(Conflict):
    """A live sibling has that name

    A name is unique among the live resources of a kind under one parent. Choose another name, or rename the
    sibling.
    """

    code = "name_taken"


class UsernameTaken(Conflict):
    """The username is taken

    Another user of the subscription has this name. Choose another name, or delete that user first.
    """

    code = "username_taken"


class LastAdmin(Conflict):
    """The subscription's last admin stays

    The user is the only admin of the subscription with a valid key: without it, nobody in the subscription
    could manage users and keys. Make another user an admin first, and a key for it. The operator may demote
    or delete the last admin, since he can make another.
    """

    code = "last_admin"


class OwnKey(Conflict):
    """A key can't delete itself

    The call uses the key that it would delete. A program that deletes what it lists would lock itself out,
    and the last admin the whole subscription. Make a new key, and delete the old one with it.
    """

    code = "own_key"


class TagTaken(Conflict):
    """The tag names another version

    A tag names one version of a resource. Choose another tag, or remove it from that version first.
    """

    code = "tag_taken"


class FolderCycle(Conflict):
    """A folder can't lie in itself

    The parent that the body names is this folder, or lies in it at some depth. Move that parent out of the
    folder first, or choose another one.
    """

    code = "folder_cycle"


class AmbiguousRef(Conflict):
    """The commit prefix is ambiguous

    The commits of several versions of the resource begin with this prefix. Give more digits.
    """

    code = "ambiguous_ref"


class ResourceDeleted(Conflict):
    """The resource is deleted

    A deleted resource, or one below a deleted parent, can be read but not changed. Restore it first.
    """

    code = "resource_deleted"


class NotDeleted(Conflict):
    """Only what is deleted can be deleted for good

    The resource is not deleted. Delete it first, without `permanent`: until the deletion expires, the
    resource can be restored.
    """

    code = "not_deleted"


class NoPlan(Conflict):
    """The job can't be tried dry

    The scheduled job deletes nothing, so that there is nothing to plan. `can_be_dry` of `GET
    /v1/maintenance/jobs` tells which jobs have a dry run.
    """

    code = "no_plan"


class PlanOutdated(Conflict):
    """The plan does not fit any more

    Rows, policies or legal holds have changed since the plan was made, so that a run would not delete what
    the plan lists; or the plan is more than 24 hours old; or a run by it was asked for already, or another
    run of the job waits or is at work. `plan` is what a run would delete now. Nothing was done: make a new
    plan with `dry_run`.
    """

    code = "plan_outdated"


class StillRestorable(Conflict):
    """Some of it can still be restored

    An expired deletion is purged only when no part of it can be restored any longer. Nothing has to be done:
    it is purged when the time of the last part is over.
    """

    code = "still_restorable"


class Held(Conflict):
    """A legal hold keeps it

    A resource under a legal hold is not deleted for good, nor is its subscription closed. The problem names
    the hold. It is on the subscription, on the resource, on one above or below it, or on a user who made or
    deleted any of them. Wait until the hold ends, or ask an admin to release it.
    """

    code = "held"


class HoldReleased(Conflict):
    """The hold was released already

    A legal hold can be released only once. To keep its object from deletion again, place a new legal hold.
    """

    code = "hold_released"


class RestoreConflict(Conflict):
    """The deletion can't be undone as it is

    `conflicts` lists the reasons; nothing was restored. `resolve` settles them: `rename` gives another name
    where the old one is taken, `new_parent_id` another parent where the old one is deleted, and
    `keep_restored` leaves parts alone that were restored on their own. `dry_run` answers the same list
    without restoring.
    """

    code = "restore_conflict"


class NotCheckedOut(Conflict):
    """Nobody holds a check-out of this

    A check-in ends the caller's own check-out, and the caller has none: an expired lease counts as none.
    Check out again, or save with `POST .../versions`.
    """

    code = "not_checked_out"


class NotHolder(Conflict):
    """Somebody else holds the check-out

    Only the holder can check in or cancel; the problem names the holder and the end of the lease. An admin
    can end the check-out with `DELETE .../check-out?force=true`.
    """

    code = "not_holder"


class RequestInFlight(Conflict):
    """The call is being carried out

    Another request with the same Idempotency-Key has not ended yet. Try again shortly: the answer will be
    that request's answer.
    """

    code = "request_in_flight"


class SubscriptionClosed(Conflict):
    """The subscription is closed

    A closed subscription can be read, logs and git included, and is not changed any more. When its time is
    over it is exported and purged. Until then the operator can reopen it with `POST .../reopen`.
    """

    code = "subscription_closed"


class SubscriptionOpen(Conflict):
    """The subscription is not closed

    Only a closed subscription can be reopened.
    """

    code = "subscription_open"


class Gone(AnnalsError):
    """The object existed, and can't be restored."""


class DeletionPosted(Gone):
    """The deletion is of another system

    A platform posted this deletion of a resource in its own system (`origin` is `posted`). Annals has no
    version of the resource, so that only that system can restore it.
    """

    code = "deletion_posted"


class NotRestorable(Gone):
    """The deletion can no longer be undone

    The time for a restore is over, or the deletion is permanent. The history stays: in git, and in the
    versions, which an admin can read.
    """

    code = "not_restorable"


class PreconditionFailed(AnnalsError):
    """The object is no longer as the caller saw it."""


class StaleVersion(PreconditionFailed):
    """It was changed since

    `If-Match` names a commit that is no longer the current one; the problem has the current version and
    commit. Read the difference (`GET .../diff`), and send the change again with the current ETag.
    """

    code = "stale_version"


class PreconditionMissing(AnnalsError):
    """The call has to name the version that its change is based on."""


class IfMatchRequired(PreconditionMissing):
    """If-Match is wanted

    This subscription takes changes of a resource only with `If-Match`: send the ETag of the version that the
    change is based on. An admin can lift this rule with `PATCH` of the subscription.
    """

    code = "if_match_required"


class Locked(AnnalsError):
    """Somebody else has locked the object."""


class CheckedOut(Locked):
    """Checked out by another

    The problem names the holder and the end of the lease. Ask for a check-in, or wait. An admin can end the
    check-out: by `DELETE .../check-out?force=true`, or by `force=true` with the deletion that it prevents.
    """

    code = "checked_out"


class TooManyRequests(AnnalsError):
    """More calls came than a limit permits; `retry_after` is in seconds."""

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooManyFailedLogins(TooManyRequests):
    """Too many failed logins from this address

    Keys that are unknown or expired came from this address more often than `ANNALS_FAILED_LOGINS` permits.
    Wait for the seconds in `Retry-After`, and send a valid key: it is answered even now.
    """

    code = "too_many_failed_logins"

    def __init__(self, refused: Unauthenticated, *, retry_after: int) -> None:
        super().__init__(
            f"Too many logins from this address have failed: try again in {retry_after} s, with a valid key.",
            retry_after=retry_after,
        )
        self.refused = refused


class KeyRateExceeded(TooManyRequests):
    """The key's rate is exceeded

    This API key has made as many calls as `ANNALS_KEY_RATE` permits. Nothing was done: send the call again
    after the seconds in `Retry-After`.
    """

    code = "key_rate_exceeded"


class SubscriptionRateExceeded(TooManyRequests):
    """The subscription's rate is exceeded

    The keys of this subscription have together made as many calls as `ANNALS_SUBSCRIPTION_RATE` permits.
    Nothing was done: send the call again after the seconds in `Retry-After`.
    """

    code = "subscription_rate_exceeded"


class TooManyTails(AnnalsError):
    """Too many live tails are open

    A browser's session follows at most `ANNALS_TAILS_OF_SESSION` tails at once, and an API process serves at
    most `ANNALS_TAILS`. Close another tail, or wait until one ends, and open it again.
    """

    code = "too_many_tails"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(AnnalsError):
    """The call can't be carried out now, but can be tried again."""


class DatabaseNotReachable(Unavailable):
    """The database can't be reached

    Nothing is known to have been changed. Try again after the seconds in `Retry-After`; `/readyz` tells
    when the server has recovered.
    """

    code = "database_unavailable"


class QueryTooLong(Unavailable):
    """The query takes too long

    The database ended it, so that the caller does not wait without end. Nothing was changed. Ask for less: a
    shorter span of time, another filter, a smaller page. On a database that has much else to do the same
    query may succeed later.
    """

    code = "query_too_long"


class RoleMissing(Unavailable):
    """The server's database login lacks a role

    The call needs a role of the database that the server's login was not granted: jobs that delete rows of
    logs need `annals_retention`. `annals doctor` names the missing role; the database's administrator grants
    it. Nothing was changed.
    """

    code = "role_missing"


class Busy(Unavailable):
    """Too much is waiting already

    More work is queued than the server takes on. Nothing was changed; try again after `Retry-After`.
    """

    code = "busy"


class OutcomeUnknown(Unavailable):
    """It is not known whether the change was stored

    The process that writes history ended, or did not answer in time, while it had the change. Send the change
    again with the same `Idempotency-Key`: it is then carried out once, whatever happened before. Without a
    key, look for the change before you try again.
    """

    code = "outcome_unknown"


class StoreNotWritable(Unavailable):
    """The repository can't be read or written

    The file system of the repositories refused: full, read-only, or damaged. Nothing was acknowledged.
    The operator finds the reason in the log by the request id.
    """

    code = "store_unavailable"


class StorageFull(Unavailable):
    """A disk of the server is full

    Nothing was stored, and nothing that is stored was harmed. Try again after the seconds in `Retry-After`:
    changes are taken again as soon as the operator has made room, without a restart. `/readyz` and
    `annals doctor` name the disk and its free space.
    """

    code = "storage_full"


class RefNotMoved(Unavailable):
    """The change is stored, but its ref could not follow

    The change and its audit row are durable, yet a branch or a tag in the repository could not be moved to
    it: the repository can't be written, or somebody else moved the ref. Clones are refused until the ref is
    repaired; the operator finds the reason in the log. Do not try again without looking: the change is there.
    """

    code = "ref_not_moved"


class Internal(AnnalsError):
    """A fault of the server

    This should not happen. Please report it with the request id, under which the log has the details.
    """

    code = "internal"


def leaves() -> list[type[AnnalsError]]:
    """Every error that a client can see, ordered by code."""
    found: dict[str, type[AnnalsError]] = {}
    pending: list[type[AnnalsError]] = [AnnalsError]
    while pending:
        error = pending.pop()
        pending.extend(error.__subclasses__())
        if "code" in vars(error):
            found[error.code] = error
    return [found[code] for code in sorted(found)]
