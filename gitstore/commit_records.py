"""Read commit and tag messages back exactly; a message that Annals can't have written is not a record."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from gitstore import commit_messages
from gitstore.commit_messages import DeletionLine, VersionLine
from gitstore.identity import Branch, Identity

VERSION, PUBLISHED, UNPUBLISHED = "Annals-Version", "Annals-Published", "Annals-Unpublished"
DELETION, RESTORE = "Annals-Deletion", "Annals-Restore"
ACTOR, REQUEST, TIME, DESCRIPTION = "Annals-Actor", "Annals-Request", "Annals-Time", "Annals-Description"

T = TypeVar("T")

_LINES = (VERSION, PUBLISHED, UNPUBLISHED)
_SINGLE = (DELETION, RESTORE, ACTOR, REQUEST, TIME, DESCRIPTION)

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_VERSION_LINE = re.compile(rf"([a-z]+)/({_UUID})@([1-9][0-9]{{0,8}}) ({_UUID})")
_DELETION_LINE = re.compile(rf"({_UUID}) (?:soft (\S+)|permanent -)(?: (.+))?")
_ACTOR = re.compile(rf"({_UUID}) (.+)")
_SUBJECT = re.compile(rf"([a-z]+)/({_UUID}): ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gleaned:
    """The readable part of the message of a commit or a tag object; `time` is in UTC, to the microsecond.

    `restored` is the id of the deletion that the commit undoes. `about` are the collection and id of the
    resource in the message's subject, the only trace of a resource that is deleted for good. `faults` say why
    Annals can't have written the message, if so.
    """

    versions: tuple[VersionLine, ...]
    published: tuple[VersionLine, ...]
    unpublished: tuple[VersionLine, ...]
    deletion: DeletionLine | None
    restored: str | None
    about: tuple[str, str] | None
    actor: Identity | None
    request_id: str | None
    time: datetime | None
    description: str | None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRecord(Gleaned):
    """Content of a commit message of Annals: actor, time, versions, deletion and restore."""

    actor: Identity
    time: datetime

    @property
    def branch(self) -> Branch | None:
        """The branch that the commit belongs to, or None if it names no version, deletion or restore."""
        if self.published or self.unpublished:
            return "published"
        if self.versions or self.deletion is not None or self.restored is not None:
            return "main"
        return None

    @property
    def named(self) -> list[str]:
        """The versions, deletion and restore that the message names, as text for people."""
        deletion = [] if self.deletion is None else [f"deletion {self.deletion.deletion_id}"]
        restored = [] if self.restored is None else [f"restore of deletion {self.restored}"]
        return [*map(str, self.versions + self.published + self.unpublished), *deletion, *restored]


def read(message: str) -> CommitRecord:
    """Read the record of a message; raises ValueError, with the reason, if Annals did not write it."""
    found = glean(message)
    if found.faults:
        raise ValueError(found.faults[0])
    return CommitRecord(**{each.name: getattr(found, each.name) for each in fields(found)})


def glean(message: str) -> Gleaned:
    """Read as much as possible of a message that anybody may have written."""
    found: dict[str, list[str]] = {}
    for token, value in commit_messages.parse(message):
        found.setdefault(token, []).append(value)
    unknown = sorted(set(found) - {*_LINES, *_SINGLE})
    faults = [f"its trailer {token} is none that this version of Annals can read" for token in unknown]
    twice = [token for token in _SINGLE if len(found.get(token, ())) > 1]
    faults += [f"it has more than one trailer {token}" for token in twice]
    faults += [f"it has no trailer {token}" for token in (ACTOR, TIME) if token not in found]
    versions, published, unpublished = (_readable(_line, found.get(token), faults) for token in _LINES)
    deletions = _readable(_deletion, found.get(DELETION), faults)
    restored = _readable(_restored, found.get(RESTORE), faults)
    actors = _readable(_actor, found.get(ACTOR), faults)
    request_ids = _readable(commit_messages.decode_description, found.get(REQUEST), faults)
    times = _readable(commit_messages.read_timestamp, found.get(TIME), faults)
    descriptions = _readable(commit_messages.decode_description, found.get(DESCRIPTION), faults)
    subject = _SUBJECT.match(message)
    return Gleaned(
        versions=versions,
        published=published,
        unpublished=unpublished,
        deletion=deletions[0] if deletions else None,
        restored=restored[0] if restored else None,
        about=None if subject is None else (subject[1], subject[2]),
        actor=actors[0] if actors else None,
        request_id=request_ids[0] if request_ids else None,
        time=times[0] if times else None,
        description=descriptions[0] if descriptions else None,
        faults=tuple(faults),
    )


def _readable(read_one: Callable[[str], T], values: Iterable[str] | None, faults: list[str]) -> tuple[T, ...]:
    """Read all values that are readable; the reasons why others are not are added to the faults."""
    results = []
    for value in values or ():
        try:
            results.append(read_one(value))
        except ValueError as error:
            faults.append(str(error))
    return tuple(results)


def _line(value: str) -> VersionLine:
    match = _VERSION_LINE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} names no version")
    return VersionLine(match[1], match[2], int(match[3]), match[4])


def _actor(value: str) -> Identity:
    match = _ACTOR.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} names no actor")
    return Identity(str(UUID(match[1])), commit_messages.decode_description(match[2]))


def _deletion(value: str) -> DeletionLine:
    match = _DELETION_LINE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is no deletion")
    until = None if match[2] is None else commit_messages.read_timestamp(match[2])
    return DeletionLine(
        match[1], until, None if match[3] is None else commit_messages.decode_description(match[3])
    )


def _restored(value: str) -> str:
    if re.fullmatch(_UUID, value) is None:
        raise ValueError(f"{value!r} names no deletion")
    return value
