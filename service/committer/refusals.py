"""Refusals that several places raise, with the same text everywhere."""

from collections.abc import Collection, Sequence
from uuid import UUID

from service.committer.step import Entry
from service.domain import etags
from service.domain.errors import (
    CheckedOut,
    Fault,
    NameTaken,
    ResourceDeleted,
    ResourceNotFound,
    StaleVersion,
    TagTaken,
    VersionNotFound,
)
from service.domain.etags import Match
from sql.queries.audit_logs import Values
from sql.queries.check_outs import CheckOutRow
from sql.queries.versions import VersionRow


def resource_not_found(kind: str, resource_id: UUID) -> ResourceNotFound:
    """The refusal of an id that the subscription does not have."""
    return ResourceNotFound(f"There is no {kind} {resource_id} in this subscription.")


def resource_deleted(kind: str) -> ResourceDeleted:
    """The refusal to change a deleted resource."""
    return ResourceDeleted(f"The {kind} was deleted: restore it first.")


def version_not_found(kind: str, ref: str | int) -> VersionNotFound:
    """The refusal of a ref that names no version."""
    return VersionNotFound(f"The {kind} has no version {ref!r}.")


def name_taken(kind: str, name: object, pointer: str = "/name") -> NameTaken:
    """The refusal of a name that a live sibling has; `pointer` is the JSON pointer of the field at fault.

    The name is None if the change does not set it.
    """
    detail = f"a live {kind} {'of that name' if name is None else f'named {name!r}'} is already there"
    return NameTaken(f"{pointer}: {detail}.", faults=[Fault(detail, pointer=pointer)])


def tag_taken(kind: str, tag: str) -> TagTaken:
    """The refusal of a tag that another version of the resource has."""
    detail = f"the tag {tag}, or one that differs in case alone, names another version of this {kind}"
    return TagTaken(f"/tag: {detail}.", faults=[Fault(detail, pointer="/tag")])


def holder_facts(lease: CheckOutRow) -> Values:
    """The holder and the lease of a check-out, as a problem shows them."""
    return {
        "checked_out_by": lease.checked_out_by,
        "checked_out_by_username": lease.username,
        "checked_out_at": lease.checked_out_at,
        "expires_at": lease.expires_at,
    }


def checked_out(kind: str, lease: CheckOutRow) -> CheckedOut:
    """The refusal to write a resource that another user has checked out."""
    return CheckedOut(
        f"{lease.username} holds the check-out of this {kind} until {lease.expires_at:%Y-%m-%dT%H:%M:%SZ}: "
        "ask for a check-in, wait, or let an admin take it away.",
        facts=holder_facts(lease),
    )


def all_checked_out(entries: Sequence[Entry]) -> CheckedOut:
    """The refusal to write resources that other users have checked out."""
    check_outs = [named(entry) | holder_facts(entry.check_out) for entry in entries if entry.check_out]
    names = ", ".join(sorted({str(each["checked_out_by_username"]) for each in check_outs}))
    return CheckedOut(
        f"Check-outs of {counted(len(entries))} are held by {names}: ask for check-ins, wait, or let an "
        "admin take them away.",
        facts={"check_outs": check_outs},
    )


def named(entry: Entry) -> Values:
    """The type, id and name of a resource, for the facts of a problem."""
    row = entry.row
    return {"resource_type": row.resource_type, "resource_id": row.resource_id, "resource_name": row.name}


def counted(number: int) -> str:
    """A number of resources in words."""
    return "1 resource" if number == 1 else f"{number} resources"


def check_match(kind: str, current: VersionRow, match: Match | None) -> None:
    """Raise StaleVersion unless `match` is None or names the current version's commit."""
    if match is None or etags.names(match, current.git_commit_hash):
        return
    raise StaleVersion(
        f"The {kind} is at version {current.version_number} now, by {current.created_by_username}: "
        "look at what changed, and send the change again with the current ETag.",
        facts=head_facts(current),
    )


def check_published(kind: str, now: VersionRow | None, expected: Collection[int]) -> None:
    """Raise StaleVersion unless the number of the published version, 0 for none, is among the expected."""
    number = 0 if now is None else now.version_number
    if number in expected:
        return
    state = f"version {number} is published" if number else "no version is published"
    raise StaleVersion(
        f"Of the {kind}, {state} now: look at what changed before you publish or withdraw a version.",
        facts={"published_version": number or None},
    )


def check_tag(version: VersionRow, expected: Collection[str]) -> None:
    """Raise StaleVersion unless the tag of a version, empty for none, is among the expected."""
    tag = version.version_tag or ""
    if tag not in expected:
        state = f"has the tag {tag}" if tag else "has no tag"
        raise StaleVersion(f"Version {version.version_number} {state} now: look at it before you replace it.")


def head_facts(current: VersionRow) -> Values:
    """The number and commit of the current version, in the fields of a resource."""
    return {"current_version": current.version_number, "git_commit_hash": current.git_commit_hash}


def check_head_match(head: str | None, match: Match | None) -> None:
    """Raise StaleVersion unless `match` is None or names the head of `main`."""
    if match is not None and (head is None or not etags.names(match, head)):
        raise StaleVersion(
            "The subscription's history has gone on: look at what changed, and send the change again with "
            "the current head of main.",
            facts={"git_commit_hash": head},
        )
