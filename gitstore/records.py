"""Reading commit and tag messages back, to the letter: what Annals can't have said is no record."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from gitstore import messages
from gitstore.history import Identity
from gitstore.messages import VersionLine

VERSION, PUBLISHED, UNPUBLISHED = "Annals-Version", "Annals-Published", "Annals-Unpublished"
ACTOR, REQUEST, TIME, DESCRIPTION = "Annals-Actor", "Annals-Request", "Annals-Time", "Annals-Description"

T = TypeVar("T")

_LINES = (VERSION, PUBLISHED, UNPUBLISHED)
# Deletions and restores will have these trailers. Until all of them is read here, a history with one is no
# record and refused as a whole: leaving it out would bring back what was deleted.
_DELETIONS = ("Annals-Deletion", "Annals-Restore")
_SINGLE = (ACTOR, REQUEST, TIME, DESCRIPTION)

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_VERSION_LINE = re.compile(rf"([a-z]+)/({_UUID})@([1-9][0-9]{{0,8}}) ({_UUID})")
_ACTOR = re.compile(rf"({_UUID}) (.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a commit or a tag object says of itself; `time` is in UTC, to the microsecond."""

    versions: tuple[VersionLine, ...]
    published: tuple[VersionLine, ...]
    unpublished: tuple[VersionLine, ...]
    actor: Identity
    request_id: str | None
    time: datetime
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gleaned:
    """What of a message can be read; `faults` say why Annals can't have written it, if so."""

    versions: tuple[VersionLine, ...]
    published: tuple[VersionLine, ...]
    unpublished: tuple[VersionLine, ...]
    # Ids of what deletes or restores.
    deletions: tuple[UUID, ...]
    actor: Identity | None
    request_id: str | None
    time: datetime | None
    description: str | None
    faults: tuple[str, ...]


def read(message: str) -> Record:
    """What a message records; raises ValueError, which says why, for one that Annals did not write."""
    found = glean(message)
    if found.faults or found.actor is None or found.time is None:
        raise ValueError(found.faults[0])
    return Record(
        versions=found.versions,
        published=found.published,
        unpublished=found.unpublished,
        actor=found.actor,
        request_id=found.request_id,
        time=found.time,
        description=found.description,
    )


def glean(message: str) -> Gleaned:
    """What can be read of a message that anybody may have written."""
    found: dict[str, list[str]] = {}
    for token, value in messages.parse(message):
        found.setdefault(token, []).append(value)
    unknown = sorted(set(found) - {*_LINES, *_SINGLE})
    faults = [f"its trailer {token} is none that this version of Annals can read" for token in unknown]
    twice = [token for token in _SINGLE if len(found.get(token, ())) > 1]
    faults += [f"it has more than one trailer {token}" for token in twice]
    faults += [f"it has no trailer {token}" for token in (ACTOR, TIME) if token not in found]
    versions, published, unpublished = (_readable(_line, found.get(token), faults) for token in _LINES)
    deletions = [_readable(_deletion, found.get(token), faults) for token in _DELETIONS]
    actors = _readable(_actor, found.get(ACTOR), faults)
    request_ids = _readable(messages.decode_description, found.get(REQUEST), faults)
    times = _readable(_time, found.get(TIME), faults)
    descriptions = _readable(messages.decode_description, found.get(DESCRIPTION), faults)
    return Gleaned(
        versions=versions,
        published=published,
        unpublished=unpublished,
        deletions=deletions[0] + deletions[1],
        actor=actors[0] if actors else None,
        request_id=request_ids[0] if request_ids else None,
        time=times[0] if times else None,
        description=descriptions[0] if descriptions else None,
        faults=tuple(faults),
    )


def _readable(read_one: Callable[[str], T], values: Iterable[str] | None, faults: list[str]) -> tuple[T, ...]:
    """What can be read of some values; why the others can't joins the faults."""
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
    return Identity(str(UUID(match[1])), messages.decode_description(match[2]))


def _time(value: str) -> datetime:
    return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _deletion(value: str) -> UUID:
    return UUID(value.partition(" ")[0])
