"""Find the version that a `{ref}` names: a number, a tag, a commit or a reserved word."""

import re
from datetime import datetime
from uuid import UUID

from service.domain.errors import AmbiguousRef, CommitNotFound
from service.domain.pagination import MAX_NUMBER
from sql.database import Transaction
from sql.queries import as_of, versions
from sql.queries.as_of import CommitRow
from sql.queries.versions import VersionRow

RESERVED = frozenset({"current", "published", "previous"})
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_COMMIT = re.compile(r"[0-9a-fA-F]{7,40}\Z")


def is_commit(text: str) -> bool:
    """Tell if a text can be the beginning of a commit's id."""
    return _COMMIT.match(text) is not None


def resolve(
    tx: Transaction,
    subscription_id: UUID,
    kind: str,
    resource_id: UUID,
    ref: str | int,
    at: datetime,
) -> VersionRow | None:
    """Version of a resource that `ref` names; None if there is no such version; raises AmbiguousRef."""
    of = (tx, subscription_id, kind, resource_id)
    if isinstance(ref, int):
        # A JSON number is a version number, even where a commit begins with the same digits.
        return versions.by_number(*of, ref, at=at) if 0 < ref <= MAX_NUMBER else None
    match ref:
        case "published":
            return versions.published(*of, at=at)
        case "current" | "previous":
            current = versions.current(tx, subscription_id, kind, [resource_id], at=at).get(resource_id)
            if ref == "current" or current is None:
                return current
            return versions.by_number(*of, current.version_number - 1, at=at)
    row = None
    if _NUMBER.match(ref):
        row = versions.by_number(*of, int(ref), at=at)
    # Seven digits or more can also begin a commit, but not a tag: no tag may look like a number or commit.
    if row is None and is_commit(ref):
        found = versions.by_commit(*of, ref.lower(), at=at)
        if len(found) > 1:
            raise AmbiguousRef(f"More than one version has a commit that begins with {ref}.")
        row = found[0] if found else None
    elif row is None and "\0" not in ref:
        row = versions.by_tag(*of, ref, at=at)
    return row


def commit(tx: Transaction, subscription_id: UUID, prefix: str, *, given_as: str) -> CommitRow:
    """Commit of `main` that begins with `prefix`; raises CommitNotFound, AmbiguousRef.

    `given_as` is the field or parameter that held the prefix.
    """
    found = as_of.commits(tx, subscription_id, prefix.lower())
    if not found:
        raise CommitNotFound(f"{given_as}: the branch `main` has no commit {prefix}.")
    if len(found) > 1:
        raise AmbiguousRef(f"More than one commit begins with {prefix}: give more digits.")
    return found[0]
