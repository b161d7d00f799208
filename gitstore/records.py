"""Reading commit and tag messages back, to the letter: what Annals can't have said is no record."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from gitstore import messages
from gitstore.history import Identity
from gitstore.messages import VersionLine

VERSION, PUBLISHED, UNPUBLISHED = "Annals-Version", "Annals-Published", "Annals-Unpublished"
ACTOR, REQUEST, TIME, DESCRIPTION = "Annals-Actor", "Annals-Request", "Annals-Time", "Annals-Description"

_LINES = (VERSION, PUBLISHED, UNPUBLISHED)
# Deletions and restores will have trailers of their own (Annals-Deletion, Annals-Restore). Until they are
# read here, a history with one is refused as a whole: leaving it out would bring back what was deleted.
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


def read(message: str) -> Record:
    """What a message records; raises ValueError, which says why, for one that Annals did not write."""
    found: dict[str, list[str]] = {}
    for token, value in messages.parse(message):
        found.setdefault(token, []).append(value)
    unknown = sorted(set(found) - {*_LINES, *_SINGLE})
    if unknown:
        raise ValueError(f"its trailer {unknown[0]} is none that this version of Annals can read")
    for token in _SINGLE:
        if len(found.get(token, ())) > 1:
            raise ValueError(f"it has more than one trailer {token}")
    for token in (ACTOR, TIME):
        if token not in found:
            raise ValueError(f"it has no trailer {token}")
    versions, published, unpublished = (tuple(map(_line, found.get(token, ()))) for token in _LINES)
    return Record(
        versions=versions,
        published=published,
        unpublished=unpublished,
        actor=_actor(found[ACTOR][0]),
        request_id=_text(found, REQUEST),
        time=_time(found[TIME][0]),
        description=_text(found, DESCRIPTION),
    )


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


def _text(found: dict[str, list[str]], token: str) -> str | None:
    return messages.decode_description(found[token][0]) if token in found else None
