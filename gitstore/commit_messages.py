"""Commit messages: a subject, a body that people wrote, and trailers that they can't forge."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gitstore.identity import Identity

# Lines that git would read as the end of the message (`---`, and the scissors line of `git commit -v` with
# any comment character), and those that a search for `^Annals-` would find. A space in front defuses them.
_DEFUSED = re.compile(r"^(?=---(?:\s|$)|.*-{24} >8 -{24}|annals-)", re.IGNORECASE | re.MULTILINE)
_TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
_TRAILER = re.compile(r"([A-Za-z0-9-]+): (.*)")


@dataclass(frozen=True)
class VersionLine:
    """A version that a commit makes."""

    collection: str
    resource_id: str
    number: int
    version_id: str

    def __str__(self) -> str:
        return f"{self.collection}/{self.resource_id}@{self.number} {self.version_id}"


@dataclass(frozen=True)
class DeletionLine:
    """A deletion that a commit carries out, either soft and restorable until `until`, or for good.

    `until` is aware, and None for a deletion for good. The commit removes the deleted resources from the
    tree.
    """

    deletion_id: str
    until: datetime | None
    reason: str | None

    def __str__(self) -> str:
        how = "permanent -" if self.until is None else f"soft {_timestamp(self.until)}"
        return f"{self.deletion_id} {how}" + ("" if self.reason is None else f" {_encode(self.reason)}")


def tag_ref(collection: str, resource_id: str, tag: str) -> str:
    """The name, under `refs/tags/`, of a tag of a resource."""
    return f"{collection}/{resource_id}/{tag}"


def version_subject(collection: str, resource_id: str, number: int, name: str) -> str:
    """The subject of a commit of one version."""
    return f"{collection}/{resource_id}: v{number} — {name}"


def compose(
    *,
    subject: str,
    body: str | None,
    versions: Sequence[VersionLine] = (),
    published: Sequence[VersionLine] = (),
    unpublished: Sequence[VersionLine] = (),
    deletion: DeletionLine | None = None,
    restored: str | None = None,
    actor: Identity,
    request_id: str | None,
    time: datetime,
    description: str | None = None,
) -> str:
    """Compose a message from its parts; raises ValueError for a subject of blanks.

    `git interpret-trailers --parse` finds exactly these trailers in it, whatever the body is. `restored` is
    the id of the deletion that the commit undoes; `time` is aware.
    """
    subject = _DEFUSED.sub(" ", " ".join(_clean(subject).split()))
    if not subject:
        raise ValueError("a commit needs a subject")
    trailers = [("Annals-Version", str(version)) for version in versions]
    trailers += [("Annals-Published", str(version)) for version in published]
    trailers += [("Annals-Unpublished", str(version)) for version in unpublished]
    if deletion is not None:
        trailers.append(("Annals-Deletion", str(deletion)))
    if restored is not None:
        trailers.append(("Annals-Restore", restored))
    trailers.append(("Annals-Actor", f"{actor.user_id} {_encode(actor.username)}"))
    if request_id is not None:
        trailers.append(("Annals-Request", _encode(request_id)))
    trailers.append(("Annals-Time", _timestamp(time)))
    if description is not None:
        trailers.append(("Annals-Description", _encode(description)))
    paragraphs = [subject, _body(body or ""), "\n".join(f"{token}: {value}" for token, value in trailers)]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def parse(message: str) -> list[tuple[str, str]]:
    """Return the trailers of a message that `compose` made, in order."""
    block = message.rstrip("\n").rpartition("\n\n")[2]
    return [(match[1], match[2]) for match in map(_TRAILER.fullmatch, block.split("\n")) if match]


def time_of(message: str) -> datetime | None:
    """Read the time of a message that `compose` made; None if it has none."""
    # Not `parse`: a message can name thousands of versions, and this is read before each batch.
    value = message.rpartition("\nAnnals-Time: ")[2].partition("\n")[0]
    try:
        return read_timestamp(value)
    except ValueError:
        return None


def read_timestamp(value: str) -> datetime:
    """Read an instant as messages have it; raises ValueError for any other value."""
    return datetime.strptime(value, _TIMESTAMP).replace(tzinfo=UTC)


def decode_description(value: str) -> str:
    """Decode a description that `compose` encoded; raises ValueError for any other value."""
    if not value.startswith('"'):
        return value
    return str(json.loads(value))


def _encode(text: str) -> str:
    """Encode a text as one line that git keeps unchanged: the text itself where possible, else JSON."""
    surrogates = any("\ud800" <= character <= "\udfff" for character in text)
    one_line = text.splitlines() == [text] and text == text.strip() and "\0" not in text
    if one_line and not surrogates and not text.startswith('"'):
        return text
    return json.dumps(text, ensure_ascii=surrogates)


def _body(text: str) -> str:
    lines = (line.rstrip() for line in _clean(text).split("\n"))
    return _DEFUSED.sub(" ", "\n".join(lines).strip())


def _clean(text: str) -> str:
    """Return the text with LF as its only line ending, and without characters that a commit can't hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode()


def _timestamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime(_TIMESTAMP)
